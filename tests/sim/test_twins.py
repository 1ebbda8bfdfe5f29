"""What every simulated car owes, whatever its physics: paper and pencil's figures, and the contract."""

from __future__ import annotations

import math
from collections.abc import Callable

import msgspec
import numpy as np
import pytest
from car_drills import (
    CAR,
    HALL,
    MS,
    OVAL,
    RESISTANCE,
    SPEC,
    cruise,
    drive,
    force,
    launch,
    rolling_mass,
)

from robot.errors import SpecError
from sim.bicycle import Bicycle
from sim.car import GRAVITY
from sim.plant import Twin
from sim.twin import CarTwin

Make = Callable[..., CarTwin | Bicycle]


@pytest.fixture(params=[CarTwin, Bicycle])
def make(request: pytest.FixtureRequest) -> Make:
    return request.param


def test_at_rest_it_does_not_creep_and_feels_gravity(make: Make) -> None:
    twin = make(SPEC, OVAL)
    before = twin.pose()
    drive(twin, 2.0)
    assert math.dist(before[:2], twin.pose()[:2]) < 1e-4
    assert np.linalg.norm(twin.velocity_body()) < 1e-5
    assert twin.specific_force == pytest.approx([0, 0, GRAVITY], abs=1e-3)
    assert twin.angular_velocity == pytest.approx([0, 0, 0], abs=1e-5)
    assert twin.upright() == pytest.approx(1.0)
    assert not twin.in_contact_with_wall()


def test_the_antenna_is_where_the_calibration_mounts_it(make: Make) -> None:
    twin = make(SPEC, OVAL)
    height = SPEC.scalar("centre_of_mass_height") + SPEC.vector("gnss_antenna")[2]
    assert twin.antenna_position == pytest.approx([*twin.pose()[:2], height], abs=1e-3)


@pytest.mark.parametrize("amperes", [5.0, 30.0, -30.0])
def test_acceleration_is_the_motor_s_force_over_the_rolling_mass(make: Make, amperes: float) -> None:
    twin = make(SPEC, HALL)
    twin.drive_current(amperes)
    drive(twin, 0.2)
    before = twin.velocity_body()[0]
    drive(twin, 0.5)
    expected = math.copysign(force(abs(amperes)) - RESISTANCE, amperes) / rolling_mass()
    # The bicycle's driven wheels slip, so they turn up faster than the car.
    assert (twin.velocity_body()[0] - before) / 0.5 == pytest.approx(expected, rel=0.015)
    assert twin.motor_current == amperes


def test_top_speed_is_where_the_motor_curve_meets_the_resistance(make: Make) -> None:
    twin = make(SPEC, HALL)
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


def test_motor_speed_is_ground_speed_through_the_gear(make: Make) -> None:
    twin = make(SPEC, HALL)
    twin.drive_current(10.0)
    drive(twin, 0.8)
    twin.drive_current(0.0)
    drive(twin, 0.2)
    erpm = twin.motor_speed * 60 / (2 * math.pi) * SPEC.scalar("motor_pole_pairs")
    assert erpm / twin.velocity_body()[0] == pytest.approx(SPEC.scalar("erpm_per_speed"), rel=0.002)


def test_coasting_loses_the_rolling_resistance(make: Make) -> None:
    twin = make(SPEC, HALL)
    launch(twin, *HALL.start_pose, 2.0)
    drive(twin, 0.1)
    before = twin.velocity_body()[0]
    drive(twin, 0.5)
    assert (before - twin.velocity_body()[0]) / 0.5 == pytest.approx(RESISTANCE / rolling_mass(), rel=0.02)


def test_braking_stops_and_never_reverses(make: Make) -> None:
    twin = make(SPEC, HALL)
    launch(twin, *HALL.start_pose, 4.0)
    twin.brake_current(20.0)
    start, speeds = twin.pose(), []
    drive(twin, 3.0, lambda: speeds.append(twin.velocity_body()[0]))
    assert min(speeds) > -5e-3  # the bicycle's tyres let go of their last bend
    assert speeds[-1] < 1e-3
    assert speeds[100] - speeds[600] == pytest.approx(
        0.5 * (force(20.0) + RESISTANCE) / rolling_mass(), rel=0.01
    )
    ideal = 4.0**2 / 2 * rolling_mass() / (force(20.0) + RESISTANCE)
    assert ideal < math.dist(start[:2], twin.pose()[:2]) < 1.1 * ideal


def test_centripetal_force_and_lever_arm_are_felt(make: Make) -> None:
    twin = make(SPEC, HALL)
    felt: list[np.ndarray] = []
    moved: list[np.ndarray] = []

    def watch() -> None:
        forward, left, rate = twin.velocity_body()
        felt.append(twin.specific_force - [-left * rate, forward * rate, GRAVITY])
        yaw = twin.pose()[2]
        ground = [
            forward * math.cos(yaw) - left * math.sin(yaw),
            forward * math.sin(yaw) + left * math.cos(yaw),
        ]
        moved.append(twin.antenna_velocity[:2] - ground)

    cruise(twin, 1.5, 0.2, 4.0, watch)
    assert np.mean(felt, axis=0) == pytest.approx([0, 0, 0], abs=0.05)
    assert np.abs(moved).max() < 1e-3  # straight above the centre of mass: yaw does not move it


