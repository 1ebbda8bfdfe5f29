"""The physical car as its electronics see it: what goes into the motor and the servo, what the sensors feel.

The emulated devices are written against this protocol, so the physics behind them can be the MuJoCo twin, a
bench substitute in a test, or another model that judges the twin.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from robot.spec import RobotSpec
from sim.world import World

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


class Twin(CarPlant, Protocol):
    """A simulated car: the plant that its electronics see, and the truth about it, which nothing onboard may
    know: it is for tests, reports and judges."""

    @property
    def time_ns(self) -> int:
        """The physics' own time [ns]: at most one step behind what ``advance`` was last asked for."""

    @property
    def steering(self) -> float:
        """The steering angle that the wheels have really reached [rad], left positive."""

    def pose(self) -> tuple[float, float, float]:
        """x, y of the centre of mass [m] and yaw [rad, -pi to pi]."""

    def velocity_body(self) -> tuple[float, float, float]:
        """Forward and leftward velocity of the centre of mass [m/s] and yaw rate [rad/s], body frame."""

    def upright(self) -> float:
        """Cosine of the tilt: 1 on its wheels, 0 on its side, -1 on its roof."""

    def in_contact_with_wall(self) -> bool:
        """Whether anything of the car touches a wall or an obstacle."""

    def place(self, pose: tuple[float, float, float] | None = None) -> None:
        """Pick the car up and set it down on its wheels, at rest: exactly at ``pose`` (x, y [m], yaw [rad]),
        or (None) about where it is, in the middle of the track and facing along it, as well as a hand can."""

    def state(self) -> Array:
        """Everything that decides the future, and what the sensors feel now; give it to ``set_state``."""

    def set_state(self, state: Array) -> None:
        """Return to a moment of this twin or of one like it: the same future to the last bit. The hand that
        sets the car down does not return to what it was."""


class TwinFactory(Protocol):
    """A class of twins. ``truth``: values of ``sim.car.CarParameters`` that differ from the calibration."""

    def __call__(
        self,
        spec: RobotSpec,
        world: World | Path,
        rng: np.random.Generator | None = None,
        truth: Mapping[str, float] | None = None,
    ) -> Twin: ...
