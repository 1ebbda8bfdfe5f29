"""The speed procedure: known gains come back, its intervals cover, and broken data are refused."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from measured_drive import straight_drive
from scipy.stats import binomtest

from calibration.drive import Drive, Samples
from calibration.motor import MotorProcedure
from calibration.procedure import CalibrationError
from calibration.signal_checks import SignalError, require_forward
from calibration.speed import SpeedProcedure, passes_of
from calibration.stretches import stretches
from robot.spec import load_spec

SPEC = load_spec(Path(__file__).parents[2] / "launch/robots/racer.toml")
PASSES = [(0.8, 5.5), (-0.6, 7.0), (1.4, 3.5), (-0.7, 6.0), (2.2, 2.8), (-0.5, 8.5)]
SPEED = SpeedProcedure()


def drive(gain: float, seed: int) -> Drive:
    return straight_drive(SPEC, gain, PASSES, np.random.default_rng(seed))


def test_intervals_cover_the_gains_that_were_drawn() -> None:
    inside, draws = 0, 60
    for seed in range(draws):
        gain = float(np.random.default_rng([seed, 1]).uniform(3900.0, 5300.0))
        found = SPEED.estimate([drive(gain, seed)])
        assert all(check.passed for check in found.checks)
        error = found.quantities[0].value - gain
        assert abs(error) < 0.01 * gain
        inside += abs(error) < 1.96 * found.covariance[0, 0] ** 0.5
        radius = found.quantities[1].value
        assert radius * found.quantities[0].value == pytest.approx(12.08 * 2 * 60 / (2 * np.pi))
        np.testing.assert_allclose(
            found.covariance[1, 1] ** 0.5 / radius, found.covariance[0, 0] ** 0.5 / found.quantities[0].value
        )
    assert binomtest(inside, draws, 0.95).pvalue > 0.01


def test_passes_are_the_stretches_from_rest_to_rest() -> None:
    found = passes_of(drive(4600.0, 0))
    assert len(found) == len(PASSES)
    assert [np.sign(p.distance) for p in found] == [np.sign(speed) for speed, _ in PASSES]
    for p in found:
        assert p.turns * 60.0 / 4600.0 == pytest.approx(p.distance, abs=4 * p.sigma)


def test_passes_of_a_log_that_begins_and_ends_while_the_car_moves_are_those_between() -> None:
    whole = drive(4600.0, 0)
    motor = whole.sensors["drive"]
    starts = [a for a, _ in stretches(motor.values[:, 0])]
    begin, end = motor.time_s[starts[1]] + 1.0, motor.time_s[starts[4]] + 1.0

    def cut(samples: Samples) -> Samples:
        kept = (samples.time_s > begin) & (samples.time_s < end)
        return Samples(samples.time_s[kept], samples.values[kept])

    found = passes_of(replace(whole, sensors={name: cut(some) for name, some in whole.sensors.items()}))
    assert found == passes_of(whole)[2:4]


def test_a_gain_that_differs_by_direction_is_not_accepted() -> None:
    made = drive(4600.0, 0)
    erpm = made.sensors["drive"].values[:, 0]
    erpm[erpm < 0] *= 1.03
    found = SPEED.estimate([made])
    assert not all(check.passed for check in found.checks)
    assert found.findings[1].value / found.findings[0].value == pytest.approx(1.03, abs=0.006)


def test_too_few_passes_are_refused() -> None:
    made = straight_drive(SPEC, 4600.0, PASSES[:4], np.random.default_rng(0))
    with pytest.raises(CalibrationError, match="forward were found in the log, at least 3"):
        SPEED.estimate([made])


def test_a_clipped_encoder_is_refused() -> None:
    made = drive(4600.0, 0)
    made.sensors["drive"].values[:, 0].clip(max=8000.0, out=made.sensors["drive"].values[:, 0])
    with pytest.raises(SignalError, match=r"exactly 8000.*clipped"):
        SPEED.estimate([made])


def test_swapped_timestamps_are_refused() -> None:
    motor = drive(4600.0, 0).sensors["drive"]
    times = motor.time_s.copy()
    times[[500, 501]] = times[[501, 500]]
    with pytest.raises(SignalError, match=r"time goes back 1 times, first from 5\.010 s to 5\.000 s"):
        require_forward("sensor drive", times)


def test_a_stretch_in_which_the_robot_was_stopped_is_no_pass() -> None:
    made = drive(4600.0, 0)
    free = made.free.copy()
    free[400:420] = False
    assert len(passes_of(replace(made, free=free))) == len(PASSES) - 1


def test_a_stretch_in_which_the_car_turned_is_no_pass() -> None:
    made = drive(4600.0, 0)
    states = made.states.copy()
    states[400:420, SPEC.state_layout.index("heading")] += 0.5
    assert len(passes_of(replace(made, states=states))) == len(PASSES) - 1


def test_a_car_that_brakes_weakly_stands_as_long_after_a_fast_pass_as_after_a_slow_one() -> None:
    for procedure in (SPEED, MotorProcedure()):
        legs = procedure.legs(SPEC)
        stands = [
            stand.seconds - abs(leg.speed) / 2.0 for leg, stand in itertools.pairwise(legs) if leg.speed
        ]
        np.testing.assert_allclose(stands, legs[0].seconds)


def test_passes_that_are_short_or_at_one_speed_are_refused() -> None:
    short = [(speed, 2.1 / abs(speed) + abs(speed) / 2.5) for speed, _ in PASSES]
    with pytest.raises(CalibrationError, match=r"0 straight passes .* at least 3 of 3 m"):
        SPEED.estimate([straight_drive(SPEC, 4600.0, short, np.random.default_rng(0))])
    alike = [(0.8, 5.5), (-0.6, 7.0)] * 3
    with pytest.raises(CalibrationError, match=r"forward are at 1 different speeds \(0\.8.* 3 were"):
        SPEED.estimate([straight_drive(SPEC, 4600.0, alike, np.random.default_rng(0))])


def test_positions_without_a_fix_do_not_count() -> None:
    made = drive(4600.0, 0)
    layout = next(s.layout for s in SPEC.sensors if s.name == "gnss")
    fixes = made.sensors["gnss"]
    fixes.values[(fixes.time_s > 8.2) & (fixes.time_s < 10.2), layout.index("fix_type")] = 0.0
    assert len(passes_of(made)) == len(PASSES) - 2


def test_a_pass_without_fixes_at_rest_is_no_pass() -> None:
    made = drive(4600.0, 0)
    fixes = made.sensors["gnss"]
    kept = (fixes.time_s < 8.2) | (fixes.time_s > 10.2)
    made.sensors["gnss"] = Samples(fixes.time_s[kept], fixes.values[kept])
    assert len(passes_of(made)) == len(PASSES) - 2
