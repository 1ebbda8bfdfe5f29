"""From how a car accelerates by its motor's current to the parameters of its drivetrain."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from calibration.entry import Quantity
from calibration.procedure import Array
from calibration.twin_parameters import WIDE
from robot.spec import RobotSpec
from sim.car import GRAVITY, car_parameters, wheel_inertia

ROTOR_SHARE = 0.3
"""How far off the rotor's inertia, an estimate, may be [1]."""
OWN = "sandlot calibrate motor:"
"""What the source of a value begins with that the motor's procedure found."""


@dataclass(frozen=True)
class Inertia:
    """``mass`` of the car and ``turning``, the mass that its wheels and rotor are felt as [kg], with standard
    deviations."""

    mass: float
    turning: float
    mass_sigma: float
    turning_sigma: float

    @property
    def total(self) -> float:
        return self.mass + self.turning


def inertia_of(spec: RobotSpec) -> Inertia:
    """As the calibration in force has it."""
    car = car_parameters(spec)
    wheels = 4.0 * wheel_inertia(car)[0] / car.wheel_radius**2
    rotor = car.rotor_inertia / metres_per_radian(spec) ** 2
    wheel_share = spec.calibration["wheel_mass"].sigma / car.wheel_mass
    turning_sigma = math.hypot(wheels * wheel_share, rotor * ROTOR_SHARE)
    return Inertia(car.mass, wheels + rotor, spec.calibration["mass"].sigma, turning_sigma)


def metres_per_radian(spec: RobotSpec) -> float:
    """That the car drives by a radian of its rotor [m]: radius over gears, as speed calibration has it."""
    return 60.0 * spec.scalar("motor_pole_pairs") / (2.0 * math.pi * spec.scalar("erpm_per_speed"))


def torque_per_ampere(spec: RobotSpec, per_ampere: float, sigma: float) -> tuple[float, float]:
    """Torque constant times efficiency [N m/A] and its standard deviation, from the acceleration
    ``per_ampere`` [m/s^2/A]. A scale of the speed counts twice: in the acceleration, and in radius over
    gears."""
    inertia = inertia_of(spec)
    value = per_ampere * inertia.total * metres_per_radian(spec)
    masses = math.hypot(inertia.mass_sigma, inertia.turning_sigma) / inertia.total
    return value, value * math.hypot(sigma / per_ampere, masses, 2.0 * _speed_share(spec))


def rolling_resistance(spec: RobotSpec, deceleration: float, sigma: float) -> tuple[float, float]:
    """Coefficient [1] and its standard deviation, from the ``deceleration`` by rolling [m/s^2]."""
    inertia = inertia_of(spec)
    value = deceleration * inertia.total / inertia.mass / GRAVITY
    by_mass = inertia.turning / inertia.mass * inertia.mass_sigma
    masses = math.hypot(inertia.turning_sigma, by_mass) / inertia.total
    return value, value * math.hypot(sigma / deceleration, masses, _speed_share(spec))


def torque_constant_and_efficiency(
    spec: RobotSpec, product: float, sigma: float
) -> tuple[tuple[Quantity, Quantity], Array]:
    """Both, and their covariance, shape (2, 2), where their ``product`` alone was measured [N m/A]: each is
    moved by its share of what they were uncertain, and their errors stay bound to each other. A linear
    Gaussian measurement of the sum of their logarithms."""
    names = ("motor_torque_constant", "drivetrain_efficiency")
    before = np.array([spec.scalar(name) for name in names])
    prior = np.array([prior_share(spec, name) for name in names]) ** 2
    weight = prior / (prior.sum() + (sigma / product) ** 2)
    after = before * np.exp(weight * math.log(product / float(before.prod())))
    covariance = np.outer(after, after) * (np.diag(prior) - np.outer(weight, prior))
    constant, efficiency = after.tolist()
    return (Quantity(names[0], "N m/A", constant), Quantity(names[1], "1", efficiency)), covariance


def prior_share(spec: RobotSpec, name: str) -> float:
    """How far off a value may be, of it [1]: as the entry of another procedure says, else what robots of the
    kind are off."""
    entry = spec.calibration[name]
    if entry.expires and entry.sigma > 0.0 and not entry.source.startswith(OWN):
        return entry.sigma / spec.scalar(name)
    return WIDE[name][0]


def _speed_share(spec: RobotSpec) -> float:
    """Standard deviation of the speed's scale, of it [1]."""
    return spec.calibration["erpm_per_speed"].sigma / spec.scalar("erpm_per_speed")
