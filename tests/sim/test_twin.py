"""The twin against what paper and pencil say of such a car."""

from __future__ import annotations

import math

import msgspec
import mujoco
import numpy as np
import pytest
from car_drills import CAR, HALL, OVAL, SPEC, cruise, drive, launch

from robot.errors import SpecError
from sim.car import GRAVITY, ackermann
from sim.twin import CarTwin
from sim.world import Obstacle

# What it is.


def whole_body(twin: CarTwin) -> tuple[float, np.ndarray, np.ndarray]:
    """Mass, centre and inertia about it, summed over MuJoCo's own bodies in the world frame."""
    model, data = twin.model, twin.data
    mujoco.mj_forward(model, data)
    bodies = range(1, model.nbody)
    mass = float(sum(model.body_mass[b] for b in bodies))
    centre = sum(model.body_mass[b] * data.xipos[b] for b in bodies) / mass
    inertia = np.zeros((3, 3))
    for b in bodies:
        turn, arm = data.ximat[b].reshape(3, 3), data.xipos[b] - centre
        inertia += turn @ np.diag(model.body_inertia[b]) @ turn.T
        inertia += model.body_mass[b] * (arm @ arm * np.eye(3) - np.outer(arm, arm))
    return mass, np.asarray(centre), inertia


def test_mass_yaw_inertia_and_centre_of_mass_are_the_calibration() -> None:
    twin = CarTwin(SPEC, OVAL)
    mass, centre, inertia = whole_body(twin)
    assert mass == pytest.approx(SPEC.scalar("mass"), rel=1e-9)
    assert inertia[2, 2] == pytest.approx(SPEC.scalar("yaw_inertia"), rel=1e-5)
    assert centre[2] == pytest.approx(SPEC.scalar("centre_of_mass_height"), abs=5e-5)
    assert centre[:2] == pytest.approx(twin.pose()[:2], abs=1e-9)


def test_a_wheel_touches_the_floor_in_one_point() -> None:
    twin = CarTwin(SPEC, OVAL)
    drive(twin, 0.1)
    assert twin.data.ncon == 4


def test_hidden_truth_differs_from_the_calibration_and_unknown_truth_is_refused() -> None:
    assert whole_body(CarTwin(SPEC, OVAL, truth={"mass": 4.0}))[0] == pytest.approx(4.0)
    with pytest.raises(SpecError, match="tyre_friction"):
        CarTwin(SPEC, OVAL, truth={"tire_friction": 1.0})
    with pytest.raises(SpecError, match="wheels alone"):
        CarTwin(SPEC, OVAL, truth={"yaw_inertia": 0.01})


def test_both_front_wheels_turn_about_one_point_on_the_rear_axle() -> None:
    length, half = CAR.front_axle + CAR.rear_axle, CAR.track_width / 2
    for steering in (-0.26, -0.1, 1e-9, 0.05, 0.3):
        radius = length / math.tan(steering)
        for side in (-half, half):
            w, z = ackermann(math.tan(steering), length, side, math.sqrt)
            assert math.hypot(w, z) == pytest.approx(1.0, abs=1e-15)
            assert length / math.tan(2.0 * math.atan2(z, w)) - side == pytest.approx(radius)
    assert ackermann(0.0, length, half, math.sqrt) == (1.0, 0.0)


@pytest.mark.parametrize(
    "truth", [{}, {"mass": 4.2, "centre_of_mass_height": 0.09}, {"yaw_inertia": 0.07, "front_axle": 0.19}]
)
def test_any_car_rolls_on_its_calibrated_radius(truth: dict[str, float]) -> None:
    twin = CarTwin(SPEC, HALL, truth=truth)
    cruise(twin, 1.0, 0.0, 1.0, lambda: None)
    at, turned = twin.pose(), twin.data.qpos[-4:].mean()
    cruise(twin, 1.0, 0.0, 3.0, lambda: None)
    rolled = math.dist(twin.pose()[:2], at[:2])
    assert rolled / (twin.data.qpos[-4:].mean() - turned) == pytest.approx(twin.car.wheel_radius, rel=1e-4)


# Turning.


@pytest.mark.parametrize(("speed", "steering"), [(0.5, 0.26), (1.0, -0.2), (2.0, 0.2), (2.0, 0.05)])
def test_a_slow_circle_is_the_kinematic_bicycle_s(speed: float, steering: float) -> None:
    twin = CarTwin(SPEC, HALL)
    seen: list[tuple[float, float, float]] = []
    cruise(twin, speed, steering, 4.0, lambda: seen.append(twin.velocity_body()))
    forward, left, rate = np.mean(seen, axis=0)
    length = CAR.front_axle + CAR.rear_axle
    expected = math.hypot(length / math.tan(steering), CAR.rear_axle) * math.copysign(1, steering)
    assert math.hypot(forward, left) / rate == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("friction", [1.0489, 0.6])
def test_lateral_acceleration_ends_at_the_friction_limit(friction: float) -> None:
    twin = CarTwin(SPEC, HALL, truth={"tyre_friction": friction})
    felt: list[np.ndarray] = []
    cruise(twin, 4.5, 0.26, 5.0, lambda: felt.append(twin.specific_force))
    lateral = np.mean(felt, axis=0)[1] / GRAVITY
    assert 0.85 * friction < lateral < 1.05 * friction
    assert np.hypot(*np.array(felt)[:, :2].T).max() < 1.15 * friction * GRAVITY, "the tyres chatter"


