"""Runs a session from start to end: the supervisor's processes, the operator, the view, and the way out.

The way out is one: whatever ends the session (time, Ctrl-C, SIGTERM, an exception, a process that cannot
live), the operator first withdraws the permission and the guardian brings the robot to a standstill; then
the robot's processes end, and only then the data is drained and closed.
"""

from __future__ import annotations

import contextlib
import signal
import types
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from launch.operator import STOPPED, Operator
from launch.snapshot import Reader
from launch.status_log import StatusLog
from launch.supervisor import Supervisor
from launch.view import View
from robot.clock import Clock
from robot.errors import SandlotError
from robot.messages import Event, PilotPhase, SafetyState
from robot.spec import RobotSpec

PERIOD_NS = 50_000_000
"""The operator's and the supervisor's round; a tenth of the shortest permission that is in use."""
VIEW_NS = 250_000_000
MARGIN_S = 1.0
"""How long past its own deadlines the guardian is waited for before it is taken to be dead."""

ROBOT_FIRST = ("pilot", "guardian", "hand", "estop", "emulator")
DATA_SECOND = ("camera", "courier", "learner")


class EventLog:
    """What happened to the processes, a JSON line each, beside the robot's own log."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.listeners: list[Callable[[int, str], None]] = []

    def note(self, time_ns: int, process: str, what: str) -> None:
        """Never raises for a disk that is full: whoever notes is often on the way to stopping something."""
        line = msgspec.json.encode(Event(time_ns=time_ns, kind=process, text=what))
        with contextlib.suppress(OSError), self._path.open("ab") as file:
            file.write(line + b"\n")
        for listen in self.listeners:
            listen(time_ns, f"{process}: {what}")


@dataclass
class Ending:
    """Why a session ended. ``error`` is None for an ordinary end (time, Ctrl-C, the task is finished);
    ``interrupted``: somebody asked for it, so that what it was for may not be done."""

    reason: str
    error: SandlotError | None = None
    interrupted: bool = False
    standstill: bool = True
    restarts: dict[str, int] = field(default_factory=dict)


class StopSignals:
    """SIGINT and SIGTERM become a flag while this context lasts; a second one asks to hurry the data's
    end."""

    def __init__(self) -> None:
        self.count = 0
        self.name = ""
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> StopSignals:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            self._before[number] = signal.signal(number, self._take)
        return self

    def _take(self, number: int, frame: types.FrameType | None) -> None:
        self.count += 1
        self.name = signal.Signals(number).name

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]


class Conductor:
    """``minutes``: practice time, counted from the first moment the robot was free to move; 0 for no
    limit."""

    def __init__(
        self,
        supervisor: Supervisor,
        operator: Operator,
        reader: Reader,
        view: View,
        clock: Clock,
        spec: RobotSpec,
        minutes: float,
        status: StatusLog | None = None,
    ) -> None:
        self._supervisor = supervisor
        self._operator = operator
        self._reader = reader
        self._view = view
        self._clock = clock
        self._spec = spec
        self._status = status
        self._limit_ns = round(minutes * 60e9)
        self._first_active_ns: int | None = None
        self._view_due_ns = 0

    def run(self) -> Ending:
        """Start everything, conduct until something ends it, and take it all down in order."""
        with StopSignals() as stop:
            try:
                ending = self._conduct(stop)
            except SandlotError as error:
                ending = Ending(str(error), error)
            finally:
                # Whatever was raised, the robot is stopped first.
                standstill = self._take_down(stop)
        ending.standstill = standstill
        ending.restarts = self._supervisor.restarts()
        return ending

    def _conduct(self, stop: StopSignals) -> Ending:
        self._supervisor.start(while_waiting=lambda: self._round(stop))
        due_ns = self._clock.now_ns()
        while self._round(stop):
            self._supervisor.poll()
            if self._limit_ns and self._practised_ns() >= self._limit_ns:
                return Ending("time is up")
            pilot = self._reader.pilot()
            if pilot is not None and int(pilot["phase"][0]) == PilotPhase.FINISHED:
                return Ending("the pilot finished")
            due_ns = max(due_ns + PERIOD_NS, self._clock.now_ns())
            self._clock.sleep_until(due_ns)
        return Ending(f"stopped by {stop.name}", interrupted=True)

    def _round(self, stop: StopSignals) -> bool:
        """One turn of the operator and the view. False once somebody asked to stop."""
        now_ns = self._clock.now_ns()
        state = self._reader.state()
        self._operator.step(now_ns, state, self._reader.pilot())
        moving = state is not None and int(state["safety_state"][0]) in (
            SafetyState.ACTIVE,
            SafetyState.REDUCED,
        )
        if self._first_active_ns is None and moving:
            self._first_active_ns = now_ns
        self._show(now_ns)
        if self._reader.disk_full():
            raise SandlotError("the disk is full: the robot was stopped; make room and start again")
        return stop.count == 0

    def _show(self, now_ns: int, last: bool = False) -> None:
        """A terminal that has gone (an ssh that dropped) or a full disk is no reason to leave the robot."""
        if now_ns >= self._view_due_ns:
            self._view_due_ns = now_ns + VIEW_NS
            elapsed_s, now = self._practised_ns() / 1e9, self._reader.read(now_ns)
            for time_ns, line in self._reader.news():
                self.say(time_ns, line)
            with contextlib.suppress(OSError):
                self._view.show(elapsed_s, now, self._supervisor.restarts())
            if self._status is not None and self._first_active_ns is not None:
                with contextlib.suppress(OSError):
                    self._status.write(elapsed_s, now, last)

    def _practised_ns(self) -> int:
        """Time since the robot was first free to move [ns]; 0 before."""
        return 0 if self._first_active_ns is None else self._clock.now_ns() - self._first_active_ns

    def say(self, time_ns: int, line: str) -> None:
        """Show what happened at a monotonic time [ns], as practice time."""
        with contextlib.suppress(OSError):
            self._view.say((time_ns - (self._first_active_ns or time_ns)) / 1e9, line)

    def _take_down(self, stop: StopSignals) -> bool:
        """Every part of it happens, whatever the one before raised."""
        before = stop.count
        with contextlib.ExitStack() as then:  # from the last line to the first
            then.callback(self._close_view)
            then.callback(self._operator.close)
            then.callback(self._show_last)
            for name in reversed(DATA_SECOND):
                then.callback(self._drain, name, stop, before)
            then.callback(self._supervisor.stop, ROBOT_FIRST)
            return self._halt()

    def _drain(self, name: str, stop: StopSignals, before: int) -> None:
        # Somebody who presses Ctrl-C again wants out; what is not drained stays in the spool.
        self._supervisor.stop((name,), 2.0 if stop.count > max(before, 1) else None)

    def _close_view(self) -> None:
        with contextlib.suppress(OSError):
            self._view.close()

    def _show_last(self) -> None:
        self._view_due_ns = 0
        self._show(self._clock.now_ns(), last=True)

    def _halt(self) -> bool:
        """Stop the robot and wait, no longer than its own deadlines, until the guardian says that it
        stands."""
        limit_s = self._spec.stop.hold_s + self._spec.stop.deadline_s + MARGIN_S
        deadline_ns = self._clock.now_ns() + round(limit_s * 1e9)
        last = self._reader.state()
        sequence = 0 if last is None else int(last["sequence"][0])
        while True:
            # Again and again: another operator on the same mailbox may have written over a single press.
            self._operator.halt(self._clock.now_ns())
            guardian = self._supervisor.children.get("guardian")
            if guardian is not None and guardian.process is None:
                return True  # it was never started, so nothing ever moved
            if guardian is None or not guardian.alive:
                return False
            state = self._reader.state()
            newer = state is not None and int(state["sequence"][0]) > sequence + 1
            if state is not None and newer and int(state["safety_state"][0]) in STOPPED:
                return True
            now_ns = self._clock.now_ns()
            if now_ns > deadline_ns:
                return False
            self._clock.sleep_until(now_ns + PERIOD_NS // 5)
