"""A logged session played back to the real guardian: its clock, devices, estimator and mailboxes say what the
log says they said, tick by tick, so that the whole safety kernel judges the same evidence once more.

What the robot did is not played: a kernel that would have stopped it goes on seeing how it drove.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from robot.board import Board
from robot.errors import SandlotError
from robot.estop_inbox import EstopInbox
from robot.guardian import Guardian
from robot.interface import Driver, Estimate, LinkHealth, Measurements, StopProof
from robot.messages import (
    Cause,
    DeviceFlag,
    EstopState,
    SafetyState,
    command_dtype,
    state_dtype,
    tick_dtype,
)
from robot.safety.elements import HEARTBEATS
from robot.safety.heartbeats import Heartbeats
from robot.safety.limits import Limits
from robot.safety.monitors import CLEAR, Verdict
from robot.safety.state_machine import KernelState, Request
from robot.spec import Device, RobotSpec

UNJUDGED = frozenset({"input", "input_ns"})
"""Fields of a command that a log may lack: through what a person drives is nothing to the kernel."""
Array = NDArray[np.float64]
Rows = NDArray[np.void]


def check(spec: RobotSpec, ticks: Rows) -> None:
    """Raise SandlotError unless the log holds everything that the kernel judges by."""
    needed, found = tick_dtype(spec), ticks.dtype
    missing = [name for name in needed.names or () if name not in (found.names or ())]
    if missing:
        raise SandlotError(
            f"this log's ticks lack {', '.join(missing)}: it was recorded by a version that did not log all "
            "that the safety kernel judged by; replay it with that version"
        )
    for name in ("measured", "operator", "command", "state", "sent", "devices", "silence"):
        if _judged(needed[name], found[name]) != _judged(found[name], found[name]):
            raise SandlotError(f"this log's {name!r} is laid out otherwise than this version's robot has it")


def _judged(dtype: np.dtype[np.void], found: np.dtype[np.void]) -> object:
    """What the kernel judges by: all of it, but for what was not logged yet and nothing is judged by."""
    if dtype.names is None:
        return dtype
    return {name: dtype[name] for name in dtype.names if name not in UNJUDGED or name in (found.names or ())}


def _command(spec: RobotSpec, ticks: Rows) -> Rows:
    """The pilot's records as this version has them."""
    logged = ticks["command"]
    command = np.zeros(len(ticks), command_dtype(spec))
    for name in logged.dtype.names or ():
        command[name] = logged[name]
    return command


class Tape:
    """The logged ticks and which of them is now."""

    def __init__(self, spec: RobotSpec, ticks: Rows) -> None:
        check(spec, ticks)
        self.rows = ticks
        self.at = 0
        self.looked = False
        """Whether the guardian has asked for the time in this tick."""
        self.time_ns: list[int] = ticks["time_ns"].tolist()
        self.due_ns: list[int] = ticks["due_ns"].tolist()
        self.read_ns: list[int] = ticks["read_ns"].tolist()
        self.ending: list[bool] = ticks["ending"].tolist()
        self.estop: list[int] = ticks["estop"].tolist()
        self.converged: list[bool] = ticks["converged"].tolist()
        self.flags: list[list[int]] = ticks["devices"].tolist()
        self.measured = np.ascontiguousarray(ticks["measured"]).view(np.uint8).reshape(len(ticks), -1)
        records = {"command": _command(spec, ticks), "operator": ticks["operator"]}
        self.mailboxes = {name: (rows["sequence"].tolist(), rows) for name, rows in records.items()}

    def segments(self) -> Iterator[range]:
        """Stretches without a gap. One that begins with tick 0 begins with a guardian's start."""
        numbers = self.rows["tick"].astype(np.int64)
        breaks = (np.flatnonzero(np.diff(numbers) != 1) + 1).tolist()
        yield from map(range, [0, *breaks], [*breaks, len(numbers)])


