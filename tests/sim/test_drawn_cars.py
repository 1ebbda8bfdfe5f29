"""Practice on all cars that a calibration allows: one goes on where the other was."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from robot.spec import load_spec
from sim.car import car_parameters
from sim.drawn_cars import DrawnCars, cars
from sim.twin import CarTwin
from sim.world import load_world

ROOT = Path(__file__).parents[2]
SPEC = load_spec(ROOT / "launch/robots/racer.toml")
OVAL = load_world(ROOT / "sim/worlds/oval.toml")
MS = 1_000_000


def test_one_car_goes_on_where_the_other_was() -> None:
    made: list[CarTwin] = []

    def make(truth: Mapping[str, float]) -> CarTwin:
        made.append(CarTwin(SPEC, OVAL, truth=truth))
        return made[-1]

    twin = DrawnCars(make, cars(SPEC, seed=3), period_s=0.5)
    twin.servo(SPEC.scalar("servo_offset"))
    twin.drive_current(20.0)
    speeds, places = [], []
    for ms in range(10, 1600, 10):
        twin.advance(ms * MS)
        assert twin.time_ns == ms * MS
        speeds.append(twin.velocity_body()[0])
        places.append(twin.pose()[0])
    assert len(made) == 4
    assert len({car.car.mass for car in made}) == 4 and len({car.car.tyre_friction for car in made}) == 4
    assert np.abs(np.diff(speeds)).max() < 0.15 and speeds[-1] > 2.0
    np.testing.assert_allclose(np.diff(places), 0.01 * np.array(speeds[1:]), atol=2e-3)
    twin.place((0.0, 0.0, 0.5))
    assert made[-1].pose() == twin.pose() == pytest.approx((0.0, 0.0, 0.5))


def test_cars_are_drawn_as_for_validation_and_from_the_seed() -> None:
    drawn = list(islice(cars(SPEC, seed=0), 200))
    assert drawn[:3] == list(islice(cars(SPEC, seed=0), 3)) != list(islice(cars(SPEC, seed=1), 3))
    believed = car_parameters(SPEC)
    masses = np.array([car["mass"] for car in drawn])
    sigma = SPEC.calibration["mass"].sigma
    assert sigma > 0.0
    assert masses.mean() == pytest.approx(believed.mass, abs=4.0 * sigma / np.sqrt(len(masses)))
    assert masses.std() == pytest.approx(sigma, rel=0.2)
    assert {car["steering_limit"] for car in drawn} == {believed.steering_limit}  # which nobody is unsure of
