"""Watches a running session from outside: its shared memory, its twin's truth, its processes' starts."""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec
import numpy as np

from launch.bench.kill_timeline import Records, speeds
from launch.session import Session
from launch.snapshot import Reader
from robot.board import Board
from robot.clock import Clock
from robot.errors import SandlotError
from robot.messages import COURIER_DTYPE, Event, PilotPhase, SafetyState
from robot.shared_memory import Mailbox
from sim.emulators.truth import TRUTH_DTYPE

POLL_NS = 4_000_000
"""Well below the 10 ms between two records of the truth."""
TICKS_AT_ONCE = 100
STEADY_NS = 1_000_000_000
"""A robot that has driven for so long without interruption drives steadily."""
IN_FLIGHT = 40
"""Rows that may be on their way to a learner that keeps up: 2 s of a 20 Hz robot, a busy learner's round."""
_STARTED = re.compile(r"started \(process (\d+)\)")


class Onlooker:
    """``alive``: whether the session is still there. ``speed``: what the robot's driver aims at [m/s].
    ``learner``: whether there is one, that must keep up."""

    def __init__(
        self, session: Session, clock: Clock, alive: Callable[[], bool], speed: float, learner: bool = True
    ) -> None:
        self._session, self._clock, self._alive, self._speed = session, clock, alive, speed
        self._learner = learner
        self._truth: list[Records] = []
        self._courier: list[Records] = []
        self._ticks: list[Records] = []
        self._ticks_seen = self._tick_ns = 0
        self._starts: tuple[int, dict[str, list[tuple[int, int]]]] = (0, {})
        self._board: Board | None = None
        self._truth_mailbox: Mailbox | None = None
        self._steady_since_ns: int | None = None
        last = session.board_directory / "pilot_events.ring"
        self._wait(lambda: last.exists() and (session.ports / "truth").exists(), 60.0, "the session's memory")
        self._board = session.board()
        self._truth_mailbox = Mailbox(session.ports / "truth", TRUTH_DTYPE)
        self._reader = Reader(self._board, session.spec)

    @property
    def board(self) -> Board:
        if self._board is None:
            raise SandlotError("the session has no shared memory yet")
        return self._board

    def forget(self) -> None:
        """Drop what was seen so far."""
        self._take_ticks()
        for seen in (self._truth, self._courier, self._ticks):
            seen.clear()

    def truth(self) -> Records:
        """What the twin said since ``forget``, in order, each record once."""
        return np.concatenate(self._truth) if self._truth else np.zeros(0, TRUTH_DTYPE)

    def courier(self) -> Records:
        """The same of the courier."""
        return np.concatenate(self._courier) if self._courier else np.zeros(0, COURIER_DTYPE)

    def ticks(self) -> Records:
        """The same of the guardian's ticks."""
        self._take_ticks()
        return np.concatenate(self._ticks) if self._ticks else self.board.ticks.newest(0)

    def wait(self, seconds: float) -> None:
        """Watch for so long."""
        end_ns = self._clock.now_ns() + round(seconds * 1e9)
        self.until(lambda: self._clock.now_ns() >= end_ns, seconds + 10.0, "nothing")

    def until_steady(self, seconds: float = 180.0) -> None:
        """Watch until the robot has been driving, and the learner taking rows, for a second."""
        self._steady_since_ns = None
        self.until(self._steady, seconds, "the robot to drive and the learner to keep up")

    def until(self, done: Callable[[], bool], seconds: float, what: str) -> None:
        """Watch until ``done``. Raises SandlotError if the session ends first, or after ``seconds``."""
        self._wait(done, seconds, what)

    def starts(self, name: str) -> list[tuple[int, int]]:
        """When a process was started [ns], and its number, in order."""
        path = self._session.directory / "processes.jsonl"
        size = path.stat().st_size if path.exists() else 0
        if size != self._starts[0]:
            found: dict[str, list[tuple[int, int]]] = {}
            for line in path.read_bytes().splitlines(keepends=True):
                if line.endswith(b"\n"):
                    event = msgspec.json.decode(line, type=Event)
                    if match := _STARTED.match(event.text):
                        found.setdefault(event.kind, []).append((event.time_ns, int(match[1])))
            self._starts = (size, found)
        return self._starts[1].get(name, [])

    def _wait(self, done: Callable[[], bool], seconds: float, what: str) -> None:
        due_ns = self._clock.now_ns()
        deadline_ns = due_ns + round(seconds * 1e9)
        while True:
            self._look()
            if done():
                return
            if not self._alive():
                raise SandlotError(f"the session ended while waiting for {what}")
            if due_ns > deadline_ns:
                now = self._reader.read(self._clock.now_ns()) if self._board else "nothing started"
                raise SandlotError(f"waited {seconds:g} s for {what} in vain; last seen: {now}")
            due_ns = max(due_ns + POLL_NS, self._clock.now_ns())
            self._clock.sleep_until(due_ns)

    def _look(self) -> None:
        if self._board is not None and self._truth_mailbox is not None:
            for mailbox, seen in ((self._truth_mailbox, self._truth), (self._board.courier, self._courier)):
                if seen and int(seen[-1]["sequence"][0]) == mailbox.sequence:
                    continue
                if (record := mailbox.read()) is not None:
                    seen.append(record)
            if self._board.ticks.written - self._ticks_seen >= TICKS_AT_ONCE:
                self._take_ticks()

    def _take_ticks(self) -> None:
        """What the ring has gained; a second's worth at a time is far from its end."""
        written = self.board.ticks.written
        # The guardian may add some meanwhile: fetch a few more than needed and keep what is new.
        new = self.board.ticks.newest(written - self._ticks_seen + TICKS_AT_ONCE)
        new = new[new["time_ns"] > self._tick_ns]
        self._ticks_seen = written
        if len(new):
            self._ticks.append(new)
            self._tick_ns = int(new["time_ns"][-1])

    def _steady(self) -> bool:
        state, pilot, courier = self._reader.state(), self._reader.pilot(), self.board.courier.read()
        now_ns = self._clock.now_ns()
        fine = (
            state is not None
            and pilot is not None
            and courier is not None
            and bool(self._truth)
            # Records of the dead stay where they are, so each must be young.
            and now_ns - min(int(r["time_ns"][0]) for r in (state, pilot, self._truth[-1])) < 200_000_000
            and now_ns - int(courier["time_ns"][0]) < STEADY_NS
            and int(state["safety_state"][0]) == SafetyState.ACTIVE
            and int(pilot["phase"][0]) == PilotPhase.DEMONSTRATING
            and (
                not self._learner
                or (
                    bool(courier["connected"][0])
                    and int(courier["received"][0]) + IN_FLIGHT >= int(courier["spooled"][0])
                )
            )
            and float(speeds(self._truth[-1])[0]) > 0.7 * self._speed
        )
        if not fine or self._steady_since_ns is None:
            self._steady_since_ns = now_ns if fine else None
        return self._steady_since_ns is not None and now_ns - self._steady_since_ns > STEADY_NS