class _Clock:
    """The tick's own time when it is first asked for, then the time at which the mailboxes were read."""

    def __init__(self, tape: Tape) -> None:
        self._tape = tape

    def now_ns(self) -> int:
        tape = self._tape
        if tape.looked:
            return tape.read_ns[tape.at]
        tape.looked = True
        return tape.time_ns[tape.at]

    def sleep_until(self, deadline_ns: int) -> None:
        raise NotImplementedError("a log does not wait")


class _Mailbox:
    """The newest record that the guardian had taken."""

    def __init__(self, tape: Tape, name: str) -> None:
        self._tape = tape
        self._sequences, self._records = tape.mailboxes[name]

    @property
    def sequence(self) -> int:
        return int(self._sequences[self._tape.at])

    def read(self) -> Rows | None:
        at = self._tape.at
        return self._records[at : at + 1] if self._sequences[at] else None


class _Driver:
    """A device as it stood, and the setpoints that went out."""

    def __init__(self, tape: Tape, spec: RobotSpec, device: Device) -> None:
        names = [a.name for a in spec.actuators]
        self.sensors = tuple(s.name for s in spec.sensors if s.device == device.name)
        self.actuators = tuple(a.name for a in spec.actuators if a.device == device.name)
        self.health = LinkHealth(state="open")
        self.proof = StopProof()
        self._tape = tape
        self._place = [d.name for d in spec.devices].index(device.name)
        self._sent = tape.rows["sent"]
        self._columns = [names.index(name) for name in self.actuators]

    def open(self, now_ns: int) -> None:
        pass

    def poll(self, now_ns: int, measurements: Measurements) -> None:
        flags = self._tape.flags[self._tape.at][self._place]
        self.health.state = "open" if flags & DeviceFlag.OPEN else "lost"
        self.health.fault = "as logged" if flags & DeviceFlag.FAULT else ""
        if flags & DeviceFlag.RAISED:
            raise SandlotError("as logged")

    def command(self, now_ns: int, setpoint: Array) -> Array:
        went: Array = self._sent[self._tape.at][self._columns]
        return went

    def stop(self, now_ns: int, torque: bool) -> Array:
        return self.command(now_ns, np.empty(0))

    def silence(self, now_ns: int) -> Array:
        return self.command(now_ns, np.empty(0))

    def prove_stop(self, now_ns: int, begin: bool) -> Array:
        # What came of it stands in the next tick's flags.
        after = min(self._tape.at + 1, len(self._tape.flags) - 1)
        flags = self._tape.flags[after][self._place]
        passed, failed = flags & DeviceFlag.PROVEN, flags & DeviceFlag.REFUTED
        self.proof.state = "passed" if passed else "failed" if failed else "running"
        return self.command(now_ns, np.empty(0))

    def close(self) -> None:
        pass


class _Estimator:
    def __init__(self, tape: Tape) -> None:
        self._tape = tape
        self._state, self._deviation = tape.rows["state"], tape.rows["deviation"]

    def update(self, now_ns: int, measurements: Measurements, sent: Array) -> Estimate:
        at = self._tape.at
        return Estimate(self._state[at], self._deviation[at], self._tape.converged[at])

    def pose(self, time_ns: int, pose: Array, variance: Array) -> None:
        pass


class _Heartbeats(Heartbeats):
    def __init__(self, tape: Tape) -> None:
        super().__init__(len(HEARTBEATS))
        self._tape, self._logged = tape, tape.rows["silence"]

    def update(self, now_ns: int, sequences: Sequence[int]) -> None:
        self.silence[:] = self._logged[self._tape.at]


class _Estops(EstopInbox):
    def __init__(self, tape: Tape) -> None:
        self._tape = tape
        self.pressed, self.summary = False, 0

    def update(self, clock: object) -> Verdict:
        self.summary = self._tape.estop[self._tape.at]
        self.pressed = bool(self.summary & EstopState.OPEN)
        silent = self.summary & 1
        return Verdict(Request.CATEGORY1, Cause.ESTOP_SILENT, "as logged") if silent else CLEAR


class _Limits(Limits):
    """Keeps what each limit asked for."""

    asked: NDArray[np.int64]

    def update(self, now_ns: int, elements: Array, stale: NDArray[np.bool_]) -> NDArray[np.int64]:
        self.asked = super().update(now_ns, elements, stale)
        return self.asked


