"""Drills for simulated cars, MuJoCo or not: drive on, hold a speed, start rolling; and the figures that paper
and pencil give for the racer."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

from robot.spec import load_spec
from sim.bicycle import Bicycle
from sim.car import GRAVITY, WHEELS, car_parameters
from sim.plant import Twin
from sim.twin import CarTwin
from sim.world import hall, load_world, world_path

SPEC = load_spec(Path(__file__).parents[2] / "launch/robots/racer.toml")
CAR = car_parameters(SPEC)
OVAL = load_world(world_path("oval"))
HALL = hall(20.0)
MS = 1_000_000
RESISTANCE = CAR.rolling_resistance * CAR.mass * GRAVITY
"""Of rolling [N]."""


def rolling_mass() -> float:
    """Mass that the motor's force accelerates: the car, its wheels' rotation and the rotor's."""
    spin = 4 * 0.7 * CAR.wheel_mass * CAR.wheel_radius**2 + CAR.rotor_inertia * CAR.gear_ratio**2
    return CAR.mass + spin / CAR.wheel_radius**2


def force(amperes: float) -> float:
    """Of a motor current at the tyres [N]."""
    gear = CAR.gear_ratio * CAR.drivetrain_efficiency / CAR.wheel_radius
    return CAR.motor_torque_constant * gear * amperes


def drive(twin: Twin, seconds: float, watch: Callable[[], None] = lambda: None) -> None:
    for _ in range(round(seconds * 1000)):
        twin.advance(twin.time_ns + MS)
        watch()


def cruise(twin: Twin, speed: float, steering: float, seconds: float, watch: Callable[[], None]) -> None:
    """Hold a speed by a proportional-integral law on the motor's speed; ``watch`` sees the last second."""
    twin.servo(CAR.servo_gain * steering + CAR.servo_offset)
    total = 0.0
    for k in range(round(seconds * 1000)):
        error = speed - twin.motor_speed / CAR.gear_ratio * CAR.wheel_radius
        total = min(max(total + 0.02 * error, -30.0), 30.0)
        twin.drive_current(min(max(20 * error + total, -30.0), 30.0))
        twin.advance(twin.time_ns + MS)
        if k >= 1000 * (seconds - 1):
            watch()


def launch(twin: CarTwin | Bicycle, x: float, y: float, yaw: float, speed: float) -> None:
    """Set the car down rolling at ``speed`` [m/s]."""
    twin.place((x, y, yaw))
    if isinstance(twin, Bicycle):
        twin.launch(speed)
        return
    twin.data.qvel[:2] = speed * math.cos(yaw), speed * math.sin(yaw)
    for name in WHEELS:
        twin.data.joint(name).qvel[0] = speed / CAR.wheel_radius
