"""Which way is up, from gyroscope and accelerometer, without taking a corner for a slope.

The up direction in the body frame is turned by the gyroscope, and pulled towards the specific force less what
the wheels say the car is accelerating, but only while the rest has the length of gravity.
"""

from __future__ import annotations

import math

from robot.gravity import STANDARD_GRAVITY

TIME_CONSTANT = 1.0
"""[s] of the accelerometer's pull: a gyroscope bias of 0.01 rad/s then tilts by 0.01 rad at most."""
TRUSTED = 1.5
"""[m/s^2] by which the remaining force may differ in length from gravity and still be believed."""
DRIFT = 0.02
"""[rad/s]: gyroscope bias and scale error while nothing corrects it."""


class TiltFilter:
    """``up``: the vertical in the body frame, a unit vector; ``sigma``: its uncertainty [rad]."""

    def __init__(self) -> None:
        self.up = (0.0, 0.0, 1.0)
        self.sigma = 1.0
        self._started = False

    @property
    def cosine(self) -> float:
        """Cosine of the angle between the car's own vertical and the world's [1]."""
        return self.up[2]

    @property
    def cosine_deviation(self) -> float:
        """Standard deviation of ``cosine`` [1]."""
        return math.sqrt(max(0.0, 1.0 - self.up[2] ** 2)) * self.sigma + 0.5 * self.sigma**2

    def update(
        self,
        dt: float,
        rate: tuple[float, float, float],
        force: tuple[float, float, float],
        motion: tuple[float, float],
    ) -> None:
        """One step of ``dt`` [s]: angular velocity [rad/s], specific force [m/s^2], and the forward and
        lateral acceleration [m/s^2] that wheels and yaw rate account for."""
        fx, fy, fz = force[0] - motion[0], force[1] - motion[1], force[2]
        length = math.sqrt(fx * fx + fy * fy + fz * fz)
        if not self._started:
            if length < 0.5 * STANDARD_GRAVITY:
                return
            self._started = True
            self.up = (fx / length, fy / length, fz / length)
            self.sigma = 0.05
            return
        ux, uy, uz = self.up
        wx, wy, wz = rate[0] * dt, rate[1] * dt, rate[2] * dt
        # Second order in the angle, so that half a turn in half a second stays right to a few hundredths.
        cx, cy, cz = uy * wz - uz * wy, uz * wx - ux * wz, ux * wy - uy * wx
        ux += cx + 0.5 * (cy * wz - cz * wy)
        uy += cy + 0.5 * (cz * wx - cx * wz)
        uz += cz + 0.5 * (cx * wy - cy * wx)
        if abs(length - STANDARD_GRAVITY) < TRUSTED:
            gain = min(dt / TIME_CONSTANT, 1.0)
            ux += gain * (fx / length - ux)
            uy += gain * (fy / length - uy)
            uz += gain * (fz / length - uz)
            self.sigma += gain * (0.03 - self.sigma)
        else:
            self.sigma = min(self.sigma + DRIFT * dt, 1.0)
        scale = 1.0 / math.sqrt(ux * ux + uy * uy + uz * uz)
        self.up = (ux * scale, uy * scale, uz * scale)

    def turn_rate(self, wy: float, wz: float) -> float:
        """Rate of the heading [rad/s] from body rates. On wheels that is the gyroscope's z; lifted and
        tilted, the car turns about the vertical, not about itself."""
        _, uy, uz = self.up
        if uz > 0.9:
            return wz
        flat = uy * uy + uz * uz
        return (uy * wy + uz * wz) / flat if flat > 0.05 else 0.0
