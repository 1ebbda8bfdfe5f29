"""The courier: what happened goes to the log, the spool and the learner; what was learned comes back.

Rows leave a ring only once they are in the log and in the spool, so a courier killed at any moment loses
nothing, and on restarting it skips what it finds there.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np

from robot.board import Board
from robot.clock import Clock
from robot.contract import TaskContract
from robot.drain import Drain
from robot.errors import PolicyError, SandlotError, WireError
from robot.frame_file import DiskFullError
from robot.image_message import CAMERAS
from robot.log_reader import log_files, numbered, read_log
from robot.log_repair import messages, seal
from robot.messages import COURIER_DTYPE, Event
from robot.policy_store import PolicyStore
from robot.recorder import EVENTS, STEPS, TICKS, Recorder
from robot.spec import RobotSpec
from robot.spool import Spool
from robot.transport import RobotEnd
from robot.uplink import Uplink

FLUSH_NS: Final = 500_000_000
"""Time between chunks of the log."""
SYNC_S: Final = 0.75
"""Time between syncs: with a round of the courier and the sync itself, a pulled battery costs under 1 s."""
ROTATE_BYTES: Final = 512 << 20
"""A log file this large is closed and the next one begun: hours of a robot's ticks, minutes of cameras."""
STATUS_NS: Final = 200_000_000
MINIMUM_FREE_BYTES: Final = 64 << 20
"""Below this the robot is stopped, while there is still room to close the log properly."""
LOW_DISK_S: Final = 600.0
"""Said once when the disk lasts no longer than this, at the rate at which it filled so far [s]."""
RATE_AFTER_S: Final = 10.0
"""Recording for less than this tells no rate [s]."""


