"""A fleet's car is the twin's, to the last bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from robot.spec import load_spec
from sim.fleet import CarFleet
from sim.twin import CarTwin
from sim.world import load_world, world_path

SPEC = load_spec(Path(__file__).parents[2] / "launch/robots/racer.toml")
OVAL = load_world(world_path("oval"))
MS = 1_000_000
TRUTHS = (
    {},
    {"mass": 3.9, "tyre_friction": 0.8, "servo_offset": 0.52, "battery_voltage": 10.9},
    {"wheel_radius": 0.0512, "front_axle": 0.151, "centre_of_mass_height": 0.071, "width": 0.313},
    {
        "motor_torque_constant": 0.0029,
        "steering_time_constant": 0.12,
        "steering_backlash": 0.03,
        "rolling_resistance": 0.03,
    },
)


@pytest.mark.parametrize("threads", [1, 2])
def test_each_car_is_the_twin_with_its_truth_to_the_last_bit_at_any_number_of_threads(threads: int) -> None:
    fleet = CarFleet(SPEC, OVAL, TRUTHS, threads=threads)
    twins = [CarTwin(SPEC, OVAL, truth=truth) for truth in TRUTHS]
    rng = np.random.default_rng(3)
    for k in range(300):
        if k % 20 == 0:
            amperes, position = rng.normal(12.0, 15.0, fleet.size), rng.uniform(-0.1, 1.1, fleet.size)
            brakes = rng.random(fleet.size) < 0.2
            fleet.motor.wanted = np.where(brakes, np.abs(amperes), amperes)
            fleet.motor.braking = brakes
            fleet.servo(position)
            for twin, a, p, brake in zip(twins, amperes, position, brakes, strict=True):
                twin.servo(p)
                if brake:
                    twin.brake_current(a)
                else:
                    twin.drive_current(a)
        fleet.step()
        for number, twin in enumerate(twins):
            twin.advance(twin.time_ns + MS)
            np.testing.assert_array_equal(fleet.batch.qpos[number], twin.data.qpos, strict=True)
            np.testing.assert_array_equal(fleet.batch.qvel[number], twin.data.qvel, strict=True)
    np.testing.assert_array_equal(fleet.steering, [t.steering for t in twins])
    np.testing.assert_array_equal(fleet.motor.current, [t.motor_current for t in twins])
    np.testing.assert_array_equal(fleet.motor_speed, [t.motor_speed for t in twins])
    np.testing.assert_array_equal(fleet.motor.input_voltage, [t.input_voltage for t in twins])
    np.testing.assert_array_equal(fleet.motor.winding_temperature, [t.motor_temperature for t in twins])
    np.testing.assert_array_equal(fleet.motor.controller_temperature, [t.fet_temperature for t in twins])
    np.testing.assert_allclose(fleet.specific_force, [t.specific_force for t in twins], atol=1e-12)
    np.testing.assert_allclose(fleet.attitude()[:, 2, 2], [t.upright() for t in twins], atol=1e-12)


def test_cars_that_are_not_stepped_stand_still_in_time_and_change_no_other() -> None:
    alone, beside = CarFleet(SPEC, OVAL, TRUTHS[:1], threads=1), CarFleet(SPEC, OVAL, TRUTHS, threads=1)
    before = beside.batch.qpos[3].copy()
    for fleet in (alone, beside):
        fleet.motor.wanted = np.full(fleet.size, 20.0)
        for _ in range(100):
            fleet.step(np.array([0]))
    np.testing.assert_array_equal(alone.batch.qpos[0], beside.batch.qpos[0])
    np.testing.assert_array_equal(before, beside.batch.qpos[3])


def test_placed_again_a_car_forgets_what_it_did() -> None:
    fleet = CarFleet(SPEC, OVAL, TRUTHS[:2], threads=1)
    poses = np.array([[1.0, -1.6, 0.3]])
    ends = []
    for _ in range(2):
        fleet.place(np.array([1]), poses, np.array([2.0]))
        assert fleet.velocity[1, 0] == pytest.approx(2.0 * np.cos(0.3))
        fleet.motor.wanted[1] = 25.0
        fleet.servo(np.full(2, 0.7))
        for _ in range(50):
            fleet.step()
        ends.append(fleet.batch.state[1].copy())
    np.testing.assert_array_equal(ends[0][1:], ends[1][1:])  # the first is the time, which goes on


def test_a_diverged_car_is_marked_and_stops_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # MuJoCo leaves a log of its warnings where it is
    fleet, alone = CarFleet(SPEC, OVAL, TRUTHS[:3], threads=1), CarFleet(SPEC, OVAL, TRUTHS[:1], threads=1)
    fleet.batch.qvel[1, 0] = np.nan
    for _ in range(20):
        fleet.step(np.flatnonzero(~fleet.diverged))
        alone.step()
    assert fleet.diverged.tolist() == [False, True, False]
    np.testing.assert_array_equal(fleet.batch.qpos[0], alone.batch.qpos[0])
