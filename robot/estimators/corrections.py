"""What corrects the planar filter: measurements as values, each of which knows its own prediction.

They hold what was measured and nothing of the state, so that a step can be corrected again in the same way
when an earlier one has changed.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from robot.estimators.planar_filter import GYRO, OX, OY, SCALE, VX, VY, YAW, PlanarFilter, Row, X, Y

BOUND = 3.0
"""[1]: deviations beyond which a scalar pulls no harder."""


class WheelSpeed(NamedTuple):
    """Speed of the driven wheels [m/s] at the step, and its deviation."""

    speed: float
    sigma: float

    def apply(self, planar: PlanarFilter, gate: float) -> bool:
        vx, scale = float(planar.x[VX]), float(planar.x[SCALE])
        terms = ((VX, 1.0 + scale), (SCALE, vx))
        planar.scalar(self.speed - vx * (1.0 + scale), self.sigma, terms, BOUND)
        return True


class RollingStraight(NamedTuple):
    """The rear axle, ``rear`` [m] behind the centre of mass, does not slide sideways; ``rate`` [rad/s] as
    measured."""

    rate: float
    rear: float
    sigma: float

    def apply(self, planar: PlanarFilter, gate: float) -> bool:
        sideways = float(planar.x[VY]) - self.rear * (self.rate - float(planar.x[GYRO]))
        planar.scalar(-sideways, self.sigma, ((VY, 1.0), (GYRO, self.rear)), BOUND)
        return True


class StillGyroscope(NamedTuple):
    """The yaw rate [rad/s] that the gyroscope shows while the car stands still."""

    rate: float
    sigma: float

    def apply(self, planar: PlanarFilter, gate: float) -> bool:
        planar.scalar(self.rate - float(planar.x[GYRO]), self.sigma, ((GYRO, 1.0),), BOUND)
        return True


class Position(NamedTuple):
    """World position [m] of a point ``lever`` [m] from the centre of mass (body frame), taken ``time_ns``,
    with its variance per axis; ``satellite``: the satellites' slow error is in it."""

    time_ns: int
    x: float
    y: float
    variance: float
    lever: tuple[float, float]
    satellite: bool

    def residual(self, planar: PlanarFilter) -> tuple[tuple[float, float], tuple[Row, Row]]:
        """Measured less predicted [m], and the prediction's derivative."""
        state = planar.x.tolist()
        dx, dy, row_x, row_y = _moved(planar, state, self.time_ns, self.lever)
        rx, ry = self.x - state[X] - dx, self.y - state[Y] - dy
        if not self.satellite:
            return (rx, ry), (row_x, row_y)
        return (rx - state[OX], ry - state[OY]), ((*row_x, (OX, 1.0)), (*row_y, (OY, 1.0)))

    def apply(self, planar: PlanarFilter, gate: float) -> bool:
        residual, rows = self.residual(planar)
        return planar.vector(residual, rows, (self.variance, self.variance), gate)


class Velocity(NamedTuple):
    """World velocity [m/s] of a point ``lever`` [m] from the centre of mass, with its variance per axis."""

    x: float
    y: float
    variance: float
    lever: tuple[float, float]

    def apply(self, planar: PlanarFilter, gate: float) -> bool:
        state = planar.x.tolist()
        yaw, rate = state[YAW], planar.inputs.rate - state[GYRO]
        c, s = math.cos(yaw), math.sin(yaw)
        bx, by = state[VX] - rate * self.lever[1], state[VY] + rate * self.lever[0]
        wx, wy = c * bx - s * by, s * bx + c * by
        rows = ((YAW, -wy), (VX, c), (VY, -s)), ((YAW, wx), (VX, s), (VY, c))
        return planar.vector((self.x - wx, self.y - wy), rows, (self.variance, self.variance), gate)


class Pose(NamedTuple):
    """World position [m] and heading [rad] of the car, taken ``time_ns``, with their variances."""

    time_ns: int
    x: float
    y: float
    yaw: float
    variance: tuple[float, float, float]

    def residual(self, planar: PlanarFilter) -> tuple[tuple[float, float, float], tuple[Row, Row, Row]]:
        """Measured less predicted [m, m, rad], and the prediction's derivative."""
        state = planar.x.tolist()
        dx, dy, row_x, row_y = _moved(planar, state, self.time_ns, (0.0, 0.0))
        turn = (planar.inputs.rate - state[GYRO]) * (self.time_ns - planar.time_ns) * 1e-9
        error = math.remainder(self.yaw - state[YAW] - turn, math.tau)
        return (self.x - state[X] - dx, self.y - state[Y] - dy, error), (row_x, row_y, ((YAW, 1.0),))

    def apply(self, planar: PlanarFilter, gate: float) -> bool:
        residual, rows = self.residual(planar)
        return planar.vector(residual, rows, self.variance, gate)


def _moved(
    planar: PlanarFilter, state: list[float], time_ns: int, lever: tuple[float, float]
) -> tuple[float, float, Row, Row]:
    """From the centre of mass at the step to a point of the car a little before or after, along the arc [m],
    and the derivative of that point's x and y. ``state``: that of the step."""
    _, _, yaw, vx, vy, gyro, *_ = state
    dt = (time_ns - planar.time_ns) * 1e-9
    turn = (planar.inputs.rate - gyro) * dt
    c, s = math.cos(yaw + 0.5 * turn), math.sin(yaw + 0.5 * turn)
    ce, se = math.cos(yaw + turn), math.sin(yaw + turn)
    dx = (c * vx - s * vy) * dt + ce * lever[0] - se * lever[1]
    dy = (s * vx + c * vy) * dt + se * lever[0] + ce * lever[1]
    row_x = (X, 1.0), (YAW, -dy), (VX, c * dt), (VY, -s * dt)
    row_y = (Y, 1.0), (YAW, dx), (VX, s * dt), (VY, c * dt)
    return dx, dy, row_x, row_y
