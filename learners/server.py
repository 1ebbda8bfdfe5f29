"""The learner's side of the link: rows in exactly once, updates at the held ratio, newest policy out."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from learners.checkpoint import has_checkpoint
from learners.journal import Journal
from learners.publisher import Publisher, Trial
from robot.clock import Clock
from robot.contract import TaskContract
from robot.errors import SandlotError, WireError
from robot.frame_file import DiskFullError
from robot.layout import Struct
from robot.messages import SCHEMA_VERSION, Acknowledgement, Hello, Refusal, Steps, Welcome
from robot.plain_data import differences, digest
from robot.transport import LearnerEnd
from robot.wire import Message, decode_from_robot, decode_rows, encode

Rows = NDArray[np.void]
HEARTBEAT_NS: Final = 500_000_000
"""An acknowledgement goes out at least this often, so that a robot knows that its learner lives."""
RATE_WINDOW_S: Final = 5.0
GONE_NS: Final = 30_000_000_000
"""A robot that takes no message for so long is forgotten; it greets when it is back."""
MAX_SESSION_NAME: Final = 64


class PacingLike(Protocol):
    received: int

    @property
    def ratio(self) -> float: ...


class LearnerLike(Protocol):
    """What the server needs of ``learners.learner.Learner``."""

    contract: TaskContract
    calibration_hash: str
    pretrained: int
    metrics: dict[str, float]

    @property
    def pacing(self) -> PacingLike: ...
    @property
    def updates(self) -> int: ...
    @property
    def alarm(self) -> str: ...
    @property
    def ready(self) -> bool: ...
    def add(self, session: str, rows: Rows) -> None: ...
    def due(self) -> int: ...
    def step(self) -> dict[str, float]: ...
    def pretrain(self, steps: int) -> dict[str, float]: ...
    def export(self, version: int) -> bytes: ...
    def save(self, directory: Path, notes: dict[str, Any] | None = None) -> Path: ...
    def load(self, path: Path) -> dict[str, Any]: ...
    def begin_with(self, path: Path) -> None: ...


class ServerConfig(Struct):
    """How often things happen; seconds of the injected clock."""

    publish_s: float = 1.0
    """At most one policy in this time [s]; FastRLAP's robots took one every 2 s."""
    checkpoint_s: float = 60.0
    sync_s: float | None = 0.25
    """Time between syncs of the journal [s]; None never syncs before the end (lockstep)."""
    slice_s: float = 0.02
    """Learning is interrupted this often to look at the link [s]."""
    pretrain: int = 100
    """Update steps on prior data before the first policy is published."""
    learn: bool = True
    """False: nothing is learnt after ``pretrain`` (a control)."""
    initial: str = ""
    """A run or checkpoint whose networks a new learner begins with."""


@dataclass
class _Robot:
    identity: bytes
    session: str
    reached_ns: int
    """When a message last went out to it."""
    acknowledged: tuple[int, int] = (-1, -1)
    acknowledged_ns: int = 0


