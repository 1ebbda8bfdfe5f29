"""Robots that are hidden from the procedures which are to measure them, and the truth about each.

What a procedure measures is drawn wide. What it takes as known, and counts as uncertain as the robot's file
says, is drawn as uncertain as that: a car was put on scales before its motor is measured.
"""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import tomli_w

from calibration.drivetrain import ROTOR_SHARE
from launch.bench.calibration import MOST_DEVIATES, hidden
from launch.catalogue import find
from robot.gravity import STANDARD_GRAVITY
from robot.spec import RobotSpec, load_spec
from sim.car import CarParameters, car_parameters
from sim.emulators.vesc import ACCELEROMETER_STEPS, GYROSCOPE_STEPS
from sim.surrogate import Deviation, Surrogate

KNOWN = ("mass", "wheel_mass", "rear_axle", "wheelbase")
"""Calibration values that procedures take from the robot's file with its standard deviation."""
MOST_BACKLASH = 0.05
"""[rad]: 2 degrees are a worn linkage (sim/surrogates/worn.toml)."""
NOISE_SIGMA = 0.35
"""Of the logarithm of a sensor's noise [1]: half to twice, as boards shake."""
MOST_ANTENNA_M = 0.15
"""Along and, half as much, across: a mast stands anywhere on a car of 0.58 x 0.31 m."""
MOST_ASIDE = 0.05
"""The reference's bound for steering: aside after 3 m of straight on [m]."""


@dataclass(frozen=True)
class HiddenRobot:
    """``spec``: its file, of ``about``, plain data. ``surrogate``: what it really is; ``truth`` by the
    quantity's name, in its unit. ``told``: quantities whose truth is in the file, where the emulated sensors
    have it from, and where the procedures that measure them do not look."""

    spec: RobotSpec
    about: dict[str, Any]
    surrogate: Surrogate
    truth: dict[str, float]
    told: tuple[str, ...]

    def save(self, folder: Path) -> tuple[Path, Path]:
        """Its files: the robot's and the surrogate's."""
        robot, surrogate = folder / f"{self.spec.name}.toml", folder / f"{self.surrogate.name}.toml"
        robot.write_text(tomli_w.dumps(self.about))
        surrogate.write_text(tomli_w.dumps(msgspec.to_builtins(self.surrogate)))
        return robot, surrogate


def hidden_robot(number: int, seed: int) -> HiddenRobot:
    """The same for the same numbers. Every fourth is other physics than the twin's."""
    path = find("robots", "racer")
    base = load_spec(path)
    drawn, _ = hidden(base, number, seed)
    rng = np.random.default_rng([seed, number, *b"procedures"])

    def deviate() -> float:
        return float(np.clip(rng.standard_normal(), -MOST_DEVIATES, MOST_DEVIATES))

    true = {name: base.scalar(name) + base.calibration[name].sigma * deviate() for name in KNOWN}
    true["front_axle"] = true.pop("wheelbase") - true["rear_axle"]
    true["rotor_inertia"] = CarParameters.rotor_inertia * (1.0 + ROTOR_SHARE * deviate())
    true["steering_backlash"] = float(rng.uniform(0.0, MOST_BACKLASH))
    others = tuple(change for change in drawn.truth if change.parameter not in true)
    changes = tuple(Deviation(name, "drawn", 0.0, value) for name, value in true.items())
    surrogate = msgspec.structs.replace(drawn, truth=others + changes)

    about = tomllib.loads(path.read_text())
    values = about["calibration"]
    for name in ("gyroscope_noise", "accelerometer_noise"):
        values[name]["value"] *= math.exp(NOISE_SIGMA * deviate())
    along, across = rng.uniform(-1.0, 1.0, 2) * (MOST_ANTENNA_M, MOST_ANTENNA_M / 2.0)
    values["gnss_antenna"]["value"][:2] = [float(along), float(across)]
    spec = msgspec.convert(about, RobotSpec)
    truth = truth_of(spec, car_parameters(spec, surrogate.truths(spec)))
    told = ("gyroscope_noise", "accelerometer_noise", "gnss_antenna_x", "gnss_antenna_y")
    return HiddenRobot(spec, about, surrogate, truth, told)


def truth_of(spec: RobotSpec, car: CarParameters) -> dict[str, float]:
    """What the procedures' quantities, and findings that are judged, are for such a ``car`` with the sensors
    of its file."""
    along, across, _ = spec.vector("gnss_antenna")
    own = (
        *("wheel_radius", "servo_offset", "servo_gain", "steering_backlash", "steering_time_constant"),
        *("rolling_resistance", "motor_torque_constant", "drivetrain_efficiency"),
    )
    turns = spec.scalar("motor_pole_pairs") * car.gear_ratio * 60.0 / math.tau
    return {name: float(getattr(car, name)) for name in own} | {
        "erpm_per_speed": turns / car.wheel_radius,
        "torque_constant_times_efficiency": car.motor_torque_constant * car.drivetrain_efficiency,
        "gyroscope_noise": with_rounding(spec.scalar("gyroscope_noise"), math.radians(1.0 / GYROSCOPE_STEPS)),
        "accelerometer_noise": with_rounding(
            spec.scalar("accelerometer_noise"), STANDARD_GRAVITY / ACCELEROMETER_STEPS
        ),
        "gnss_antenna_x": along,
        "gnss_antenna_y": across,
        "antenna_before_rear_axle": along + car.rear_axle,
    }


def with_rounding(sigma: float, step: float) -> float:
    """Standard deviation of what is rounded to steps (Sheppard's correction): whoever reads a sensor sees
    both."""
    return math.hypot(sigma, step / math.sqrt(12.0))


def accepted_error(spec: RobotSpec, quantity: str, truth: float) -> float:
    """How far off the reference accepts a quantity, in its unit; not a number where it names no bound: speed
    1 %; radius 5 %, of which a gain has the inverse; straight on 5 cm aside in 3 m, which an offset of the
    pulse makes by 3^2 / (2 wheelbase) times its angle."""
    if quantity in ("erpm_per_speed", "wheel_radius"):
        return 0.01 * abs(truth)
    if quantity == "servo_gain":
        return 0.05 * abs(truth)
    if quantity == "servo_offset":
        return MOST_ASIDE * 2.0 * spec.scalar("wheelbase") / 9.0 * abs(spec.scalar("servo_gain"))
    return math.nan
