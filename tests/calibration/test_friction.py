"""Friction from drags and boards: coefficients come back within their intervals, mistakes are refused."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from scipy.stats import binomtest

from calibration.friction import Drag, FrictionReadings, Incline, Motion, estimate
from calibration.procedure import CalibrationError
from robot.spec import load_spec

SPEC = load_spec(Path(__file__).parents[2] / "launch/robots/racer.toml")
MASS = 3.74


def pulled(
    friction: float, rng: np.random.Generator, motion: Motion = "sliding", n: int = 8
) -> tuple[Drag, ...]:
    """By a hand that is 2 % off, with a scale that is 1 % off, of a car as heavy as the file says or not."""
    mass = MASS + SPEC.calibration["mass"].sigma * rng.standard_normal()
    scale = 1.0 + 0.01 * rng.standard_normal()
    pulls = friction * mass * 9.81 * scale * (1.0 + 0.02 * rng.standard_normal(n))
    return tuple(Drag(force, motion) for force in pulls.tolist())


def tilted(friction: float, rng: np.random.Generator, n: int = 8) -> tuple[Incline, ...]:
    """A board of 1 m, tilted until the car slides; its slope is 2 % off each time."""
    angles = np.arctan(friction * (1.0 + 0.02 * rng.standard_normal(n)))
    off_rise, off_run = 0.002 * rng.standard_normal(2)
    return tuple(Incline(float(np.sin(a) + off_rise), float(np.cos(a) + off_run), "sliding") for a in angles)


def test_intervals_cover_the_friction_that_was_drawn() -> None:
    inside, accepted, draws = np.zeros(3, int), 0, 200
    for seed in range(draws):
        rng = np.random.default_rng(seed)
        true = float(rng.uniform(0.5, 1.2))
        drags, boards = pulled(true, rng), tilted(true, rng)
        for k, some in enumerate(
            (
                FrictionReadings("tiles", drags),
                FrictionReadings("tiles", inclines=boards),
                FrictionReadings("tiles", drags, boards),
            )
        ):
            found = estimate(SPEC, some)
            inside[k] += abs(found.quantities[0].value - true) < 1.96 * found.covariance[0, 0] ** 0.5
            assert abs(found.quantities[0].value - true) < 0.1
            accepted += k == 2 and all(check.passed for check in found.checks)
    assert all(binomtest(int(k), draws, 0.95).pvalue > 0.01 for k in inside), inside
    assert accepted > 0.95 * draws


def test_a_mass_weighed_then_takes_the_calibration_s_place() -> None:
    drags = pulled(0.8, np.random.default_rng(0))
    heavy = estimate(SPEC, FrictionReadings("tiles", drags, mass=2 * MASS, scale_share=0.0))
    assert heavy.quantities[0].value == pytest.approx(np.mean([d.force for d in drags]) / (2 * MASS * 9.81))
    assert heavy.covariance[0, 0] < 0.3 * estimate(SPEC, FrictionReadings("tiles", drags)).covariance[0, 0]


def test_what_one_scale_is_off_does_not_average_out_between_motions() -> None:
    forces = 30.0 + 1e-3 * np.arange(8)
    sliding = tuple(Drag(force, "sliding") for force in forces.tolist())
    breakaway = tuple(Drag(force, "breakaway") for force in forces.tolist())
    one, both = (estimate(SPEC, FrictionReadings("tiles", some)) for some in (sliding, sliding + breakaway))
    off = np.hypot(0.01, SPEC.calibration["mass"].sigma / SPEC.scalar("mass"))
    for found in (one, both):
        assert found.covariance[0, 0] ** 0.5 == pytest.approx(off * found.quantities[0].value, rel=1e-3)


def test_breaking_away_far_above_sliding_is_not_one_number() -> None:
    rng = np.random.default_rng(1)
    near = FrictionReadings("tiles", (*pulled(0.80, rng), *pulled(0.83, rng, "breakaway")))
    far = FrictionReadings("tiles", (*pulled(0.80, rng), *pulled(1.05, rng, "breakaway")))
    assert all(check.passed for check in estimate(SPEC, near).checks)
    found = estimate(SPEC, far)
    (failed,) = (check for check in found.checks if not check.passed)
    assert failed.rule.startswith("coefficient") and failed.measured > 0.12
    assert found.quantities[0].value == pytest.approx(0.925, abs=0.03)
    assert found.frozen == () and estimate(SPEC, FrictionReadings("x", near.drags[:8])).frozen != ()


def test_a_board_and_a_pull_that_disagree_are_not_accepted() -> None:
    rng = np.random.default_rng(2)
    found = estimate(SPEC, FrictionReadings("tiles", pulled(0.7, rng), tilted(0.95, rng)))
    assert "drag and board apart, beyond two standard deviations" in [
        check.rule for check in found.checks if not check.passed
    ]
    assert found.covariance[0, 0] ** 0.5 > 0.08


def test_readings_that_cannot_be_are_refused() -> None:
    rng = np.random.default_rng(3)
    drags = pulled(0.8, rng)
    one_off = (*drags[:4], Drag(drags[4].force / 2.0), *drags[5:])
    in_kg = tuple(msgspec.structs.replace(d, force=d.force / 9.81) for d in drags)
    wrong = {
        "no readings": FrictionReadings("tiles"),
        "3 readings of drag sliding": FrictionReadings("tiles", drags[:3]),
        "reading 5 of drag sliding is 0.3": FrictionReadings("tiles", one_off),
        "is the force in N": FrictionReadings("tiles", in_kg),
        "must be positive": FrictionReadings("tiles", inclines=(Incline(0.0, 1.0),)),
    }
    for told, some in wrong.items():
        with pytest.raises(CalibrationError, match=told):
            estimate(SPEC, some)