class Courier:
    """``pump`` it a few dozen times a second (or a few, in lockstep); ``close`` at the end.

    ``run_directory``: the session's folder, for ``log.mcap``, ``spool/`` and ``policies/``. ``link``: None to
    record only. ``sync_s``: time between syncs to the disk; None never syncs before the end (lockstep).
    """

    def __init__(
        self,
        spec: RobotSpec,
        contract: TaskContract,
        board: Board,
        run_directory: Path,
        link: RobotEnd | None,
        clock: Clock,
        session_key: bytes,
        session_id: str,
        calibration_hash: str,
        *,
        about: Mapping[str, str] | None = None,
        sync_s: float | None = SYNC_S,
        minimum_free_bytes: int = MINIMUM_FREE_BYTES,
        rotate_bytes: int = ROTATE_BYTES,
    ) -> None:
        run_directory.mkdir(parents=True, exist_ok=True)
        self._clock, self._link, self._board = clock, link, board
        self._directory = run_directory
        self._minimum_free, self._rotate_bytes = minimum_free_bytes, rotate_bytes
        self._open = functools.partial(Recorder, spec=spec, contract=contract, about=about)
        self._sync_ns = None if sync_s is None else round(sync_s * 1e9)
        self.spool = Spool(run_directory / "spool", contract.step_dtype(), session_id)
        earlier = log_files(run_directory)
        logged = _last_logged(earlier, bool(board.frames))
        self._files = len(earlier) + 1
        self.recorder = self._open(numbered(run_directory, len(earlier)))
        self.drain = Drain(board, self.spool, self.recorder, logged)
        policies = run_directory / "policies"
        self.policies = PolicyStore(
            policies, contract, calibration_hash, session_key, board.policy, sync=sync_s is not None
        )
        self.uplink = None
        if link is not None:
            self.uplink = Uplink(link, self.spool, contract, session_id, calibration_hash, self._tell)
        self.disk_full = False
        self._status = np.zeros(1, COURIER_DTYPE)
        for name in ("held_out_error", "values", "value_bounds"):
            self._status[name] = np.nan
        now = clock.now_ns()
        self._due_flush = self._due_sync = self._due_status = now
        self._began_ns, self._written_before = now, 0
        self._disk_low = False
        self._connected = self._behind = False
        self._dropped = dict.fromkeys(board.dropped, 0)
        self._tell("courier_started", len(earlier), "log and spool are open")

    def pump(self) -> None:
        """One round: rings to log and spool, rows to the learner, its answers and policies back. Never blocks
        for longer than the disk does."""
        now = self._clock.now_ns()
        self._store(now)
        if self.uplink is not None and self._link is not None:
            self.uplink.pump(now)
            frame = self._link.policy()
            if frame is not None:
                self._policy(frame, now)
            ack = self.uplink.acknowledgement
            if ack is not None and ack.policy_version > self.policies.offered:
                self.uplink.nudge(now)
        if now >= self._due_status:
            self._due_status = now + STATUS_NS
            self._report(now)

    def close(self, wait_s: float = 5.0) -> None:
        """Everything to the disk, up to ``wait_s`` for the learner to have it too, then close the log."""
        now = self._clock.now_ns()
        self._due_flush = self._due_sync = now
        self._store(now)
        deadline = now + round(wait_s * 1e9)
        uplink = self.uplink
        while uplink is not None and self._link is not None and now < deadline and uplink.connected(now):
            uplink.pump(now)
            if uplink.durable >= self.spool.next_sequence:
                break
            self._link.wait(0.01)
            self._clock.sleep_until(now + 10_000_000)
            now = self._clock.now_ns()
        self._tell("courier_closed", self.spool.next_sequence, "rows spooled")
        self._report(now)
        for finish in (self.drain.flush, self.recorder.close, self.spool.close):
            try:
                finish()
            except DiskFullError:
                self.disk_full = True  # the log stays as it was at its last flush, and readable
                self._report(now)
        if self._link is not None:
            self._link.close()

    def _store(self, now: int) -> None:
        try:
            lost = self.drain.steps()
            if lost:
                self._tell("steps_lost", lost, "rows are missing between the pilot and the courier")
            syncing = self._sync_ns is not None and now >= self._due_sync
            if now >= self._due_flush or syncing:
                self._due_flush = now + FLUSH_NS
                self.drain.flush()
                self._check_space(now)
                if self.recorder.bytes >= self._rotate_bytes and not self.disk_full:
                    self._rotate()
            if self._sync_ns is not None and syncing:
                self._due_sync = now + self._sync_ns
                self.spool.sync()
                self.recorder.sync()
        except DiskFullError as error:
            self._full(0, str(error))

    def _rotate(self) -> None:
        """Go on in the next file. One that cannot be made (yet) leaves everything as it is."""
        path = numbered(self._directory, self._files)
        try:
            following = self._open(path)
        except DiskFullError:
            path.unlink(missing_ok=True)
            raise
        whole, self.recorder = self.recorder, following
        self._files += 1
        self._written_before += whole.bytes
        self.drain.record_in(following)
        whole.close()

    def _check_space(self, now: int) -> None:
        disk = os.statvfs(self._directory)
        free = disk.f_bavail * disk.f_frsize
        self._watch_space(free, now)
        if free >= self._minimum_free:
            self.disk_full = False
            return
        self._full(free, f"{free >> 20} MiB left, {self._minimum_free >> 20} MiB are needed; free some space")

    def _watch_space(self, free: int, now: int) -> None:
        """Say once that the disk will be full soon, while somebody can still do something about it."""
        seconds = (now - self._began_ns) / 1e9
        written = self._written_before + self.recorder.bytes + self.spool.written_bytes
        if seconds < RATE_AFTER_S or not written:
            return
        left_s = (free - self._minimum_free) * seconds / written
        low = left_s < LOW_DISK_S
        if low and not self._disk_low and free >= self._minimum_free:
            text = f"{free >> 20} MiB left, which last {left_s / 60:.1f} min; free some space"
            self._tell("disk_low", free, text)
        self._disk_low = low

    def _full(self, free: int, why: str) -> None:
        """Say so once, at once: the robot stops on it. Nothing is lost until the rings overflow."""
        if not self.disk_full:
            self.disk_full = True
            self._tell("disk_full", free, why)
            self._report(self._clock.now_ns())

    def _policy(self, frame: bytes, now: int) -> None:
        try:
            version = self.policies.offer(frame, now)
        except (WireError, PolicyError) as error:
            self._tell("policy_refused", self.policies.refused, str(error))
        except DiskFullError as error:
            self._full(0, str(error))
        else:
            if version is not None:
                self._tell("policy_received", version, "verified and handed to the pilot")

    def _tell(self, kind: str, value: float, text: str) -> None:
        self.recorder.event("courier", Event(self._clock.now_ns(), kind, float(value), text))

    def _tell_dropped(self) -> None:
        """What found its ring full, because no courier was there for longer than a ring lasts."""
        for name, count in self._board.dropped.items():
            if count != self._dropped[name]:
                self._dropped[name] = count
                self._tell(f"{name}_dropped", count, "so many ever found their ring full")

    def _report(self, now: int) -> None:
        record, uplink = self._status, self.uplink
        self._tell_dropped()
        record["time_ns"] = now
        record["spooled"] = self.spool.next_sequence
        record["lost"] = self.drain.lost + self._board.steps.dropped
        record["log_bytes"] = self.recorder.bytes
        record["policy_version"] = self.policies.version
        record["disk_full"], record["disk_low"] = self.disk_full, self._disk_low
        if uplink is not None:
            connected = uplink.connected(now)
            if self._connected and not connected:
                self._tell("learner_lost", uplink.received, "rows go to the spool until it is back")
            self._connected = connected
            record["connected"] = connected
            record["sent"], record["received"] = uplink.sent, uplink.received
            record["durable"] = uplink.durable
            if uplink.acknowledgement is not None:
                ack = uplink.acknowledgement
                record["learner_updates"], record["learner_steps"] = ack.updates, ack.steps
                record["updates_per_s"], record["update_ratio"] = ack.updates_per_s, ack.update_ratio
                record["held_out_error"] = ack.held_out_error
                record["values"], record["value_bounds"] = ack.values, ack.value_bounds
                if ack.critic_alarm and not record["critic_alarm"][0]:
                    self._tell("critic_alarm", ack.held_out_error, ack.critic_alarm)
                record["critic_alarm"] = bool(ack.critic_alarm)
                behind = ack.policy_version < self.policies.version - 1
                if behind and not self._behind:
                    self._tell(
                        "learner_behind",
                        ack.policy_version,
                        f"the learner began anew; its policies are not used until they are newer than "
                        f"{self.policies.version}. It goes on with its last run by --resume",
                    )
                self._behind = behind
                if ack.held_back and ack.policies_held != record["policies_held"][0]:
                    self._tell("policy_held", ack.policies_held, ack.held_back)
                record["policies_held"], record["held_back"] = ack.policies_held, bool(ack.held_back)
        self._board.courier.write(record)


def _last_logged(files: list[Path], cameras: bool) -> dict[str, int]:
    """Close what a killed courier left; per topic or event source, the last ring position it logged, and of
    each of the ``cameras`` the number of the last frame."""
    last: dict[str, int] = {}
    for path in files[::-1]:
        try:
            seal(path)
            log = read_log(path, (TICKS, STEPS, EVENTS))
        except SandlotError:
            continue  # it was killed before its first chunk
        found = {topic: int(sequence[-1]) for topic, sequence in log.sequences.items() if len(sequence)}
        frames = _last_frames(path) if cameras else {}
        last = found | frames | log.event_sequences | last
        if last.keys() >= {TICKS, STEPS}:
            break
    return last


def _last_frames(path: Path) -> dict[str, int]:
    """By topic; a file of pictures is read a chunk at a time, since it may be larger than the memory."""
    return {m.topic: m.sequence for m in messages(path) if m.topic.startswith(CAMERAS)}
