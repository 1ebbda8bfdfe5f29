"""The steering procedure: a known linkage comes back within its intervals, and too little is refused."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from measured_drive import Linkage, turning_drive
from scipy.signal import cont2discrete, lfilter

from calibration.drive import Drive
from calibration.manoeuvre import Leg
from calibration.procedure import CalibrationError, Series
from calibration.steering import (
    LAG_SIGMA,
    MOST_UNEXPLAINED,
    PULSE_SIGMA,
    SteeringProcedure,
    Turn,
    follow,
    line,
    misfit,
    require_turns,
    turns_of,
    walked,
    wheel_angle,
    with_play,
)
from robot.spec import load_spec

SPEC = load_spec(Path(__file__).parents[2] / "launch/robots/racer.toml")
STEERING = SteeringProcedure()
LEGS = STEERING.legs(SPEC)


@pytest.mark.parametrize(
    "true",
    [Linkage(-1.2135, 0.5304), Linkage(-1.31, 0.549, play=0.03, lag=0.11, delay=0.018)],
    ids=["as described", "worn"],
)
def test_a_linkage_is_found_within_its_intervals(true: Linkage) -> None:
    found = STEERING.estimate([turning_drive(SPEC, LEGS, true, np.random.default_rng(0))])
    assert all(check.passed for check in found.checks)
    expected = (true.offset, true.gain, true.play, true.lag)
    for row, (quantity, value) in enumerate(zip(found.quantities, expected, strict=True)):
        assert abs(quantity.value - value) < 3.0 * found.covariance[row, row] ** 0.5, quantity
    told = {finding.name: finding.value for finding in found.findings}
    assert told["steering_delay"] == pytest.approx(true.delay, abs=0.006)
    for side in ("left", "right"):
        assert told[f"servo_gain_{side}"] == pytest.approx(true.gain, rel=0.02)


@pytest.mark.parametrize("ends", ["at rest", "moving"])
def test_what_the_gyroscope_s_bias_walked_is_in_the_interval_of_the_centre(ends: str) -> None:
    rng = np.random.default_rng(5)
    still = turning_drive(SPEC, LEGS, Linkage(-1.2, 0.53), rng)
    if ends == "moving":
        still.sensors["drive"].values[-400:, 0] += 500.0
    (centre, *_), *_ = line(turns_of(still))
    rate, steps = still.sensors["imu"].values[:, 5].copy(), np.sqrt(np.diff(still.time_s, prepend=0.0))
    sigmas = []
    for _ in range(40):
        walk = SPEC.scalar("gyroscope_bias_walk") * np.cumsum(steps * rng.standard_normal(len(steps)))
        still.sensors["imu"].values[:, 5] = rate + walk
        turns = turns_of(still)
        found, *_ = line(turns)
        sigmas.append((found[0] - centre) / math.sqrt(walked([still], [turns], found)[0, 0]))
    assert 0.75 < np.sqrt(np.mean(np.square(sigmas))) < 1.3
    told = STEERING.estimate([still]).covariance[0, 0]
    assert told > walked([still], [turns], found)[0, 0] + PULSE_SIGMA**2


def test_a_car_that_a_person_turned_before_it_stood_has_the_same_centre() -> None:
    made = turning_drive(SPEC, LEGS, Linkage(-1.2, 0.53), np.random.default_rng(6))
    (centre, *_), *_ = line(turns_of(made))
    made.sensors["imu"].values[:100, 5] += 0.2
    (found, *_), *_ = line(turns_of(made))
    assert found == pytest.approx(centre, abs=2e-4)


def test_the_angle_of_a_bicycle_is_the_one_that_turns_it() -> None:
    for angle in (-0.26, 0.0, 0.1, 0.25):
        rear = 0.9
        rate = rear * math.tan(angle) / 0.33
        assert wheel_angle(0.33, rate, rear * (1 + 1 / math.cos(angle)) / 2) == pytest.approx(angle, abs=1e-6)


def test_play_is_a_band_in_which_nothing_follows() -> None:
    servo = np.array([0.0, 0.1, 0.05, 0.02, -0.1, 0.0])
    np.testing.assert_allclose(with_play(servo, 0.06), [0.0, 0.07, 0.07, 0.05, -0.07, -0.03])
    np.testing.assert_array_equal(with_play(servo, 0.0), servo)


def test_a_drive_without_turns_from_both_sides_is_refused() -> None:
    some = [leg for leg in LEGS if leg.steering is None or leg.steering >= 0.0]
    with pytest.raises(CalibrationError, match="steady slow turns in the logs"):
        STEERING.estimate([turning_drive(SPEC, some[:6], Linkage(-1.2, 0.53), np.random.default_rng(1))])


def turned(pulses: Sequence[float]) -> list[Turn]:
    """Each reached from both sides, of a linkage without play."""
    return [Turn(pulse, (pulse - 0.53) / -1.2, way) for pulse in pulses for way in (1.0, -1.0)]


def test_turns_that_do_not_tell_both_sides_or_hardly_turn_are_refused() -> None:
    require_turns(turned([0.33, 0.43, 0.53, 0.63, 0.73]))
    with pytest.raises(CalibrationError, match=r"10 of the turns go left .* and 0 right"):
        require_turns(turned([0.29, 0.33, 0.37, 0.41, 0.45]))
    with pytest.raises(CalibrationError, match=r"turn by 0\.083 rad at most; at least 0\.1 rad"):
        require_turns(turned([0.43, 0.48, 0.53, 0.58, 0.63]))


def swing(made: Drive) -> None:
    """Let the yaw follow the wheels as soft tyres have it: 45 rad/s, a quarter of critical damping."""
    (ahead,), behind, _ = cont2discrete(([45.0**2], [1.0, 22.5, 45.0**2]), 0.01, "bilinear")
    rate = made.sensors["imu"].values[:, 5]
    rate[:] = lfilter(ahead, behind, rate - 0.007) + 0.007


@pytest.mark.slow
def test_an_entry_says_what_the_steps_do_not_explain() -> None:
    found = []
    for swings in (False, True):
        made = turning_drive(SPEC, LEGS, Linkage(-1.2, 0.53, play=0.02, lag=0.05), np.random.default_rng(7))
        if swings:
            swing(made)
        entry = STEERING.estimate([made])
        (unexplained,) = (c.measured for c in entry.checks if c.rule.startswith("yaw rate"))
        found.append((unexplained, entry.covariance[3, 3] ** 0.5))
    (noise, usual), (left, wider) = found
    assert 0.0 < 2.0 * noise < left < MOST_UNEXPLAINED
    assert wider > 1.5 * usual


@pytest.mark.parametrize("swings", [False, True])
def test_the_time_constant_s_interval_holds_of_a_car_that_swings_too(swings: bool) -> None:
    most = 0.7 * 0.26
    weave = [Leg("weave", 0.9, 1.3, side * most) for side in 2 * (1, -1, 1, -1)]
    true = Linkage(-1.2, 0.53, play=0.02, lag=0.05)
    made = turning_drive(SPEC, (Leg("stand", 3.0), *weave), true, np.random.default_rng(7))
    if swings:
        swing(made)
    lag, covariance, shown = follow(SPEC, [made], true.gain, true.offset, true.play)
    unexplained, wider = misfit(*shown)
    assert abs(lag[0] - true.lag) < 1.96 * math.sqrt(wider * covariance[0, 0] + LAG_SIGMA**2)
    assert unexplained < MOST_UNEXPLAINED
    assert (abs(lag[0] - true.lag) > 3.0 * math.sqrt(covariance[0, 0] + LAG_SIGMA**2)) == swings


def test_steps_that_the_yaw_rate_does_not_follow_are_not_accepted() -> None:
    times = np.linspace(0.0, 9.0, 900)
    model = Series("model", times, np.sin(times))
    assert misfit(Series("late", times, np.sin(times - 0.2)), model)[0] > MOST_UNEXPLAINED
    noise = 0.01 * np.random.default_rng(8).standard_normal(900)
    assert misfit(Series("noisy", times, model.y + noise), model)[0] < MOST_UNEXPLAINED


def test_a_car_that_never_stood_still_is_refused() -> None:
    made = turning_drive(SPEC, LEGS[:8], Linkage(-1.2, 0.53), np.random.default_rng(2))
    made.sensors["drive"].values[:50, 0] += 500.0
    with pytest.raises(CalibrationError, match="did not stand for a second"):
        STEERING.estimate([made])
