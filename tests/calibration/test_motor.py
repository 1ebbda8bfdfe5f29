"""The motor procedure: cars whose masses, gains and drivetrains were drawn come back within its intervals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from measured_drive import Drivetrain, current_drives
from scipy.stats import binomtest

from calibration.drive import Drive
from calibration.drivetrain import (
    inertia_of,
    metres_per_radian,
    rolling_resistance,
    torque_constant_and_efficiency,
    torque_per_ampere,
)
from calibration.motor import MotorProcedure
from calibration.motor_passes import passes_of
from calibration.procedure import CalibrationError
from robot.spec import Calibration, RobotSpec, load_spec

SPEC = load_spec(Path(__file__).parents[2] / "launch/robots/racer.toml")
PASSES = [(2.4, 2.2), (-0.7, 6.0), (0.8, 4.5), (-0.7, 6.0), (1.6, 3.0), (-0.7, 6.0)]
MOTOR = MotorProcedure()
DRAWS = 60


def drawn(n: int, seed: int) -> tuple[Drivetrain, np.ndarray]:
    """Cars off their file by what it says they may be, and the truth of (rolling resistance, torque constant
    times efficiency), shape (n, 2)."""
    rng, told = np.random.default_rng(seed), inertia_of(SPEC)
    mass = told.mass + told.mass_sigma * rng.standard_normal(n)
    whole = mass + told.turning + told.turning_sigma * rng.standard_normal(n)
    gain = SPEC.scalar("erpm_per_speed") + SPEC.calibration["erpm_per_speed"].sigma * rng.standard_normal(n)
    rolling = rng.uniform(0.008, 0.025, n)
    product = SPEC.scalar("motor_torque_constant") * 0.85 * rng.uniform(0.9, 1.1, n)
    per_radian = metres_per_radian(SPEC) * SPEC.scalar("erpm_per_speed") / gain
    slope = rng.uniform(-0.005, 0.005, n)
    true = Drivetrain(
        per_ampere=product / per_radian / whole,
        rolling=rolling * mass / whole * 9.81,
        slope=slope * mass / whole * 9.81,
        gain=gain,
        zero=rng.uniform(-0.3, 0.3, n),
    )
    return true, np.stack((rolling, product), axis=-1)


def one(seed: int = 0, **changes: float) -> Drive:
    true, _ = drawn(1, seed)
    return current_drives(SPEC, PASSES, replace(true, **changes), np.random.default_rng(seed))[0]


def test_intervals_cover_the_cars_that_were_drawn() -> None:
    true, truth = drawn(DRAWS, 1)
    seen = true.per_ampere * true.gain / SPEC.scalar("erpm_per_speed")
    drives = current_drives(SPEC, PASSES, true, np.random.default_rng(2))
    inside = np.zeros(3, int)
    for drive, (rolling, product), per_ampere in zip(drives, truth.tolist(), seen.tolist(), strict=True):
        found = MOTOR.estimate([drive])
        assert all(check.passed for check in found.checks[:-1]), found.checks
        told = {finding.name: finding for finding in found.findings}
        torque, pull = told["torque_constant_times_efficiency"], told["acceleration_per_ampere"]
        assert abs(torque.value / product - 1.0) < 0.1
        inside += (
            abs(found.quantities[0].value - rolling) < 1.96 * found.covariance[0, 0] ** 0.5,
            abs(torque.value - product) < 1.96 * torque.sigma,
            abs(pull.value - per_ampere) < 1.96 * pull.sigma,
        )
    assert all(binomtest(int(k), DRAWS, 0.95).pvalue > 0.01 for k in inside), inside


def test_the_spread_of_cars_that_look_alike_is_what_is_stated() -> None:
    """Of masses and gains within their standard deviations, without any noise of the drive."""
    true, truth = drawn(20_000, 8)
    share = true.gain / SPEC.scalar("erpm_per_speed")
    product, sigma = torque_per_ampere(SPEC, 1.0, 0.0)
    errors = product * true.per_ampere * share / truth[:, 1] - 1.0
    assert np.std(errors) == pytest.approx(sigma / product, rel=0.03)
    rolling, sigma = rolling_resistance(SPEC, 1.0, 0.0)
    errors = rolling * true.rolling * share / truth[:, 0] - 1.0
    assert np.std(errors) == pytest.approx(sigma / rolling, rel=0.03)


def test_slope_slip_brakes_and_the_current_s_zero_are_told_apart() -> None:
    true, _ = drawn(1, 3)
    true = replace(true, zero=np.array([0.5]), slope=np.array([0.05]), slip=0.03)
    found = MOTOR.estimate(current_drives(SPEC, PASSES, true, np.random.default_rng(3)))
    told = {finding.name: finding for finding in found.findings}
    assert told["acceleration_per_ampere"].value == pytest.approx(true.per_ampere[0], rel=0.01)
    assert told["slip_time"].value == pytest.approx(0.03, abs=0.004)
    assert told["floor_slope"].value == pytest.approx(0.05 * 4.309 / 3.74 / 9.81, abs=0.0008)
    expected = 20.0 * true.per_ampere[0] + true.rolling[0] + true.slope[0]
    assert told["braking_deceleration"].value == pytest.approx(expected, rel=0.02)
    assert told["largest_current_held"].value == pytest.approx(30.0, abs=0.4)


def test_a_current_that_was_never_reached_is_not_claimed() -> None:
    found = MOTOR.estimate([one(limit=14.0)])
    assert any(line.startswith("motor_current_limit: 14 A of 30 A") for line in found.frozen)
    assert any("not reached" in line for line in found.lines)


def test_a_limit_that_is_not_set_and_a_direction_that_gives_less_are_not_accepted() -> None:
    beyond = MOTOR.estimate([one(limit=40.0)])
    assert [c.rule for c in beyond.checks if not c.passed] == ["largest current held, of the drive's limit"]
    made = one(4)
    reverse = made.sensors["drive"].values[:, 0] < 0.0
    made.sensors["drive"].values[reverse, 1] *= 1.25
    failed = [c.rule for c in MOTOR.estimate([made]).checks if not c.passed]
    assert "forward and reverse apart, beyond two standard deviations" in failed


def test_brakes_weaker_than_the_fence_assumes_are_not_accepted() -> None:
    true, _ = drawn(1, 0)
    weak = replace(true, per_ampere=0.8 * true.per_ampere)
    (made,) = current_drives(SPEC, PASSES, weak, np.random.default_rng(0))
    (failed,) = (c for c in MOTOR.estimate([made]).checks if not c.passed)
    assert "fence" in failed.rule and failed.measured == pytest.approx(0.8 * 20 * true.per_ampere[0], rel=0.1)


def test_of_a_product_each_factor_moves_by_its_share_and_the_product_is_sharp() -> None:
    product = 1.1 * SPEC.scalar("motor_torque_constant") * SPEC.scalar("drivetrain_efficiency")
    (constant, efficiency), covariance = torque_constant_and_efficiency(SPEC, product, 0.01 * product)
    assert constant.value * efficiency.value == pytest.approx(product, rel=0.002)
    assert constant.value / SPEC.scalar("motor_torque_constant") == pytest.approx(np.sqrt(1.1), rel=0.002)
    logs = covariance / np.outer(*[[constant.value, efficiency.value]] * 2)
    assert np.sqrt(logs.sum()) == pytest.approx(0.01, rel=0.01)
    np.testing.assert_allclose(np.sqrt(np.diag(logs)), 0.06 / np.sqrt(2), rtol=0.02)
    # What another procedure measured moves less; what this one found before binds nothing.
    sources = ("sandlot calibrate bench: by hand", "sandlot calibrate motor: passes")
    firm, again = (
        torque_constant_and_efficiency(with_constant(source), product, 0.01 * product)[0]
        for source in sources
    )
    assert firm[0].value == pytest.approx(SPEC.scalar("motor_torque_constant"), rel=0.002)
    assert again[0].value == pytest.approx(constant.value)


def with_constant(source: str) -> RobotSpec:
    """The racer with a torque constant that was measured to 0.1 %."""
    constant = Calibration(0.00273, "N m/A", source, sigma=3e-6, expires="2099-01-01T00:00:00+00:00")
    return msgspec.structs.replace(SPEC, calibration=SPEC.calibration | {"motor_torque_constant": constant})


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(CalibrationError, match="1 straight passes from rest to rest forward"):
        MOTOR.estimate([current_drives(SPEC, PASSES[:2], drawn(1, 0)[0], np.random.default_rng(0))[0]])
    turned = one(5)
    turned.sensors["drive"].values[:, 1] *= -1.0
    with pytest.raises(CalibrationError, match="sign of the current"):
        MOTOR.estimate([turned])
    stopped = one(6)
    stopped.free[400:420] = False
    assert len(passes_of(stopped)) == len(PASSES) - 1
    moving = one(7)
    erpm = moving.sensors["drive"].values[:, 0]
    erpm[np.abs(erpm) < 200.0] = 200.0
    with pytest.raises(CalibrationError, match="zero of its current sensor is not known"):
        MOTOR.estimate([moving])