def test_an_accelerometer_off_the_centre_feels_the_rotation_too(make: Make) -> None:
    place = msgspec.structs.replace(SPEC.calibration["imu_position"], value=(0.1, 0.05, 0.0))
    spec = msgspec.structs.replace(SPEC, calibration=SPEC.calibration | {"imu_position": place})
    twin = make(spec, HALL)
    felt: list[np.ndarray] = []

    def watch() -> None:
        forward, left, rate = twin.velocity_body()
        felt.append(twin.specific_force - [-left * rate, forward * rate, GRAVITY])
        felt[-1][:2] += rate**2 * np.array([0.1, 0.05])

    cruise(twin, 2.0, 0.25, 4.0, watch)
    assert np.mean(felt, axis=0) == pytest.approx([0, 0, 0], abs=0.06)


@pytest.mark.parametrize("pose", [(0.5, 1.6, 3.0), (-3.9, 0.2, -1.5), (0.0, -1.5, 0.4)])
def test_it_stands_still_where_it_is_placed(make: Make, pose: tuple[float, float, float]) -> None:
    twin = make(SPEC, OVAL)
    launch(twin, 0.0, -1.6, 0.0, 4.0)
    drive(twin, 0.3)
    time_ns = twin.time_ns
    twin.place(pose)
    assert twin.time_ns == time_ns
    assert twin.pose() == pytest.approx(pose)
    assert twin.motor_speed == 0.0
    drive(twin, 0.5)
    assert twin.pose() == pytest.approx(pose, abs=1e-3)


def test_a_human_hand_is_not_exact_and_puts_the_car_on_the_track(make: Make) -> None:
    places = []
    for seed in (1, 2):
        twin = make(SPEC, OVAL, np.random.default_rng(seed))
        twin.place((1.2, 2.0, 1.0))
        twin.place()
        places.append(twin.pose())
        assert twin.pose()[1] == pytest.approx(1.6, abs=0.2)
        assert abs(twin.pose()[2]) == pytest.approx(math.pi, abs=0.3)
    assert places[0] != places[1]


def test_time_advances_in_whole_steps_and_never_back(make: Make) -> None:
    twin = make(SPEC, OVAL)
    twin.advance(10_400_000)
    assert twin.time_ns == 10_000_000
    twin.advance(5_000_000)
    assert twin.time_ns == 10_000_000


def erratic(twin: Twin, seed: int, steps: int) -> list[bytes]:
    rng = np.random.default_rng(seed)
    seen = []
    for _ in range(steps):
        twin.servo(rng.uniform(0.1, 0.9))
        (twin.drive_current if rng.random() < 0.8 else twin.brake_current)(rng.uniform(0, 30))
        twin.advance(twin.time_ns + 50 * MS)
        sensed = [*twin.specific_force, *twin.antenna_velocity, twin.motor_speed, twin.input_voltage]
        seen.append(np.array(sensed).tobytes() + twin.state().tobytes())
    return seen


def test_the_same_commands_give_the_same_bits_walls_included(make: Make) -> None:
    first, second = make(SPEC, OVAL), make(SPEC, OVAL)
    assert erratic(first, 1, 60) == erratic(second, 1, 60)
    assert first.pose()[:2] != OVAL.start_pose[:2]


def test_a_snapshot_has_the_same_future(make: Make) -> None:
    twin, other = make(SPEC, OVAL), make(SPEC, OVAL)
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


def test_sensor_arrays_are_the_caller_s_to_keep(make: Make) -> None:
    twin = make(SPEC, OVAL)
    kept = [twin.specific_force, twin.angular_velocity, twin.antenna_position, twin.antenna_velocity]
    copies = [k.copy() for k in kept]
    twin.drive_current(20.0)
    drive(twin, 0.3)
    assert all((k == c).all() for k, c in zip(kept, copies, strict=True))


def test_the_antenna_s_velocity_is_its_position_s_rate(make: Make) -> None:
    place = msgspec.structs.replace(SPEC.calibration["gnss_antenna"], value=(-0.15, 0.05, 0.12))
    twin = make(msgspec.structs.replace(SPEC, calibration=SPEC.calibration | {"gnss_antenna": place}), HALL)
    cruise(twin, 2.0, 0.2, 2.0, lambda: None)
    before, velocity = twin.antenna_position, twin.antenna_velocity
    twin.advance(twin.time_ns + MS)
    mean = (velocity + twin.antenna_velocity) / 2
    assert (twin.antenna_position - before)[:2] / 1e-3 == pytest.approx(mean[:2], abs=0.01)
    assert np.hypot(*velocity[:2]) != pytest.approx(np.hypot(*twin.velocity_body()[:2]), abs=0.01)


def test_unknown_truth_is_refused(make: Make) -> None:
    with pytest.raises(SpecError, match="tyre_friction"):
        make(SPEC, OVAL, truth={"tire_friction": 1.0})
