"""The simplest thing a motor controller can drive: a point mass on a straight line. Implements CarPlant."""

from __future__ import annotations

import math

import numpy as np

NEWTON_PER_AMPERE = 0.56
MASS = 3.74
RADIUS = 0.05
GEAR = 12.08
ROLLING = 0.5  # N


class PointPlant:
    def __init__(self) -> None:
        self.time_ns = 0
        self.speed = 0.0  # m/s
        self.position = 0.0  # m, along x
        self.commands: list[tuple[int, str, float]] = []
        self.servo_position = 0.5
        self.braking = True
        self.amperes = 0.0
        self.felt = np.array([0.0, 0.0, 9.81])
        self.turning = np.zeros(3)
        self.input_voltage = 11.6
        self.fet_temperature = 31.25
        self.motor_temperature = 40.0
        self.offset = np.array([0.0, 0.0, 0.12])

    def drive_current(self, amperes: float) -> None:
        self.braking, self.amperes = False, amperes

    def brake_current(self, amperes: float) -> None:
        self.braking, self.amperes = True, abs(amperes)

    def servo(self, position: float) -> None:
        self.servo_position = position
        self.commands.append((self.time_ns, "servo", position))

    @property
    def motor_speed(self) -> float:
        return self.speed / RADIUS * GEAR

    @property
    def motor_current(self) -> float:
        if not self.braking:
            return self.amperes
        return -math.copysign(self.amperes, self.speed) if self.speed else 0.0

    @property
    def specific_force(self) -> np.ndarray:
        return self.felt.copy()

    @property
    def angular_velocity(self) -> np.ndarray:
        return self.turning.copy()

    @property
    def antenna_position(self) -> np.ndarray:
        return np.array([self.position, 0.0, 0.0]) + self.offset

    @property
    def antenna_velocity(self) -> np.ndarray:
        return np.array([self.speed, 0.0, 0.0])

    def pose(self) -> tuple[float, float, float]:
        return self.position, 0.0, 0.0

    def advance(self, to_ns: int) -> None:
        dt = (to_ns - self.time_ns) * 1e-9
        if dt <= 0.0:
            return
        self.time_ns = to_ns
        force = 0.0 if self.braking else self.amperes * NEWTON_PER_AMPERE
        drag = ROLLING + (self.amperes * NEWTON_PER_AMPERE if self.braking else 0.0)
        speed = self.speed + force / MASS * dt
        slow = drag / MASS * dt
        speed = 0.0 if abs(speed) <= slow else speed - math.copysign(slow, speed)
        self.position += 0.5 * (self.speed + speed) * dt
        self.speed = speed
