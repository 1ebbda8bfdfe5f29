"""A procedure's manoeuvre in the place of a person at an input device: behind pilot and guardian like any."""

from __future__ import annotations

from collections.abc import Callable

from calibration.manoeuvre import Manoeuvre
from robot.interface import Array
from robot.messages import Actor
from robot.practice.sight import MAY_MOVE
from robot.shared_memory import Mailbox
from robot.teleop.device import TeleopCommand

PATIENCE_S = 1.0
"""How long the robot rests, free to move, before a manoeuvre begins or begins again [s]."""


class CalibrationDriver:
    """Implements ``robot.teleop.device.TeleopDevice``. ``state``: the guardian's mailbox; the manoeuvre goes
    on only while the robot is free to move and knows where it is. ``tell``: told each leg as it begins."""

    def __init__(
        self, manoeuvre: Manoeuvre, state: Mailbox, tell: Callable[[int, str], None] = lambda _, __: None
    ) -> None:
        self.manoeuvre = manoeuvre
        self._state, self._tell = state, tell
        self.when_finished: Callable[[], None] = lambda: None
        """Told once the last leg is over."""
        self._free_ns: int | None = None
        self._leg = ""

    def read(self, now_ns: int, state: Array) -> TeleopCommand | None:
        record = self._state.read()
        free = record is not None and bool(record["converged"][0]) and record["safety_state"][0] in MAY_MOVE
        if not free:
            self._free_ns = None
            self.manoeuvre.again()
            return None
        if self._free_ns is None:
            self._free_ns = now_ns
        if now_ns - self._free_ns < PATIENCE_S * 1e9:
            return None
        setpoint = self.manoeuvre.command(now_ns * 1e-9, state)
        if self.manoeuvre.leg != self._leg:
            self._leg = self.manoeuvre.leg
            self._tell(now_ns, self._leg)
            if self.manoeuvre.finished:
                self.when_finished()
        return TeleopCommand(setpoint, now_ns, Actor.SCRIPT)
