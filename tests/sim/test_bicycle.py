"""The bicycle model against closed forms of vehicle dynamics."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from car_drills import CAR, HALL, MS, OVAL, SPEC, cruise, drive, launch

from robot.errors import SandlotError
from sim.bicycle import Bicycle
from sim.car import GRAVITY
from sim.tyre import FRONT_STIFFNESS, REAR_STIFFNESS

WHEELBASE = CAR.front_axle + CAR.rear_axle


def steady(twin: Bicycle, speed: float, steering: float) -> tuple[float, float]:
    """Radius of the rear axle's circle [m], lateral acceleration [m/s^2] when settled."""
    seen: list[tuple[float, float, float]] = []
    cruise(twin, speed, steering, 5.0, lambda: seen.append(twin.velocity_body()))
    forward, left, rate = np.mean(seen, axis=0)
    return forward / rate, rate * math.hypot(forward, left)


@pytest.mark.parametrize("steering", [0.1, 0.26, -0.26])
def test_a_slow_circle_is_the_kinematic_bicycle_s(steering: float) -> None:
    radius, _ = steady(Bicycle(SPEC, HALL), 0.3, steering)
    assert radius == pytest.approx(WHEELBASE / math.tan(steering), rel=2e-3)


def test_the_understeer_gradient_is_that_of_the_axles_stiffness() -> None:
    """Rajamani 3.1: steering = L / R + K a_y, K = (W_f / C_f - W_r / C_r) / g; weights drop out of C here."""
    twin = Bicycle(SPEC, HALL)
    radius, lateral = steady(twin, 1.5, 0.05)
    gradient = (1 / FRONT_STIFFNESS - 1 / REAR_STIFFNESS) / (GRAVITY * CAR.tyre_friction)
    assert 0.05 - math.atan(WHEELBASE / radius) == pytest.approx(gradient * lateral, rel=0.15)


@pytest.mark.parametrize("friction", [0.4, 1.0])
def test_at_the_limit_it_understeers_and_friction_holds(friction: float) -> None:
    twin = Bicycle(SPEC, HALL, truth={"tyre_friction": friction})
    radius, lateral = steady(twin, 4.5, 0.26)
    assert radius > 1.5 * WHEELBASE / math.tan(0.26)
    assert 0.8 * friction * GRAVITY < lateral < friction * GRAVITY


def test_locked_wheels_brake_with_the_floor_s_friction() -> None:
    """v^2 / (2 mu g); the Magic Formula at full slip is within 2 % of its peak."""
    twin = Bicycle(SPEC, HALL, truth={"tyre_friction": 0.15})
    launch(twin, *HALL.start_pose, 3.0)
    twin.brake_current(60.0)
    start = twin.pose()
    drive(twin, 4.0)
    assert twin.velocity_body()[0] == pytest.approx(0.0, abs=1e-6)
    assert math.dist(start[:2], twin.pose()[:2]) == pytest.approx(9.0 / (2 * 0.15 * GRAVITY), rel=0.05)


def test_braked_it_stands_still_for_good() -> None:
    twin = Bicycle(SPEC, HALL)
    cruise(twin, 2.0, 0.26, 2.0, lambda: None)
    twin.brake_current(20.0)
    drive(twin, 2.5)
    before = twin.pose()
    drive(twin, 2.0)
    assert twin.pose() == pytest.approx(before, abs=1e-6)
    assert twin.motor_speed == pytest.approx(0.0, abs=1e-6)


class Scales:
    """Stands in for a tyre and reads the load."""

    STATE_SIZE = 0

    def __init__(self, tyre) -> None:
        self._tyre = tyre
        self.load = 0.0

    def step(self, forward: float, leftward: float, rolling: float, load: float) -> tuple[float, float]:
        self.load = load
        return self._tyre.step(forward, leftward, rolling, load)


@pytest.mark.parametrize("amperes", [25.0, -25.0])
def test_acceleration_moves_load_to_the_rear(amperes: float) -> None:
    twin = Bicycle(SPEC, HALL)
    front, rear = Scales(twin._front), Scales(twin._rear)
    twin._front, twin._rear = front, rear  # type: ignore[assignment]
    twin.drive_current(amperes)
    drive(twin, 0.3)
    moved = CAR.mass * twin.specific_force[0] * CAR.centre_of_mass_height / WHEELBASE
    weight = CAR.mass * GRAVITY / WHEELBASE
    assert front.load == pytest.approx(weight * CAR.rear_axle - moved, rel=1e-3)
    assert rear.load == pytest.approx(weight * CAR.front_axle + moved, rel=1e-3)
    assert moved * amperes > 0


