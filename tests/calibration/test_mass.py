"""Mass and centre of mass from scales: known cars come back within the intervals, mistakes are refused."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from scipy.stats import binomtest

from calibration.mass import Corners, MassReadings, estimate
from calibration.procedure import CalibrationError
from robot.spec import load_spec

SPEC = load_spec(Path(__file__).parents[2] / "launch/robots/racer.toml")
WHEELBASE, TRACK, RADIUS = (SPEC.scalar(n) for n in ("wheelbase", "track_width", "wheel_radius"))
SCALE_SIGMA, SET_DOWN, SHOWN = 0.002, 0.004, 0.001
"""Scales' own errors, how differently the car comes to stand, and their step [kg]."""


def loads(
    mass: float, place: np.ndarray, height: float, twist: float, geometry: tuple[float, ...]
) -> np.ndarray:
    """What the four scales carry [kg], shape (4,), from the balance of forces and moments; ``place`` of the
    centre of mass [m]: behind the front axle, left, above the floor; ``twist`` [kg]."""
    wheelbase, track, radius = geometry
    lean = Rotation.from_rotvec([0.0, -np.arcsin(height / wheelbase), 0.0])
    hubs = np.array([[x, y, radius] for x in (0.0, -wheelbase) for y in (track / 2, -track / 2)])
    hubs, middle = lean.apply(hubs), lean.apply([-place[0], place[1], place[2]])
    # Every scale pushes up: the sum, two moments, and how the twist is shared.
    balance = np.array([np.ones(4), hubs[:, 0], hubs[:, 1], [1.0, -1.0, -1.0, 1.0]])
    return np.linalg.solve(balance, [mass, mass * middle[0], mass * middle[1], 4.0 * twist])


def weighed(seed: int, noise: float = 1.0) -> tuple[MassReadings, np.ndarray]:
    """Readings of a car that was drawn, and the truth of (mass, front axle, rear axle, height, left)."""
    rng = np.random.default_rng(seed)
    mass, ahead, left = rng.uniform(3.3, 4.3), rng.uniform(0.14, 0.18), rng.uniform(-0.01, 0.01)
    up = rng.uniform(0.06, 0.1)
    sigmas = [SPEC.calibration[n].sigma for n in ("wheelbase", "track_width", "wheel_radius")]
    known = np.array([WHEELBASE, TRACK, RADIUS]) + noise * np.array(sigmas) * rng.standard_normal(3)
    scales = noise * SCALE_SIGMA * (rng.standard_normal(4) + rng.standard_normal())
    off_height = noise * 0.001 * rng.standard_normal()

    def shown(height: float) -> Corners:
        true_height = height + off_height if height else 0.0
        twist = rng.uniform(-0.1, 0.1)
        carried = loads(mass, np.array([ahead, left, up]), true_height, twist, tuple(known))
        carried = carried + scales + noise * SET_DOWN * rng.standard_normal(4)
        steps = np.round(carried / SHOWN) * SHOWN if noise else carried
        return Corners(*steps.tolist(), height)

    level = tuple(shown(0.0) for _ in range(5))
    raised = tuple(shown(h) for h in (0.1, 0.15, 0.1, 0.15, 0.15))
    return MassReadings(level, raised, SCALE_SIGMA), np.array([mass, ahead, known[0] - ahead, up, left])


def test_without_noise_it_is_exact() -> None:
    readings, truth = weighed(0, noise=0.0)
    found = estimate(SPEC, readings)
    np.testing.assert_allclose([q.value for q in found.quantities], truth[:4], rtol=1e-9)
    assert found.findings[0].value == pytest.approx(truth[4], rel=1e-6)


def test_intervals_cover_the_cars_that_were_weighed() -> None:
    inside, draws = np.zeros(5, int), 80
    for seed in range(draws):
        readings, truth = weighed(seed)
        found = estimate(SPEC, readings)
        assert all(check.passed for check in found.checks), found.checks
        values = np.array([*(q.value for q in found.quantities), found.findings[0].value])
        sigmas = np.array([*np.sqrt(np.diag(found.covariance)), found.findings[0].sigma])
        inside += np.abs(values - truth) < 1.96 * sigmas
    assert all(binomtest(int(k), draws, 0.95).pvalue > 0.01 for k in inside), inside


def test_scales_that_are_not_good_enough_are_not_accepted() -> None:
    readings, _ = weighed(3)
    coarse = estimate(SPEC, msgspec.structs.replace(readings, scale_sigma=0.02))
    assert [check.rule for check in coarse.checks if not check.passed] == [
        "mass, 95 %, of it",
        "centre of mass up, 95 %",
    ]


def test_readings_that_cannot_be_are_refused() -> None:
    readings, _ = weighed(1)
    replace = msgspec.structs.replace
    beside = replace(readings.raised[1], rear_left=readings.raised[1].rear_left - 0.3)
    wrong = {
        r"reading 2 raised sums to .* kg": replace(
            readings, raised=(readings.raised[0], beside, *readings.raised[2:])
        ),
        "2 readings level; at least 3": replace(readings, level=readings.level[:2]),
        "it belongs under": replace(readings, level=readings.raised),
        "raised by 0.02 to 0.15 m": replace(
            readings, raised=(replace(beside, height=0.02), *readings.raised)
        ),
        "shows nothing": replace(readings, level=(replace(beside, front_left=0.0), *readings.level)),
    }
    for told, some in wrong.items():
        with pytest.raises(CalibrationError, match=told):
            estimate(SPEC, some)
