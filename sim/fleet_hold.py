"""``robot.safety.setpoint_hold.SetpointHold`` for robots whose commands come at different ticks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from robot.safety.setpoint_hold import _TOLERANCE as TOLERANCE
from robot.spec import RobotSpec
from sim.plant import Array

Flags = NDArray[np.bool_]


class FleetHold:
    """Holds each robot's newest command, or ramps to it over a policy step where its action term says so."""

    def __init__(self, spec: RobotSpec, size: int) -> None:
        linear = {t.actuator for t in spec.actions if t.interpolation == "linear"}
        self._linear = np.array([a.name in linear for a in spec.actuators])
        self._any_linear = bool(self._linear.any())
        self._ticks = spec.ticks_per_step
        self._tolerance = TOLERANCE * np.array([a.upper - a.lower for a in spec.actuators])
        self._start: Array = np.tile([a.rest for a in spec.actuators], (size, 1))
        self._goal = self._start.copy()
        self._age: NDArray[np.int64] = np.zeros(size, np.int64)

    def take(self, spoken: Flags, goal: Array, from_here: Array) -> None:
        """New commands of the robots in ``spoken``; arrays of shape (size, n_actuators)."""
        self._goal[spoken], self._start[spoken], self._age[spoken] = goal[spoken], from_here[spoken], 0

    def target(self) -> Array:
        """What is asked for in this tick, shape (size, n_actuators); the caller must not change it."""
        if not self._any_linear:
            return self._goal
        share = (self._age + 1) / self._ticks
        ramp = self._start + (self._goal - self._start) * share[:, None]
        ramping = self._linear & (self._age + 1 < self._ticks)[:, None]
        return np.where(ramping, ramp, self._goal)

    def altered(self, allowed: Array, step: Array) -> Flags:
        """Which robots are no longer on their way to their command, shape (size,)."""
        remaining = np.maximum(self._ticks - 1 - self._age, 0)[:, None]
        return np.asarray((np.abs(self._goal - allowed) > step * remaining + self._tolerance).any(axis=1))

    def advance(self) -> None:
        """A tick has passed."""
        self._age += 1
