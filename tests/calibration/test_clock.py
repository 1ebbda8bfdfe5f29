"""Latencies that were put in come out, and a clock that drifts or a log without starts is not accepted."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from measured_drive import straight_drive

from calibration.clock import SLIP_S, WAIT_S, ClockProcedure
from calibration.drive import Drive, Samples
from calibration.procedure import CalibrationError
from robot.spec import load_spec

SPEC = load_spec(Path(__file__).parents[2] / "launch/robots/racer.toml")
CLOCK = ClockProcedure()


def drive(
    late_s: float = 0.0,
    drift: float = 0.0,
    jitter_s: float = 0.0,
    start_s: float = 0.03,
    wait_s: float = WAIT_S,
    seed: int = 0,
) -> Drive:
    """Two dozen starts with ``wait_s`` in their middle; the receiver's times are late, and get later by
    ``drift`` [s/s]."""
    rng = np.random.default_rng(seed)
    half = [(1.8, 1.6), (-0.7, 1.6)] * 6
    made = straight_drive(SPEC, 4614.0, [*half, (0.0, wait_s), *half], rng, rest_s=1.6)
    true = made.sent_to("speed")
    fixes = made.sensors["gnss"].time_s
    stamped = Samples(fixes + late_s + drift * fixes, made.sensors["gnss"].values)
    sent = np.stack((np.interp(made.time_s + start_s, made.time_s, true), 0 * true), axis=-1)
    times = made.time_s + jitter_s * rng.random(len(made.time_s))
    sensors = {**made.sensors, "gnss": stamped}
    return replace(made, sent=sent, time_s=times, sent_s=made.time_s, sensors=sensors)


def test_how_late_positions_are_comes_out() -> None:
    found = CLOCK.estimate([drive(0.023)])
    told = {f.name: (f.value, f.sigma) for f in found.findings}
    value, sigma = told["gnss_latency"]
    assert sigma < 0.005 and abs(value - 0.06 - 0.023) < 4 * sigma
    assert all(check.passed for check in found.checks)
    # The car needs 13 ms more to be seen moving (150 ERPM at 2.5 m/s^2).
    assert told["start_delay_p50"][0] == pytest.approx(0.03 + 0.013, abs=0.012)


def test_a_clock_that_drifts_is_not_accepted() -> None:
    found = CLOCK.estimate([drive(drift=0.0015)])
    drifts = [f for f in found.findings if f.name == "gnss_drift"]
    assert drifts[0].value == pytest.approx(0.0015 * 60, abs=4 * drifts[0].sigma)
    assert not all(check.passed for check in found.checks)


def test_a_drift_that_is_not_known_is_not_accepted_and_its_interval_holds() -> None:
    sigmas = []
    for seed in range(10):
        found = CLOCK.estimate([drive(late_s=0.013, wait_s=0.0, seed=seed)])
        assert [c.rule for c in found.checks if not c.passed] == [
            "drift of the receiver's clock, and 95 % of its error"
        ]
        told = {f.name: (f.value, f.sigma) for f in found.findings}
        (late, sigma), (drifts, drift_sigma) = told["gnss_latency"], told["gnss_drift"]
        scatter = math.sqrt(sigma**2 - SLIP_S**2)
        sigmas += [(late - 0.073) / scatter, drifts / drift_sigma]
    assert 0.6 < np.sqrt(np.mean(np.square(sigmas))) < 1.5


def test_several_logs_are_refused() -> None:
    made = drive(wait_s=0.0)
    with pytest.raises(CalibrationError, match="2 logs were given"):
        CLOCK.estimate([made, made])


def test_uneven_ticks_are_not_accepted() -> None:
    assert not CLOCK.estimate([drive(jitter_s=0.004)]).checks[0].passed


def test_a_log_in_which_nothing_starts_is_refused() -> None:
    still = straight_drive(SPEC, 4614.0, [(1.0, 12.0)], np.random.default_rng(0))
    with pytest.raises(CalibrationError, match="starts from rest in the log; at least 10"):
        CLOCK.estimate([still])
    made = drive(wait_s=0.0)
    lost = made.sensors["gnss"].values.copy()
    lost[:, next(s.layout for s in SPEC.sensors if s.name == "gnss").index("fix_type")] = 0.0
    nowhere = replace(made, sensors={**made.sensors, "gnss": Samples(made.sensors["gnss"].time_s, lost)})
    with pytest.raises(CalibrationError, match="is there a position fix"):
        CLOCK.estimate([nowhere])
