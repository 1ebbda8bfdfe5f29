"""The twin against what paper and pencil say of such a car."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import msgspec
import mujoco
import numpy as np
import pytest

from robot.errors import SpecError
from robot.spec import load_spec
from sim.car import WHEELS, ackermann, car_parameters
from sim.twin import CarTwin
from sim.world import Obstacle, Segment, Start, Wall, World, load_world, world_path

SPEC = load_spec(Path(__file__).parents[2] / "launch/robots/racer.toml")
CAR = car_parameters(SPEC)
OVAL = load_world(world_path("oval"))
HALL = World(
    name="hall",
    description="a ring so wide that nobody meets its walls",
    half_width=19.0,
    wall=Wall(height=0.25, thickness=0.1),
    start=Start(distance=0.0),
    segments=(Segment(radius=20.0, turn_degrees=360.0),),
)
MS = 1_000_000
GRAVITY = 9.81


def drive(twin: CarTwin, seconds: float, watch: Callable[[], None] = lambda: None) -> None:
    for _ in range(round(seconds * 1000)):
        twin.advance(twin.time_ns + MS)
        watch()


def cruise(twin: CarTwin, speed: float, steering: float, seconds: float, watch: Callable[[], None]) -> None:
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


def launch(twin: CarTwin, x: float, y: float, yaw: float, speed: float) -> None:
    """Set the car down rolling at ``speed`` [m/s]."""
    twin.place((x, y, yaw))
    twin.data.qvel[:2] = speed * math.cos(yaw), speed * math.sin(yaw)
    for name in WHEELS:
        twin.data.joint(name).qvel[0] = speed / CAR.wheel_radius


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
    length = CAR.front_axle + CAR.rear_axle
    for steering in (-0.26, -0.1, 0.05, 0.3):
        radius = length / math.tan(steering)
        left, right = ackermann(CAR, steering)
        assert length / math.tan(left) + CAR.track_width / 2 == pytest.approx(radius)
        assert length / math.tan(right) - CAR.track_width / 2 == pytest.approx(radius)
    assert ackermann(CAR, 0.0) == (0.0, 0.0)


# At rest.


def test_at_rest_it_does_not_creep_and_feels_gravity() -> None:
    twin = CarTwin(SPEC, OVAL)
    before = twin.pose()
    drive(twin, 2.0)
    assert math.dist(before[:2], twin.pose()[:2]) < 1e-4
    assert np.linalg.norm(twin.data.qvel[:6]) < 1e-5
    assert twin.specific_force == pytest.approx([0, 0, GRAVITY], abs=1e-3)
    assert twin.angular_velocity == pytest.approx([0, 0, 0], abs=1e-5)
    assert twin.upright() == pytest.approx(1.0)
    assert not twin.in_contact_with_wall()


def test_the_antenna_is_where_the_calibration_mounts_it() -> None:
    twin = CarTwin(SPEC, OVAL)
    height = SPEC.scalar("centre_of_mass_height") + SPEC.vector("gnss_antenna")[2]
    assert twin.antenna_position == pytest.approx([*twin.pose()[:2], height], abs=1e-3)


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


# Driving.


def rolling_mass() -> float:
    """Mass that the motor's force accelerates: the car, its wheels' rotation and the rotor's."""
    spin = 4 * 0.7 * CAR.wheel_mass * CAR.wheel_radius**2 + CAR.rotor_inertia * CAR.gear_ratio**2
    return CAR.mass + spin / CAR.wheel_radius**2


def force(amperes: float) -> float:
    gear = CAR.gear_ratio * CAR.drivetrain_efficiency / CAR.wheel_radius
    return CAR.motor_torque_constant * gear * amperes


RESISTANCE = CAR.rolling_resistance * CAR.mass * GRAVITY


