"""The antenna procedure: offsets that were drawn come back within their intervals, whatever else is off."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from measured_drive import Mount, circling_drive
from scipy.stats import binomtest

from calibration.antenna import AntennaProcedure, rear_speed, tracks_of
from calibration.lever_fit import SHARED, seen
from calibration.procedure import CalibrationError
from calibration.signal_checks import SignalError
from robot.spec import load_spec

SPEC = load_spec(Path(__file__).parents[2] / "launch/robots/racer.toml")
ANTENNA = AntennaProcedure()
LEGS = ANTENNA.legs(SPEC)


def drawn(rng: np.random.Generator) -> Mount:
    return Mount(
        x=rng.uniform(-0.1, 0.4),
        y=rng.uniform(-0.1, 0.1),
        slip=rng.uniform(0.0, 0.03),
        late=rng.uniform(-0.02, 0.02),
        gyro=0.004 * rng.standard_normal(),
        wheels=0.01 * rng.standard_normal(),
    )


@pytest.mark.slow
def test_intervals_cover_the_antennas_that_were_drawn() -> None:
    inside, draws = np.zeros(2, int), 30
    for seed in range(draws):
        rng = np.random.default_rng(seed)
        true = drawn(rng)
        found = ANTENNA.estimate([circling_drive(SPEC, LEGS, true, rng)])
        assert all(check.passed for check in found.checks), (found.checks, true)
        told = {finding.name: finding for finding in found.findings}
        along, across = told["antenna_before_rear_axle"], found.quantities[1]
        assert found.quantities[0].value == pytest.approx(along.value - SPEC.scalar("rear_axle"))
        inside += (
            abs(along.value - true.x) < 1.96 * along.sigma,
            abs(across.value - true.y) < 1.96 * found.covariance[1, 1] ** 0.5,
        )
        # Both lie behind by so much at the speed of the circles.
        assert told["slip_and_lateness"].value == pytest.approx(true.slip * 0.65 + true.late, abs=0.012)
    assert all(binomtest(int(k), draws, 0.95).pvalue > 0.01 for k in inside), inside


def test_the_derivatives_are_those_of_differences() -> None:
    made = circling_drive(SPEC, LEGS, Mount(0.2, 0.05), np.random.default_rng(0))
    track = tracks_of(made)[2]
    x = np.array([0.2, 0.05, 0.02, 0.01, -0.004, 0.4, 0.003, 1.0, -2.0])
    _, slopes = seen(track, x[:SHARED], x[SHARED:])
    for k, step in enumerate(1e-6 * np.eye(len(x))):
        (more, _), (less, _) = (seen(track, y[:SHARED], y[SHARED:]) for y in (x + step, x - step))
        np.testing.assert_allclose((more - less) / 2e-6, slopes[:, k], rtol=1e-4, atol=1e-4)


def test_the_rear_axle_is_slower_than_the_motor_s_mean_of_both() -> None:
    rear, angle = np.array([0.6, -0.6, 0.9, 0.7]), np.array([0.25, 0.25, -0.1, 0.0])
    mean = 0.5 * rear * (1.0 + 1.0 / np.cos(angle))
    rate = rear * np.tan(angle) / SPEC.scalar("wheelbase")
    np.testing.assert_allclose(rear_speed(SPEC, SPEC.scalar("erpm_per_speed") * mean, rate), rear, rtol=1e-5)


def test_eights_of_one_direction_are_refused() -> None:
    forward = [leg for leg in LEGS if leg.speed >= 0.0]
    with pytest.raises(CalibrationError, match=r"turn 0\.0 rad where they do least"):
        ANTENNA.estimate([circling_drive(SPEC, forward, Mount(0.2, 0.0), np.random.default_rng(1))])


def test_positions_that_jump_are_not_accepted() -> None:
    made = circling_drive(SPEC, LEGS, Mount(0.2, 0.0), np.random.default_rng(2))
    made.sensors["gnss"].values[300:330, :2] += 0.2
    (failed,) = (check for check in ANTENNA.estimate([made]).checks[2:] if not check.passed)
    assert failed.rule == "positions left over, of their noise"


def test_fixes_of_another_kind_do_not_count() -> None:
    made = circling_drive(SPEC, LEGS, Mount(0.2, 0.0), np.random.default_rng(3))
    layout = next(s.layout for s in SPEC.sensors if s.name == "gnss")
    made.sensors["gnss"].values[:, layout.index("fix_type")] = 2.0
    assert tracks_of(made) == []


def test_a_gyroscope_at_its_end_is_refused() -> None:
    made = circling_drive(SPEC, LEGS, Mount(0.2, 0.0), np.random.default_rng(4))
    turning = made.sensors["imu"].values[:, 5]
    np.minimum(turning, 0.5 * turning.max(), out=turning)
    with pytest.raises(SignalError, match="the gyroscope"):
        tracks_of(made)