class _Sink:
    """Takes a record and keeps the newest."""

    sequence = 0

    def __init__(self, newest: Rows | None = None) -> None:
        self.newest = newest

    def push(self, record: Rows) -> bool:
        self.newest = record
        return True

    def write(self, record: Rows) -> None:
        self.newest = record

    def read(self) -> Rows | None:
        return self.newest


class ReplayedGuardian(Guardian):
    """The guardian on a tape, for one segment of it; ``play`` is one tick."""

    def __init__(self, spec: RobotSpec, tape: Tape, first: int) -> None:
        self._tape = tape
        tape.at, tape.looked = first, False
        row = tape.rows[first]
        fresh = int(row["tick"]) == 0
        newest = np.zeros(1, state_dtype(spec))
        newest["epoch"] = row["epoch"]
        drivers = cast("list[Driver]", [_Driver(tape, spec, device) for device in spec.devices])
        self._ticks = _Sink()
        board = SimpleNamespace(
            state=_Sink(newest if row["epoch"] else None),
            command=_Sink(),
            operator=_Mailbox(tape, "operator"),
            pose=_Sink(),
            estops={source.name: _Sink() for source in spec.estop.sources},
            ticks=self._ticks,
            guardian_events=_Sink(),
            first_fault=_Sink(),
            **{process: _Sink() for process in HEARTBEATS},
        )
        super().__init__(spec, drivers, _Estimator(tape), _Clock(tape), cast(Board, board))
        senses = self._senses
        senses._heartbeats = cast(Any, _Heartbeats(tape))
        self._estops = _Estops(tape)
        self._limits = senses.monitors.limits = _Limits(spec, senses.monitors.layout)
        self._record = senses.measurements.record.view(np.uint8).reshape(-1)
        command = row["command"]
        stale = int(command["time_ns"]) < int(row["due_ns"]) - round(2e9 / spec.rates.guardian_hz)
        board.command.sequence = int(command["sequence"]) if stale or not fresh else 0
        self.start()
        board.command.sequence = 0
        self._command._mailbox = cast(Any, _Mailbox(tape, "command"))
        if not fresh:
            self.join(row)
            self._gate.begin(int(row["time_ns"]), int(row["epoch"]))
        self.verdict = CLEAR

    def join(self, row: Any) -> None:
        """Go on from a logged tick in the middle of a session, with timers that begin now."""
        now, operator, state = int(row["time_ns"]), row["operator"], SafetyState(int(row["safety_state"]))
        cause = Cause(int(row["cause"]))
        self.adopt(
            KernelState(
                state=state,
                inverse=~state,
                time_ns=now,
                since_ns=now,
                cause=cause,
                cause_ns=now,
                trigger=cause,
                advisory_ns=now,
                epoch=int(row["epoch"]),
                arm=int(operator["arm"]),
                reset=int(operator["reset"]),
                resume=int(operator["resume"]),
                stop=int(operator["stop"]),
            )
        )

    def adopt(self, kernel: KernelState) -> None:
        """Go on from another memory than one's own."""
        self._kernel = kernel

    def play(self, at: int) -> Rows:
        """The tick's record as this guardian would have logged it, shape (1,); reused by the next call."""
        tape = self._tape
        tape.at, tape.looked = at, False
        self._record[:] = tape.measured[at]
        self._ending = tape.ending[at]
        self.tick(tape.due_ns[at])
        newest = self._ticks.newest
        if newest is None:
            raise SandlotError("the guardian logged no tick")
        return newest

    @property
    def asked(self) -> NDArray[np.int64]:
        """What each limit asked for in this tick (``Request``), shape (n_limits,)."""
        return self._limits.asked

    @property
    def margin(self) -> Array:
        """To each limit in this tick, shape (n_limits,)."""
        return self._limits.margin

    def _advance(self, now: int, verdict: Verdict) -> None:
        self.verdict = verdict
        super()._advance(now, verdict)