@pytest.mark.parametrize("amperes", [5.0, 30.0, -30.0])
def test_acceleration_is_the_motor_s_force_over_the_rolling_mass(amperes: float) -> None:
    twin = CarTwin(SPEC, HALL)
    twin.drive_current(amperes)
    drive(twin, 0.2)
    before = twin.velocity_body()[0]
    drive(twin, 0.5)
    expected = math.copysign(force(abs(amperes)) - RESISTANCE, amperes) / rolling_mass()
    assert (twin.velocity_body()[0] - before) / 0.5 == pytest.approx(expected, rel=0.01)
    assert twin.motor_current == amperes


def test_top_speed_is_where_the_motor_curve_meets_the_resistance() -> None:
    twin = CarTwin(SPEC, HALL)
    launch(twin, *HALL.start_pose, 16.0)
    twin.drive_current(30.0)
    speeds = []
    for _ in range(3):
        drive(twin, 0.5)
        speeds.append(twin.motor_speed)
    current = RESISTANCE / force(1.0)
    loop = CAR.motor_resistance + CAR.duty_limit**2 * CAR.battery_resistance
    back_emf = CAR.duty_limit * CAR.battery_voltage - loop * current
    assert speeds[-1] == pytest.approx(back_emf / CAR.motor_torque_constant, rel=0.01)


def test_motor_speed_is_ground_speed_through_the_gear() -> None:
    twin = CarTwin(SPEC, HALL)
    twin.drive_current(10.0)
    drive(twin, 0.8)
    twin.drive_current(0.0)
    drive(twin, 0.2)
    erpm = twin.motor_speed * 60 / (2 * math.pi) * SPEC.scalar("motor_pole_pairs")
    assert erpm / twin.velocity_body()[0] == pytest.approx(SPEC.scalar("erpm_per_speed"), rel=0.002)


def test_coasting_loses_the_rolling_resistance() -> None:
    twin = CarTwin(SPEC, HALL)
    launch(twin, *HALL.start_pose, 2.0)
    drive(twin, 0.1)
    before = twin.velocity_body()[0]
    drive(twin, 0.5)
    assert (before - twin.velocity_body()[0]) / 0.5 == pytest.approx(RESISTANCE / rolling_mass(), rel=0.02)


def test_braking_stops_and_never_reverses() -> None:
    twin = CarTwin(SPEC, HALL)
    launch(twin, *HALL.start_pose, 4.0)
    twin.brake_current(20.0)
    start, speeds = twin.pose(), []
    drive(twin, 3.0, lambda: speeds.append(twin.velocity_body()[0]))
    assert min(speeds) > -1e-3
    assert speeds[-1] < 1e-3
    assert speeds[100] - speeds[600] == pytest.approx(
        0.5 * (force(20.0) + RESISTANCE) / rolling_mass(), rel=0.01
    )
    ideal = 4.0**2 / 2 * rolling_mass() / (force(20.0) + RESISTANCE)
    assert ideal < math.dist(start[:2], twin.pose()[:2]) < 1.1 * ideal


def test_centripetal_force_and_lever_arm_are_felt() -> None:
    twin = CarTwin(SPEC, HALL)
    felt: list[np.ndarray] = []
    moved: list[np.ndarray] = []

    def watch() -> None:
        forward, left, rate = twin.velocity_body()
        felt.append(twin.specific_force - [-left * rate, forward * rate, GRAVITY])
        moved.append(twin.antenna_velocity[:2] - twin.data.qvel[:2])

    cruise(twin, 1.5, 0.2, 4.0, watch)
    assert np.mean(felt, axis=0) == pytest.approx([0, 0, 0], abs=0.05)
    assert np.abs(moved).max() < 1e-3  # straight above the centre of mass: yaw does not move it


