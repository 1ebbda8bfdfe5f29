"""What the guardian publishes each tick: the state mailbox and a record of the tick, both preallocated."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from robot.board import Board
from robot.messages import Cause, fault_dtype, state_dtype, tick_dtype
from robot.safety.state_machine import KernelState
from robot.shared_memory import Record
from robot.spec import RobotSpec

Array = NDArray[np.float64]


class Outbox:
    """Fill the arrays, then ``send``. ``requested``, ``allowed``, ``sent``, ``state``, ``deviation`` are
    views into the tick's record; ``requested`` is NaN while there is no command."""

    def __init__(self, spec: RobotSpec, board: Board, measured: Record) -> None:
        self._board = board
        self.state: Record = np.zeros(1, state_dtype(spec))
        self.tick: Record = np.zeros(1, tick_dtype(spec))
        self._fault: Record = np.zeros(1, fault_dtype(spec))
        self._in_tick, self._in_state = _fields(self.tick), _fields(self.state)
        self.requested: Array = self.tick["requested"][0]
        self.allowed: Array = self.tick["allowed"][0]
        self.sent: Array = self.tick["sent"][0]
        self.requested.fill(np.nan)
        self._measured_from = _bytes(measured)
        self._measured_to = self._bytes_of("measured")
        self._inputs_to = (self._bytes_of("command"), self._bytes_of("operator"))
        self._inputs: list[Record | None] = [None, None]  # as copied last
        self._devices: NDArray[np.uint8] = self.tick["devices"][0]
        self._copied = [
            (self.state[name][0], self.tick[name][0]) for name in ("state", "deviation", "allowed", "sent")
        ]
        self.altered = False

    def judged_by(
        self,
        read_ns: int,
        command: Record | None,
        operator: Record | None,
        devices: NDArray[np.uint8],
        ending: bool,
        estop: int,
    ) -> None:
        """Note for the log what the kernel judges this tick by: the newest records taken by ``read_ns`` (None
        before the first), a ``DeviceFlag`` for each device, whether the guardian was asked to end, and what
        the emergency stops said."""
        for k, record in enumerate((command, operator)):
            if record is not None and record is not self._inputs[k]:
                self._inputs[k] = record
                np.copyto(self._inputs_to[k], _bytes(record))
        np.copyto(self._devices, devices)
        tick = self._in_tick
        tick["read_ns"][0] = read_ns
        tick["ending"][0] = ending
        tick["estop"][0] = estop

    def send(
        self,
        now_ns: int,
        due_ns: int,
        kernel: KernelState,
        cause: Cause,
        actor: int,
        policy_version: int,
        estimate: Array,
        deviation: Array,
        converged: bool,
        overruns: int,
        request: int,
        margin: Array,
        silence: Array,
    ) -> None:
        """Publish the state; ``finish`` completes the tick's record once its duration is known."""
        tick, state = self._in_tick, self._in_state
        tick["state"][0] = estimate
        tick["deviation"][0] = deviation
        np.copyto(self._measured_to, self._measured_from)
        tick["time_ns"][0] = state["time_ns"][0] = now_ns
        tick["due_ns"][0] = due_ns
        tick["epoch"][0] = state["epoch"][0] = kernel.epoch
        tick["policy_version"][0] = policy_version
        tick["safety_state"][0] = state["safety_state"][0] = kernel.state
        tick["cause"][0] = state["cause"][0] = cause
        tick["actor"][0] = actor
        tick["request"][0] = state["request"][0] = request
        tick["margin"][0] = state["margin"][0] = margin
        tick["silence"][0] = silence
        tick["altered"][0] = self.altered
        tick["converged"][0] = state["converged"][0] = converged
        state["altered_ticks"][0] += self.altered
        state["overruns"][0] = overruns
        for to, source in self._copied:
            np.copyto(to, source)
        self._board.state.write(self.state)

    def finish(self, busy_ns: int, fault: str | None = None) -> None:
        """Push the tick's record; ``busy_ns``: how long the tick took until here. If the ring is full the log
        has a gap, and the loop does not care. ``fault``: a fault has just been latched, and what it is about;
        the tick is then also kept where no later one overwrites it."""
        self._in_tick["busy_ns"][0] = busy_ns
        self._board.ticks.push(self.tick)
        if fault is not None:
            self._fault["time_ns"] = self.tick["time_ns"]
            self._fault["detail"] = fault.encode()
            np.copyto(self._fault["tick"], self.tick)
            self._board.first_fault.write(self._fault)
        self._in_tick["tick"][0] += 1

    def abandon(self, now_ns: int, state: int, cause: Cause) -> None:
        """The last word of a guardian that ends while the robot was not at rest."""
        self.state["time_ns"] = now_ns
        self.state["safety_state"] = state
        self.state["cause"] = cause
        self._board.state.write(self.state)

    def _bytes_of(self, name: str) -> NDArray[np.uint8]:
        """The bytes of one field of the tick's record."""
        kind, offset = dict(self.tick.dtype.fields or {})[name][:2]
        return _bytes(self.tick)[offset : offset + kind.itemsize]


def _bytes(record: Record) -> NDArray[np.uint8]:
    """A record's bytes: one copy of them instead of one for each element of a nested record."""
    return record.view(np.uint8).reshape(-1)


def _fields(record: Record) -> dict[str, NDArray[Any]]:
    """Views of a record's fields, by name: to make one takes as long as to write through three."""
    return {name: record[name] for name in record.dtype.names or ()}
