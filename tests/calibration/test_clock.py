"""Latencies that were put in come out, and a clock that drifts or a log without starts is not accepted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from measured_drive import straight_drive

from calibration.clock import ClockProcedure, shift
from calibration.drive import Drive, Samples
from calibration.procedure import CalibrationError
from robot.spec import load_spec

SPEC = load_spec(Path(__file__).parents[2] / "launch/robots/racer.toml")
CLOCK = ClockProcedure()


def drive(late_s: float = 0.0, drift: float = 0.0, jitter_s: float = 0.0, start_s: float = 0.03) -> Drive:
    """Twenty starts; the receiver's times are late, and get later by ``drift`` [s/s]."""
    rng = np.random.default_rng(0)
    made = straight_drive(SPEC, 4614.0, [(1.8, 1.6), (-0.7, 1.6)] * 10, rng, rest_s=1.3)
    true = made.sent_to("speed")
    fixes = made.sensors["gnss"].time_s
    values = made.sensors["gnss"].values.copy()
    speed = np.interp(fixes, made.time_s, np.abs(true)) + 0.05 * rng.standard_normal(len(fixes))
    values[:, 3:6] = np.stack((speed, 0 * speed, 0 * speed), axis=-1)
    stamped = Samples(fixes + late_s + drift * fixes, values)
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


def test_uneven_ticks_are_not_accepted() -> None:
    assert not CLOCK.estimate([drive(jitter_s=0.004)]).checks[0].passed


def test_a_log_in_which_nothing_starts_is_refused() -> None:
    still = straight_drive(SPEC, 4614.0, [(1.0, 12.0)], np.random.default_rng(0))
    with pytest.raises(CalibrationError, match="starts from rest in the log; at least 10"):
        CLOCK.estimate([still])
    with pytest.raises(CalibrationError, match="hardly changed"):
        shift(Samples(np.arange(50.0), np.ones((50, 1))), np.arange(50.0), np.ones(50))
