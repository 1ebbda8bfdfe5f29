"""Finding the heading: a robot whose estimate has none must move a little before it can see where it points.

A car under satellites or motion capture of a single point has no heading at rest. Until its estimator has
converged it drives the short, slow moves of ``practice.align`` in turn, behind the guardian like everybody.
"""

from __future__ import annotations

import numpy as np

from robot.errors import SpecError, nearest
from robot.spec import RobotSpec
from robot.task import Array

PATIENCE_NS = 1_500_000_000
"""An estimate that returns by itself within this time needs no move [ns]."""


class Aligning:
    """Setpoints while the estimate has not converged: rest at first, then each move for its time."""

    def __init__(self, spec: RobotSpec) -> None:
        names = [a.name for a in spec.actuators]
        self._rest = np.array([a.rest for a in spec.actuators])
        self._moves: list[tuple[int, Array]] = []
        for step in spec.practice.align:
            setpoint = self._rest.copy()
            for name, value in step.command.items():
                if name not in names:
                    raise SpecError(f"{spec.name}: practice.align commands {name!r}; {nearest(name, names)}")
                setpoint[names.index(name)] = value
            self._moves.append((round(step.seconds * 1e9), setpoint))
        self._total_ns = sum(ns for ns, _ in self._moves)
        self._since_ns: int | None = None

    def reset(self) -> None:
        """The estimate has converged, or the robot may not move."""
        self._since_ns = None

    def command(self, now_ns: int) -> Array:
        """The setpoint [actuator units] at ``now_ns``, counting from the first call since ``reset``."""
        if self._since_ns is None:
            self._since_ns = now_ns
        elapsed = now_ns - self._since_ns - PATIENCE_NS
        if elapsed < 0 or not self._moves:
            return self._rest
        elapsed %= self._total_ns
        for duration, setpoint in self._moves:
            if elapsed < duration:
                return setpoint
            elapsed -= duration
        return self._rest