def test_an_accelerometer_off_the_centre_feels_the_rotation_too() -> None:
    place = msgspec.structs.replace(SPEC.calibration["imu_position"], value=(0.1, 0.05, 0.0))
    spec = msgspec.structs.replace(SPEC, calibration=SPEC.calibration | {"imu_position": place})
    twin = CarTwin(spec, HALL)
    felt: list[np.ndarray] = []

    def watch() -> None:
        forward, left, rate = twin.velocity_body()
        felt.append(twin.specific_force - [-left * rate, forward * rate, GRAVITY])
        felt[-1][:2] += rate**2 * np.array([0.1, 0.05])

    cruise(twin, 2.0, 0.25, 4.0, watch)
    assert np.mean(felt, axis=0) == pytest.approx([0, 0, 0], abs=0.06)


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


# The helping hand, and time.


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


@pytest.mark.parametrize("pose", [(0.5, 1.6, 3.0), (-3.9, 0.2, -1.5), (0.0, -1.5, 0.4)])
def test_it_stands_still_where_it_is_placed(pose: tuple[float, float, float]) -> None:
    twin = CarTwin(SPEC, OVAL)
    launch(twin, 0.0, -1.6, 0.0, 4.0)
    drive(twin, 0.3)
    time_ns = twin.time_ns
    twin.place(pose)
    assert twin.time_ns == time_ns
    assert twin.pose() == pytest.approx(pose)
    assert twin.motor_speed == 0.0
    drive(twin, 0.5)
    assert twin.pose() == pytest.approx(pose, abs=1e-3)


def test_a_human_hand_is_not_exact_and_puts_the_car_on_the_track() -> None:
    places = []
    for seed in (1, 2):
        twin = CarTwin(SPEC, OVAL, np.random.default_rng(seed))
        twin.place((1.2, 2.0, 1.0))
        twin.place()
        places.append(twin.pose())
        assert twin.pose()[1] == pytest.approx(1.6, abs=0.2)
        assert abs(twin.pose()[2]) == pytest.approx(math.pi, abs=0.3)
    assert places[0] != places[1]


def test_time_advances_in_whole_steps_and_never_back() -> None:
    twin = CarTwin(SPEC, OVAL)
    twin.advance(10_400_000)
    assert twin.time_ns == 10_000_000
    twin.advance(5_000_000)
    assert twin.time_ns == 10_000_000


def erratic(twin: CarTwin, seed: int, steps: int) -> list[bytes]:
    rng = np.random.default_rng(seed)
    seen = []
    for _ in range(steps):
        twin.servo(rng.uniform(0.1, 0.9))
        (twin.drive_current if rng.random() < 0.8 else twin.brake_current)(rng.uniform(0, 30))
        twin.advance(twin.time_ns + 50 * MS)
        sensed = [*twin.specific_force, *twin.antenna_velocity, twin.motor_speed, twin.input_voltage]
        seen.append(np.array(sensed).tobytes() + twin.state().tobytes())
    return seen


def test_the_same_commands_give_the_same_bits_walls_included() -> None:
    first, second = CarTwin(SPEC, OVAL), CarTwin(SPEC, OVAL)
    assert erratic(first, 1, 60) == erratic(second, 1, 60)
    assert first.pose()[:2] != OVAL.start_pose[:2]


def test_a_snapshot_has_the_same_future() -> None:
    twin, other = CarTwin(SPEC, OVAL), CarTwin(SPEC, OVAL)
    erratic(twin, 2, 37)
    snapshot, felt = twin.state(), twin.specific_force
    future = erratic(twin, 3, 40)
    erratic(other, 4, 10)
    other.set_state(snapshot)
    assert other.state().tobytes() == snapshot.tobytes()
    assert other.specific_force.tobytes() == felt.tobytes()
    assert erratic(other, 3, 40) == future
    twin.set_state(snapshot)
    assert erratic(twin, 3, 40) == future


def test_sensor_arrays_are_the_caller_s_to_keep() -> None:
    twin = CarTwin(SPEC, OVAL)
    kept = [twin.specific_force, twin.angular_velocity, twin.antenna_position, twin.antenna_velocity]
    copies = [k.copy() for k in kept]
    twin.drive_current(20.0)
    drive(twin, 0.3)
    assert all((k == c).all() for k, c in zip(kept, copies, strict=True))
