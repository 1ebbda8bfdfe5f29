"""What the guardian publishes each tick: the state mailbox and a record of the tick, both preallocated."""

from __future__ import annotations

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
        self.requested: Array = self.tick["requested"][0]
        self.allowed: Array = self.tick["allowed"][0]
        self.sent: Array = self.tick["sent"][0]
        self.requested.fill(np.nan)
        self._measured_from = _bytes(measured)
        self._measured_to = self._bytes_of("measured")
        self._inputs_to = (self._bytes_of("command"), self._bytes_of("operator"))
        self._devices: NDArray[np.uint8] = self.tick["devices"][0]
        self._copied = [
            (self.state[name][0], self.tick[name][0]) for name in ("state", "deviation", "allowed", "sent")
        ]
        self._margins: tuple[Array, ...] = (self.tick["margin"][0], self.state["margin"][0])
        self._silence: Array = self.tick["silence"][0]
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
        for to, record in zip(self._inputs_to, (command, operator), strict=True):
            if record is not None:
                np.copyto(to, _bytes(record))
        np.copyto(self._devices, devices)
        self.tick["read_ns"] = read_ns
        self.tick["ending"] = ending
        self.tick["estop"] = estop

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
        tick, state = self.tick, self.state
        tick["state"][0] = estimate
        tick["deviation"][0] = deviation
        np.copyto(self._measured_to, self._measured_from)
        tick["time_ns"] = now_ns
        tick["due_ns"] = due_ns
        tick["epoch"] = kernel.epoch
        tick["policy_version"] = policy_version
        tick["safety_state"] = kernel.state
        tick["cause"] = cause
        tick["actor"] = actor
        tick["request"] = state["request"] = request
        self._margins[0][:] = self._margins[1][:] = margin
        self._silence[:] = silence
        tick["altered"] = self.altered
        tick["converged"] = converged
        for to, source in self._copied:
            np.copyto(to, source)
        state["time_ns"] = now_ns
        state["altered_ticks"] += self.altered
        state["overruns"] = overruns
        state["epoch"] = kernel.epoch
        state["safety_state"] = kernel.state
        state["cause"] = cause
        state["converged"] = converged
        self._board.state.write(state)

    def finish(self, busy_ns: int, fault: str | None = None) -> None:
        """Push the tick's record; ``busy_ns``: how long the tick took until here. If the ring is full the log
        has a gap, and the loop does not care. ``fault``: a fault has just been latched, and what it is about;
        the tick is then also kept where no later one overwrites it."""
        self.tick["busy_ns"] = busy_ns
        self._board.ticks.push(self.tick)
        if fault is not None:
            self._fault["time_ns"] = self.tick["time_ns"]
            self._fault["detail"] = fault.encode()
            np.copyto(self._fault["tick"], self.tick)
            self._board.first_fault.write(self._fault)
        self.tick["tick"] += 1

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
