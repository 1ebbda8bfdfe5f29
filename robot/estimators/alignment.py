"""The heading of a car nobody has told it: from the course over ground, once it moves."""

from __future__ import annotations

import math

from robot.estimators.corrections import Velocity

SPEED = 0.4
"""[m/s] over ground from which the course tells the heading."""
SIGMA = 0.1
"""[rad] that the heading must reach."""
MODEL = 0.03
"""[rad]: side slip not known at low speed."""
AGREEMENT = 0.5
"""[rad] by which courses may differ before collecting starts again."""
COUNT = 3
"""Courses at least, so that one wild velocity does not decide."""


class CourseAlignment:
    """Collects courses, each weighted by its speed, until their mean is sharp enough."""

    def __init__(self) -> None:
        self._sum, self._weight, self._count = 0j, 0.0, 0

    def course(self, fix: Velocity, yaw: float, vx: float, vy: float) -> tuple[float, float] | None:
        """Take a ground velocity together with the assumed heading [rad] and the velocity by wheels and
        inertia [m/s, body frame; its sign tells reverse]. Returns the angle to turn the heading by [rad] and
        the variance it then has, or None yet."""
        ground = math.hypot(fix.x, fix.y)
        if ground < SPEED or abs(ground - math.hypot(vx, vy)) > 0.3 + 0.1 * ground:
            self._restart()
            return None
        error = math.atan2(fix.y, fix.x) - math.atan2(vy, vx) - yaw
        if self._count and abs(math.remainder(error - self._mean(), math.tau)) > AGREEMENT:
            self._restart()
        weight = ground * ground / fix.variance
        self._sum += weight * complex(math.cos(error), math.sin(error))
        self._weight += weight
        self._count += 1
        variance = 1.0 / self._weight + MODEL**2
        if self._count < COUNT or variance > SIGMA**2:
            return None
        mean = self._mean()
        self._restart()
        return mean, variance

    def _mean(self) -> float:
        return math.atan2(self._sum.imag, self._sum.real)

    def _restart(self) -> None:
        self._sum, self._weight, self._count = 0j, 0.0, 0
