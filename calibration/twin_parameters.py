"""What of the twin can be identified from driving, and how far from its file a robot may be.

Each parameter is estimated as a deviate: how many of its own standard deviations it lies from its value, in
its logarithm where it is a positive scale. A value that an entry measured is as certain as that entry says;
what only the robot's file says is what such a robot usually is, and this one may differ by much more.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from robot.spec import RobotSpec
from sim.car import car_parameters
from sim.plant import Array
from sim.randomisation import CONDITIONS, command_delay

MOST = 4.0
"""Deviates are kept within so many standard deviations; an estimate at the bound is refused."""


@dataclass(frozen=True)
class TwinParameter:
    """``value`` [``unit``] at deviate 0. ``sigma``: of its logarithm, or [``unit``] of itself if it is an
    ``offset``. ``step``: of its finite differences, in deviates; ``reason``: why ``sigma`` is so large."""

    name: str
    unit: str
    value: float
    sigma: float
    reason: str
    offset: bool = False
    step: float = 0.2

    def at(self, deviate: float) -> float:
        """The value for a deviate."""
        if self.offset:
            return self.value + self.sigma * deviate
        return self.value * math.exp(self.sigma * deviate)

    def deviate(self, value: float) -> float:
        """The deviate of a value of the same sign."""
        if self.offset:
            return (value - self.value) / self.sigma
        return math.log(value / self.value) / self.sigma

    def slope(self, deviate: float) -> float:
        """Of the value in the deviate [``unit``]."""
        return self.sigma if self.offset else self.sigma * self.at(deviate)


UNITS = {"tyre_slip_rate": "1/s", "steering_backlash": "rad"}
"""Of what a robot's file need not name."""
OWN = "sandlot calibrate twin:"
"""What the source of a value begins with that an identification found."""
WIDE = {
    "servo_gain": (0.08, "teams measure gains up to a quarter off F1TENTH's default"),
    "steering_time_constant": (0.35, "from a digital servo to a worn analogue one"),
    "wheel_radius": (0.03, "tyres wear by 3 mm; gears are counted, so their ratio is not asked"),
    "tyre_friction": (0.2, "dust, rubber and temperature"),
    "tyre_slip_rate": (0.25, "a relaxation length of 4 to 9 cm at 3 m/s"),
    "mass": (0.08, "batteries and sensors that come and go"),
    "yaw_inertia": (0.15, "a robot is rarely hung up to be timed"),
    "centre_of_mass_height": (0.1, "batteries and masts"),
    "motor_torque_constant": (0.06, "windings of one type differ by some per cent, hot magnets lose as much"),
    "motor_resistance": (0.25, "leads and temperature"),
    "drivetrain_efficiency": (0.06, "dirt and grease in two meshes"),
    "rolling_resistance": (0.35, "floors from concrete to carpet"),
    "battery_voltage": (0.04, "a 3-cell pack between full and empty"),
    "battery_resistance": (0.5, "new and old packs"),
    "steering_backlash": (1.2, "from what nobody sees to two degrees and a half at the wheels"),
}
"""Standard deviations of logarithms [1], and why."""
AT_LEAST = {"steering_backlash": 0.004}
"""Where a scale is looked for of which the file says that it is nothing: a quarter of a degree [rad]."""
OFFSETS = {
    "servo_offset": (0.02, "a spline of a servo's horn is 0.04", 0.02),
    "command_delay": (0.004, "serial adapters and hubs", 0.5),
}
"""Standard deviations [the parameter's unit], why, and the step of finite differences [deviates]."""


def twin_parameters(spec: RobotSpec) -> tuple[TwinParameter, ...]:
    """Those of a robot, at its calibration's values."""
    car = car_parameters(spec)
    conditions = {p.name: p for p in CONDITIONS}
    found = []
    for name in (*OFFSETS, *WIDE):
        entry = spec.calibration.get(name)
        unit = entry.unit if entry else conditions[name].unit if name in conditions else UNITS[name]
        value = command_delay(spec) if name in conditions else float(getattr(car, name))
        # Its own last estimate is where it starts, not how certain it is: tyres wear, batteries change.
        own = entry is not None and entry.source.startswith(OWN)
        measured = entry.sigma if entry is not None and entry.expires and not own else 0.0
        if name in AT_LEAST:
            value = max(value, measured or AT_LEAST[name])
        if name in OFFSETS:
            sigma, reason, step = OFFSETS[name]
            found.append(TwinParameter(name, unit, value, measured or sigma, reason, True, step))
        else:
            sigma, reason = WIDE[name]
            found.append(TwinParameter(name, unit, value, measured / abs(value) or sigma, reason))
    return tuple(found)


def truth_of(parameters: tuple[TwinParameter, ...], deviates: Array) -> dict[str, float]:
    """Values by name, of deviates of shape (n,)."""
    return {p.name: p.at(z) for p, z in zip(parameters, deviates.tolist(), strict=True)}