def test_the_floor_s_friction_multiplies_the_tyres() -> None:
    def limit(floor: float, tyre: float) -> float:
        twin = CarTwin(
            SPEC, msgspec.structs.replace(HALL, floor_friction=floor), truth={"tyre_friction": tyre}
        )
        launch(twin, *HALL.start_pose, 3.0)
        twin.data.qvel[6:] = 0.0
        twin.brake_current(100.0)
        drive(twin, 0.02)
        return float(-twin.specific_force[0])

    assert limit(0.5, 1.0) == pytest.approx(limit(1.0, 0.5), rel=1e-6)
    assert limit(0.5, 1.0) < 0.6 * limit(1.0, 1.0)


def test_the_servo_lags_and_its_rate_is_limited() -> None:
    twin = CarTwin(SPEC, OVAL)
    assert twin.steering == 0.0
    twin.servo(CAR.servo_gain * 0.3 + CAR.servo_offset)
    drive(twin, 0.01)
    assert twin.steering == pytest.approx(0.01 * CAR.steering_rate, abs=1e-9)
    drive(twin, 0.2)
    near = 0.3 - twin.steering
    drive(twin, CAR.steering_time_constant)
    assert (0.3 - twin.steering) / near == pytest.approx(math.exp(-1), rel=1e-6)
    twin.servo(0.0)
    drive(twin, 1.0)
    assert twin.steering == pytest.approx(CAR.steering_limit, abs=1e-3)


# Walls.


@pytest.mark.parametrize("angle", [90, 45, 20])
@pytest.mark.parametrize("speed", [1.0, 3.0, 5.0])
def test_a_wall_stops_the_car_and_is_never_passed(speed: float, angle: float) -> None:
    twin = CarTwin(SPEC, OVAL)
    launch(twin, -1.0, -1.6, -math.radians(angle), speed)
    force_felt, deepest, touched = [0.0], [0.0], [False]

    def watch() -> None:
        force_felt[0] = max(force_felt[0], float(np.hypot(*twin.specific_force[:2])))
        corners = twin.data.body("car").xmat.reshape(3, 3)[:2, :2] @ np.array(
            [[0.29, 0.29, -0.29, -0.29], [0.15, -0.15, 0.15, -0.15]]
        )
        deepest[0] = max(deepest[0], float((-2.35 - twin.data.qpos[1] - corners[1]).max()))
        touched[0] |= twin.in_contact_with_wall()

    twin.drive_current(10.0)
    drive(twin, 1.5, watch)
    assert touched[0]
    assert deepest[0] < 0.07, "more than a bumper can give"
    x, y, _ = twin.pose()
    assert abs(x) < 4.85 and abs(y) < 2.35
    if angle == 90:
        assert 3 * GRAVITY < force_felt[0] < 9 * GRAVITY * speed


def test_a_head_on_hit_at_2_m_s_is_a_bump_of_5_to_15_g() -> None:
    twin = CarTwin(SPEC, OVAL)
    launch(twin, 0.0, -1.6, -math.pi / 2, 2.0)
    felt: list[float] = []
    drive(twin, 0.5, lambda: felt.append(float(np.hypot(*twin.specific_force[:2])) / GRAVITY))
    assert 5 < max(felt) < 15
    assert 10 <= sum(f > 2 for f in felt) <= 50  # [ms]
    assert -1.0 < twin.velocity_body()[0] < 0.0


def test_it_slides_along_a_wall() -> None:
    twin = CarTwin(SPEC, OVAL)
    launch(twin, -2.0, -2.1, -0.15, 2.0)
    drive(twin, 0.5)
    assert twin.velocity_body()[0] > 1.2


def test_an_obstacle_is_hit_where_the_file_puts_it() -> None:
    box = Obstacle(shape="box", size=(0.2, 0.4, 0.2), x=1.0, y=-1.6, yaw=0.0)
    twin = CarTwin(SPEC, msgspec.structs.replace(OVAL, obstacles=(box,)))
    launch(twin, -0.5, -1.6, 0.0, 1.5)
    nose = CAR.length / 2 + (CAR.front_axle - CAR.rear_axle) / 2
    hits: list[float] = []
    drive(twin, 1.5, lambda: hits.append(twin.pose()[0]) if twin.in_contact_with_wall() else None)
    assert hits[0] + nose == pytest.approx(0.9, abs=0.01)
    assert twin.pose()[0] + nose < 0.9


# The helping hand.


def test_a_flipped_car_says_so_and_the_hand_puts_it_back() -> None:
    twin = CarTwin(SPEC, OVAL)
    twin.data.qpos[2:7] = 0.3, 0.0, 1.0, 0.0, 0.0
    drive(twin, 1.0)
    assert twin.upright() < -0.9
    twin.place()
    x, y, yaw = twin.pose()
    assert (x, y, yaw) == pytest.approx(OVAL.start_pose, abs=0.06)
    drive(twin, 0.2)
    assert twin.upright() == pytest.approx(1.0)
    assert twin.specific_force == pytest.approx([0, 0, GRAVITY], abs=0.01)
