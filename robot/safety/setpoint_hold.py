"""Between two commands: the policy speaks at its rate, the actuators are served at the guardian's."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from robot.spec import RobotSpec

Array = NDArray[np.float64]

_TOLERANCE = 1e-3
"""What still counts as the same setpoint, as a fraction of the actuator's range: coarser than any wire format
here rounds (1e-3 of a servo's pulse range), finer than any action that matters."""


class SetpointHold:
    """Holds the newest command, or ramps to it over one policy step where its action term says ``linear``."""

    def __init__(self, spec: RobotSpec) -> None:
        linear = {t.actuator for t in spec.actions if t.interpolation == "linear"}
        self._linear = np.array([a.name in linear for a in spec.actuators])
        self._any_linear = bool(self._linear.any())
        self._ticks = spec.ticks_per_step
        self._tolerance = _TOLERANCE * np.array([a.upper - a.lower for a in spec.actuators])
        self._start = np.array([a.rest for a in spec.actuators])
        self._goal = self._start.copy()
        self._age = 0

    def take(self, goal: Array, from_here: Array) -> None:
        """A new command, shape (n_actuators,); ``from_here``: where the drives are, the start of a ramp."""
        np.copyto(self._goal, goal)
        np.copyto(self._start, from_here)
        self._age = 0

    def target(self) -> Array:
        """What is asked for in this tick, shape (n_actuators,); the caller must not change it."""
        if not self._any_linear or self._age + 1 >= self._ticks:
            return self._goal
        ramp = self._start + (self._goal - self._start) * ((self._age + 1) / self._ticks)
        return np.where(self._linear, ramp, self._goal)

    def altered(self, allowed: Array, step: Array) -> bool:
        """Whether ``allowed`` is no longer on its way to the command: it can no longer get there within the
        policy step at the actuator's own slew (``step`` per tick). Following a step change at the hardware's
        slew is what hardware does, and no alteration."""
        remaining = max(self._ticks - 1 - self._age, 0)
        return bool((np.abs(self._goal - allowed) > step * remaining + self._tolerance).any())

    def advance(self) -> None:
        """A tick has passed."""
        self._age += 1
