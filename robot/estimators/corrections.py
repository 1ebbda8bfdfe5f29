"""What corrects the planar filter: measurements as values, each of which knows its own prediction.

They hold what was measured and nothing of the state, so that a step can be corrected again in the same way
when an earlier one has changed.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from robot.estimators.planar_filter import GYRO, OX, OY, SCALE, VX, VY, YAW, N, PlanarFilter, X, Y

Array = NDArray[np.float64]

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

    def residual(self, planar: PlanarFilter) -> tuple[Array, Array]:
        """Measured less predicted, shape (2,), and the prediction's derivative, shape (2, N)."""
        state = planar.x.tolist()
        dx, dy, H = _moved(planar, self.time_ns, self.lever)
        ox, oy = 0.0, 0.0
        if self.satellite:
            ox, oy = state[OX], state[OY]
            H[0, OX] = H[1, OY] = 1.0
        return np.array([self.x - state[X] - dx - ox, self.y - state[Y] - dy - oy]), H

    def apply(self, planar: PlanarFilter, gate: float) -> bool:
        residual, H = self.residual(planar)
        return planar.vector(residual, H, np.eye(2) * self.variance, gate)


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
        H = np.zeros((2, N))
        H[0, YAW], H[0, VX], H[0, VY] = -wy, c, -s
        H[1, YAW], H[1, VX], H[1, VY] = wx, s, c
        return planar.vector(np.array([self.x - wx, self.y - wy]), H, np.eye(2) * self.variance, gate)


class Pose(NamedTuple):
    """World position [m] and heading [rad] of the car, taken ``time_ns``, with their variances."""

    time_ns: int
    x: float
    y: float
    yaw: float
    variance: tuple[float, float, float]

    def residual(self, planar: PlanarFilter) -> tuple[Array, Array]:
        """Measured less predicted, shape (3,), and the prediction's derivative, shape (3, N)."""
        state = planar.x.tolist()
        dx, dy, H2 = _moved(planar, self.time_ns, (0.0, 0.0))
        H = np.zeros((3, N))
        H[:2] = H2
        H[2, YAW] = 1.0
        turn = (planar.inputs.rate - state[GYRO]) * (self.time_ns - planar.time_ns) * 1e-9
        error = math.remainder(self.yaw - state[YAW] - turn, math.tau)
        return np.array([self.x - state[X] - dx, self.y - state[Y] - dy, error]), H

    def apply(self, planar: PlanarFilter, gate: float) -> bool:
        residual, H = self.residual(planar)
        return planar.vector(residual, H, np.diag(self.variance), gate)


def _moved(planar: PlanarFilter, time_ns: int, lever: tuple[float, float]) -> tuple[float, float, Array]:
    """From the centre of mass at the step to a point of the car a little before or after, along the arc [m],
    and the derivative of that point's position, shape (2, N)."""
    _, _, yaw, vx, vy, gyro = planar.x.tolist()[:6]
    dt = (time_ns - planar.time_ns) * 1e-9
    turn = (planar.inputs.rate - gyro) * dt
    c, s = math.cos(yaw + 0.5 * turn), math.sin(yaw + 0.5 * turn)
    ce, se = math.cos(yaw + turn), math.sin(yaw + turn)
    dx = (c * vx - s * vy) * dt + ce * lever[0] - se * lever[1]
    dy = (s * vx + c * vy) * dt + se * lever[0] + ce * lever[1]
    H = np.zeros((2, N))
    H[0, X] = H[1, Y] = 1.0
    H[0, YAW], H[0, VX], H[0, VY] = -dy, c * dt, -s * dt
    H[1, YAW], H[1, VX], H[1, VY] = dx, s * dt, c * dt
    return dx, dy, H
