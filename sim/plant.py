"""The physical car as its electronics see it: what goes into the motor and the servo, what the sensors feel.

The emulated devices are written against this protocol, so the physics behind them can be the MuJoCo twin, a
bench substitute in a test, or another model that judges the twin.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class CarPlant(Protocol):
    """A car's motor, servo and sensors in the physical world. Frames: body x forward, y left, z up; world x
    east, y north, z up. Arrays that come back are the caller's to keep."""

    def drive_current(self, amperes: float) -> None:
        """Motor current [A] from now on; positive accelerates forward, negative the other way. The plant
        saturates it by back-EMF, resistances and battery sag. Replaces a brake current."""

    def brake_current(self, amperes: float) -> None:
        """Current [A] (its magnitude counts) that opposes rotation from now on and never reverses it.
        Replaces a drive current."""

    def servo(self, position: float) -> None:
        """Commanded servo pulse, 0 to 1, from now on; the plant applies its true gain, offset, lag, rate."""

    @property
    def motor_speed(self) -> float:
        """Mechanical speed of the motor [rad/s], signed. ERPM = motor_speed * 60 / (2 pi) * pole pairs."""

    @property
    def motor_current(self) -> float:
        """Current that really flows in the motor [A], signed: positive accelerates forward."""

    @property
    def input_voltage(self) -> float:
        """Voltage at the controller's terminals under load [V]."""

    @property
    def fet_temperature(self) -> float:
        """Temperature of the controller's transistors [degC]."""

    @property
    def motor_temperature(self) -> float:
        """Temperature of the motor's winding [degC]."""

    @property
    def specific_force(self) -> Array:
        """What an ideal accelerometer reads at the IMU's place, body frame [m/s^2], shape (3,); +9.81 in z
        when at rest and level."""

    @property
    def angular_velocity(self) -> Array:
        """What an ideal gyroscope reads, body frame [rad/s], shape (3,)."""

    @property
    def antenna_position(self) -> Array:
        """The GNSS antenna, world frame [m], shape (3,)."""

    @property
    def antenna_velocity(self) -> Array:
        """The antenna's velocity, lever arm included, world frame [m/s], shape (3,)."""

    def advance(self, to_ns: int) -> None:
        """Step physics until its time is ``to_ns`` [ns]; returns at once if that is not in the future."""