def test_specific_force_is_the_velocity_s_rate() -> None:
    twin = Bicycle(SPEC, HALL)
    cruise(twin, 3.0, 0.2, 1.0, lambda: None)
    yaw, velocity = twin.pose()[2], twin.antenna_velocity[:2]
    twin.advance(twin.time_ns + MS)
    change = (twin.antenna_velocity[:2] - velocity) / 1e-3
    forward = change @ (math.cos(yaw), math.sin(yaw))
    left = change @ (-math.sin(yaw), math.cos(yaw))
    assert twin.specific_force == pytest.approx([forward, left, GRAVITY], abs=1e-6)


def test_half_the_step_gives_the_same_drive() -> None:
    ends = []
    for timestep in (1e-3, 0.5e-3):
        twin = Bicycle(SPEC, HALL, timestep=timestep)
        twin.drive_current(12.0)
        twin.servo(CAR.servo_gain * 0.15 + CAR.servo_offset)
        drive(twin, 2.5)
        ends.append((*twin.pose()[:2], twin.velocity_body()[0]))
    assert ends[0] == pytest.approx(ends[1], abs=0.02)
    assert math.dist(ends[0][:2], HALL.start_pose[:2]) > 2.0


# Walls.


def test_a_head_on_hit_at_2_m_s_is_a_bump_of_5_to_15_g() -> None:
    twin = Bicycle(SPEC, OVAL)
    launch(twin, 0.0, -1.6, -math.pi / 2, 2.0)
    felt: list[float] = []
    drive(twin, 0.5, lambda: felt.append(float(np.hypot(*twin.specific_force[:2])) / GRAVITY))
    assert 5 < max(felt) < 15
    assert 10 <= sum(f > 2 for f in felt) <= 50  # [ms]
    assert -1.0 < twin.velocity_body()[0] < -0.2
    assert abs(twin.velocity_body()[1]) < 1e-9  # nothing turns a car that hits square


@pytest.mark.parametrize("angle", [90, 45, 20])
@pytest.mark.parametrize("speed", [1.0, 3.0, 5.0])
def test_a_wall_stops_the_car_and_is_never_passed(speed: float, angle: float) -> None:
    twin = Bicycle(SPEC, OVAL)
    launch(twin, -1.0, -1.6, -math.radians(angle), speed)
    twin.drive_current(10.0)
    deepest, touched = 0.0, False
    middle = (CAR.front_axle - CAR.rear_axle) / 2
    for _ in range(1500):
        twin.advance(twin.time_ns + MS)
        touched |= twin.in_contact_with_wall()
        _, y, yaw = twin.pose()
        for x in (middle + CAR.length / 2, middle - CAR.length / 2):
            for side in (CAR.width / 2, -CAR.width / 2):
                deepest = max(deepest, -2.35 - (y + math.sin(yaw) * x + math.cos(yaw) * side))
    assert touched and deepest < 0.02 * speed
    x, y, _ = twin.pose()
    assert abs(x) < 4.85 and abs(y) < 2.35


def test_it_slides_along_a_wall() -> None:
    twin = Bicycle(SPEC, OVAL)
    launch(twin, -2.0, -2.1, -0.15, 2.0)
    drive(twin, 0.5)
    assert twin.velocity_body()[0] > 1.2


def test_a_crash_creates_no_energy() -> None:
    rng = np.random.default_rng(0)
    for _ in range(8):
        twin = Bicycle(SPEC, OVAL)
        twin.place((rng.uniform(-2, 2), -1.6, rng.uniform(-math.pi, math.pi)))
        twin.launch(rng.uniform(1, 4), rng.uniform(-3, 3), rng.uniform(-5, 5))
        most = twin.kinetic_energy()
        for _ in range(500):
            twin.advance(twin.time_ns + MS)
            assert twin.kinetic_energy() < 1.01 * most
        assert twin.kinetic_energy() < most


def test_unphysical_parameters_are_named_rather_than_driven_on() -> None:
    twin = Bicycle(SPEC, HALL, truth={"yaw_inertia": math.nan})
    with pytest.raises(SandlotError, match="diverged"):
        drive(twin, 0.1)


def test_it_runs_at_twenty_times_real_time() -> None:
    twin = Bicycle(SPEC, OVAL)
    twin.servo(0.3)
    costs = []
    for _ in range(5):
        twin.drive_current(8.0)
        began = time.process_time()
        twin.advance(twin.time_ns + 200 * MS)
        costs.append((time.process_time() - began) / 0.2)
    assert min(costs) < 1 / 20
