"""A steering servo and its linkage: from the commanded pulse to the angle of the wheels."""

from __future__ import annotations

import math

from sim.car import CarParameters


class Steering:
    """The servo follows its pulse with a first-order lag below a rate limit; the linkage follows the servo
    with ``steering_backlash`` of play. Kinematic: the servo is far stronger than the tyres."""

    STATE_SIZE = 3

    def __init__(self, car: CarParameters, timestep: float) -> None:
        self._car = car
        self._wanted = 0.0
        self._servo = 0.0
        self.angle = 0.0
        """Of the wheels [rad], left positive."""
        self._lag = 1.0 - math.exp(-timestep / car.steering_time_constant)
        self._turn = car.steering_rate * timestep
        self._play = car.steering_backlash / 2

    def command(self, position: float) -> None:
        """Commanded pulse, 0 to 1, from now on."""
        car = self._car
        angle = (min(max(position, 0.0), 1.0) - car.servo_offset) / car.servo_gain
        self._wanted = min(max(angle, -car.steering_limit), car.steering_limit)

    def step(self) -> float:
        """One timestep; returns the angle of the wheels [rad]."""
        change = self._lag * (self._wanted - self._servo)
        if change:
            servo = self._servo = self._servo + min(max(change, -self._turn), self._turn)
            self.angle = min(max(self.angle, servo - self._play), servo + self._play)
        return self.angle

    def state(self) -> list[float]:
        """What the future depends on, ``STATE_SIZE`` numbers."""
        return [self._wanted, self._servo, self.angle]

    def set_state(self, state: list[float]) -> None:
        self._wanted, self._servo, self.angle = state