class LearnerServer:
    """``pump`` until it is time to stop, then ``close``.

    ``directory``: for checkpoints and the newest published policy. On construction it continues from the
    newest checkpoint and the journal. ``trial``: what every policy passes before it is published.
    """

    def __init__(
        self,
        link: LearnerEnd,
        learner: LearnerLike,
        journal: Journal,
        directory: Path,
        clock: Clock,
        session_key: bytes,
        config: ServerConfig | None = None,
        *,
        trial: Trial | None = None,
        tell: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._link, self._learner, self._journal = link, learner, journal
        self._clock, self._tell = clock, tell
        self._config = config or ServerConfig()
        self._checkpoints = directory / "checkpoints"
        self._plain = learner.contract.plain()
        self._hash = learner.contract.hash()
        self._dtype = learner.contract.step_dtype()
        self._robots: dict[bytes, _Robot] = {}
        self._next: dict[str, int] = {}
        self.counts: Counter[str] = Counter()
        """rows, duplicates, out_of_order, strangers, bad_messages, refused, lost, gate_refused, disk_full."""
        self._publisher = Publisher(
            learner,
            self._hash,
            directory / "newest.policy",
            session_key,
            link.publish,
            trial=trial,
            sync=self._config.sync_s is not None,
            counts=self.counts,
            full=self._full,
            tell=tell,
        )
        self._checkpoints.mkdir(parents=True, exist_ok=True)
        self._restore()
        now = clock.now_ns()
        self._due_sync = self._due_publish = now
        self._due_checkpoint = now + round(self._config.checkpoint_s * 1e9)
        self._saved: tuple[int, int] = (learner.updates, journal.rows)
        self._history: deque[tuple[int, int]] = deque([(now, learner.updates)])

    @property
    def version(self) -> int:
        """Of the newest published policy."""
        return self._publisher.version

    def pump(self) -> bool:
        """One round: messages, acknowledgements, a slice of learning, what is due. False if it was idle."""
        now = self._clock.now_ns()
        messages = self._link.receive()
        for identity, frames in messages:
            self._take(identity, frames)
        self._sync(now)
        self._acknowledge(now)
        learned = self._learn(now)
        self._publish_due(self._clock.now_ns())
        self._checkpoint_due(self._clock.now_ns())
        return bool(messages) or learned

    def close(self) -> None:
        """Write a checkpoint, tell the robots what is durable, and close the journal."""
        self._publisher.close()
        try:
            self._journal.sync()
            self._acknowledge(self._clock.now_ns())
            self.checkpoint()
        finally:
            self._journal.close()

    def checkpoint(self) -> None:
        """Write one now. It names how many rows of the journal it has seen; the rows are in there."""
        self._journal.sync()
        notes = {
            "rows": self._journal.rows,
            "version": self.version,
            "exported": self._publisher.exported_updates,
        }
        self._learner.save(self._checkpoints, notes)
        self._saved = (self._learner.updates, self._journal.rows)

    def _restore(self) -> None:
        rows = version = exported = 0
        if self._journal.cut_bytes:
            self._tell(f"{self._journal.cut_bytes} bytes at the journal's end were unfinished or damaged")
        if has_checkpoint(self._checkpoints):
            notes = self._learner.load(self._checkpoints)
            rows, version, exported = (int(notes[name]) for name in ("rows", "version", "exported"))
        elif self._config.initial:
            self._learner.begin_with(Path(self._config.initial))
        if rows > self._journal.rows:
            self._tell(
                f"the checkpoint has seen {rows} rows, the journal holds {self._journal.rows}; going on"
            )
        for session, found in self._journal.replay():
            self._learner.add(session, found)
        self._publisher.restore(version, exported)
        if self._journal.rows:
            self._tell(
                f"continuing with {self._journal.rows} rows of {len(self._journal.sessions())} session(s), "
                f"{self._learner.updates} updates, policy {self.version}"
            )

    def _take(self, identity: bytes, frames: list[bytes]) -> None:
        try:
            message = decode_from_robot(frames)
            if isinstance(message, Hello):
                self._greeted(identity, message)
            else:
                self._received(identity, message, decode_rows(message, frames, self._dtype))
        except WireError as error:
            self.counts["bad_messages"] += 1
            self._tell(f"dropped a message: {error}")
            if identity not in self._robots:  # say why, or it would greet for ever
                self._send(identity, Refusal(schema=SCHEMA_VERSION, reason=str(error)))

    def _greeted(self, identity: bytes, hello: Hello) -> None:
        reason = self._objection(hello)
        if reason is not None:
            self.counts["refused"] += 1
            self._robots.pop(identity, None)
            self._tell(f"refused {hello.robot}: {reason}")
            self._send(identity, Refusal(schema=SCHEMA_VERSION, reason=reason))
            return
        session = hello.session
        have = max(self._journal.next_sequence(session), self._next.get(session, 0))
        if hello.first_sequence > have:
            self.counts["lost"] += hello.first_sequence - have
            self._tell(f"{hello.robot}: rows {have} to {hello.first_sequence} are gone; going on after them")
        self._next[session] = max(have, hello.first_sequence)
        known = self._robots.get(identity)
        if known is None or known.session != session:
            self._robots = {i: r for i, r in self._robots.items() if r.session != session}
            self._robots[identity] = _Robot(identity, session, self._clock.now_ns())
            self._tell(f"{hello.robot} streams session {session} from row {self._next[session]}")
            if hello.calibration_hash != self._learner.calibration_hash:
                self._tell(
                    f"{hello.robot} has another calibration than this learner: its rows are used, but it "
                    "will not take these policies; start the learner with its calibration"
                )
        self._send(identity, Welcome(schema=SCHEMA_VERSION, next_sequence=self._next[session]))
        if self._publisher.frame is not None:
            self._link.publish(self._publisher.frame)

    def _objection(self, hello: Hello) -> str | None:
        if not (0 < len(hello.session) <= MAX_SESSION_NAME and hello.session.isprintable()):
            return (
                f"a session name has 1 to {MAX_SESSION_NAME} printable characters; got {hello.session[:80]!r}"
            )
        if digest(hello.contract) == self._hash:
            return None
        lines = differences(self._plain, hello.contract)
        shown = "\n  ".join(lines[:20]) + (f"\n  and {len(lines) - 20} more" if len(lines) > 20 else "")
        return (
            f"the contracts differ (ours: the learner's); start both with the same robot and task:\n  {shown}"
        )

    def _received(self, identity: bytes, steps: Steps, rows: Rows) -> None:
        robot = self._robots.get(identity)
        if robot is None or robot.session != steps.session:
            self.counts["strangers"] += 1  # it will run out of patience and greet
            return
        expected = self._next[steps.session]
        if steps.first_sequence > expected:
            self.counts["out_of_order"] += len(rows)
            return
        fresh = rows[expected - steps.first_sequence :]
        self.counts["duplicates"] += len(rows) - len(fresh)
        if not len(fresh):
            robot.acknowledged = (-1, -1)  # it has missed an acknowledgement
            return
        try:
            self._journal.append(steps.session, expected, fresh)
        except DiskFullError as error:
            self._full(error)
            return
        self._next[steps.session] = expected + len(fresh)
        self.counts["rows"] += len(fresh)
        self._learner.add(steps.session, fresh)

    def _sync(self, now: int) -> None:
        if self._config.sync_s is not None and now >= self._due_sync:
            self._due_sync = now + round(self._config.sync_s * 1e9)
            try:
                self._journal.sync()
            except DiskFullError as error:
                self._full(error)

    def _full(self, error: DiskFullError) -> None:
        """Nothing is acknowledged, so the robots keep it; said once."""
        if not self.counts["disk_full"]:
            self._tell(str(error))
        self.counts["disk_full"] += 1

    def _acknowledge(self, now: int) -> None:
        pacing, metrics = self._learner.pacing, self._learner.metrics
        values, bounds = (
            (metrics.get(least, math.nan), metrics.get(greatest, math.nan))
            for least, greatest in (("value_min", "value_max"), ("value_lower_bound", "value_upper_bound"))
        )
        for robot in list(self._robots.values()):
            durable = self._journal.durable(robot.session)
            state = (self._next[robot.session], durable)
            if state == robot.acknowledged and now - robot.acknowledged_ns < HEARTBEAT_NS:
                continue
            ack = Acknowledgement(
                schema=SCHEMA_VERSION,
                session=robot.session,
                received=state[0],
                durable=durable,
                updates=self._learner.updates,
                steps=pacing.received,
                updates_per_s=self._rate(now),
                update_ratio=pacing.ratio,
                policy_version=self.version,
                held_out_error=metrics.get("held_out_error", math.nan),
                values=values,
                value_bounds=bounds,
                critic_alarm=self._learner.alarm,
                policies_held=self.counts["gate_refused"],
                held_back=self._publisher.held_back,
            )
            if self._send(robot.identity, ack):
                robot.acknowledged, robot.acknowledged_ns = state, now
                robot.reached_ns = now
            elif now - robot.reached_ns >= GONE_NS:
                del self._robots[robot.identity]
                self._tell(f"session {robot.session} has gone with {state[0]} rows here")

    def _learn(self, now: int) -> bool:
        """As many of the steps due as fit into a slice; all of them where time stands still."""
        learner, end = self._learner, now + round(self._config.slice_s * 1e9)
        learned, before = False, learner.alarm
        while learner.ready:
            if learner.pretrained < self._config.pretrain:
                learner.pretrain(1)
            elif self._config.learn and learner.due():
                learner.step()
            else:
                break
            learned = True
            if self._clock.now_ns() >= end:
                break
        if learner.alarm and not before:
            self._tell(f"critics, after {learner.updates} updates: {learner.alarm}")
        return learned

    def _publish_due(self, now: int) -> None:
        learner, config, publisher = self._learner, self._config, self._publisher
        if not publisher.decide(now):
            return
        due = now >= self._due_publish and learner.pretrained >= config.pretrain
        if due and learner.updates > publisher.exported_updates:
            self._due_publish = now + round(config.publish_s * 1e9)
            publisher.export(now)

    def _checkpoint_due(self, now: int) -> None:
        if now < self._due_checkpoint:
            return
        self._due_checkpoint = now + round(self._config.checkpoint_s * 1e9)
        if self._saved != (self._learner.updates, self._journal.rows):
            try:
                self.checkpoint()
            except (OSError, SandlotError) as error:
                self._tell(f"no checkpoint could be written, the last one stays: {error}")

    def _rate(self, now: int) -> float:
        """Critic updates per second over the last few seconds."""
        if now - self._history[-1][0] >= 1_000_000_000:
            self._history.append((now, self._learner.updates))
        while len(self._history) > 1 and now - self._history[0][0] > RATE_WINDOW_S * 1e9:
            self._history.popleft()
        start, updates = self._history[0]
        return (self._learner.updates - updates) / ((now - start) * 1e-9) if now > start else 0.0

    def _send(self, identity: bytes, message: Message) -> bool:
        return self._link.send(identity, encode(message))
