"""Clock and latency: how evenly everything is sampled, how late a command moves the car and a position is.

Samples carry the time at which they were taken, as their drivers know it. The motor's are the reference: they
come from the controller that moves the car. A speed profile with many starts and stops is seen by it and by
the satellite receiver; the shift between both, by least squares, is how much later than described positions
are. Its change from the first half of the drive to the second is the drift of one clock against the other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.optimize import least_squares

from calibration.drive import Drive, Samples
from calibration.entry import Check, Finding
from calibration.manoeuvre import Leg, home
from calibration.procedure import Array, CalibrationError, Estimate, Panel, Series
from robot.spec import RobotSpec

STARTS = 12
SPEEDS = (1.8, -0.7)
LEG_S, REST_S = 1.6, 1.3
FEWEST_SAMPLES = 1000
"""Reference, Clock/latency."""
MOST_JITTER = 0.1
"""Of the guardian's period, 99 % of its ticks."""
MOST_DRIFT = 0.001
"""[s] a minute."""
MOVING_ERPM = 150.0
"""A motor that turns faster than this [1/min], many times its noise, has begun to move."""
FEWEST_STARTS = 10


class ClockProcedure:
    """Implements ``calibration.procedure.Procedure``."""

    name = "clock"
    about = (
        "The car starts and stops two dozen times, forward and in reverse. It needs 8 m x 4 m of level floor "
        "and a position fix."
    )
    valid_days = 90

    def legs(self, spec: RobotSpec) -> tuple[Leg, ...]:
        rest = Leg("stand", REST_S)
        found = [Leg("stand", 2.0)]
        for _ in range(STARTS):
            for speed in SPEEDS:
                found += [Leg(f"start to {speed:g} m/s", LEG_S, speed, metres=2.5), rest]
            found += [home(0.8), rest]
        return tuple(found)

    def estimate(self, drives: Sequence[Drive]) -> Estimate:
        drive = drives[0]
        spec, motor = drive.spec, drive.sensor("drive")
        period = 1.0 / spec.rates.guardian_hz
        if len(drive.time_s) < FEWEST_SAMPLES:
            raise CalibrationError(f"{len(drive.time_s)} ticks in the log; {FEWEST_SAMPLES} were expected")
        jitter = np.abs(np.diff(drive.time_s) - period)
        uneven = float(np.quantile(jitter, 0.99)) / period
        layouts = {s.name: s.layout for s in spec.sensors}
        erpm = motor.values[:, layouts["drive"].index("erpm")]
        speed = Samples(motor.time_s, np.abs(erpm)[:, None] / spec.scalar("erpm_per_speed"))
        begins = onsets(drive, erpm)
        if len(begins) < FEWEST_STARTS:
            raise CalibrationError(
                f"{len(begins)} starts from rest in the log; at least {FEWEST_STARTS} were expected"
            )
        fixes = drive.sensor("gnss")
        seen = np.hypot(*fixes.values[:, layouts["gnss"]["velocity_world"]][:, :2].T)
        late, sigma = shift(speed, fixes.time_s, seen)
        middle = fixes.time_s[len(fixes.time_s) // 2]
        early = fixes.time_s < middle
        first, second = (shift(speed, fixes.time_s[part], seen[part]) for part in (early, ~early))
        minutes = (fixes.time_s[-1] - fixes.time_s[0]) / 2.0 / 60.0
        drift, drift_sigma = (second[0] - first[0]) / minutes, math.hypot(first[1], second[1]) / minutes
        described = next(s.latency_s for s in spec.sensors if s.name == "gnss")
        counts = [
            Finding(f"{name}_largest_gap", "s", float(np.diff(samples.time_s).max()))
            for name, samples in drive.sensors.items()
            if len(samples.time_s) > 1
        ]
        share = np.linspace(0.0, 1.0, len(begins))
        return Estimate(
            method=f"{len(begins)} starts, {len(fixes.time_s)} fixes, {len(drive.time_s)} ticks",
            quantities=(),
            covariance=np.zeros((0, 0)),
            checks=(
                Check("tick jitter, 99 %, of the period", "1", uneven, MOST_JITTER),
                Check(
                    "drift of the receiver's clock beyond two standard deviations",
                    "s/min",
                    max(abs(drift) - 2.0 * drift_sigma, 0.0),
                    MOST_DRIFT,
                ),
            ),
            findings=(
                Finding("tick_jitter_p50", "s", float(np.quantile(jitter, 0.5))),
                Finding("tick_jitter_p999", "s", float(np.quantile(jitter, 0.999))),
                Finding("start_delay_p50", "s", float(np.quantile(begins, 0.5))),
                Finding("start_delay_p99", "s", float(np.quantile(begins, 0.99))),
                Finding("gnss_latency", "s", described + late, sigma),
                Finding("gnss_drift", "s/min", drift, drift_sigma),
                *counts,
            ),
            panels=(
                Panel(
                    "from command to motion",
                    "delay [ms]",
                    "share of the starts",
                    (Series("starts", 1e3 * np.sort(begins), share),),
                ),
                Panel(
                    "speed, as two sensors have it",
                    "time [s]",
                    "m/s",
                    (
                        Series("receiver, moved", fixes.time_s - late, seen),
                        Series("motor", motor.time_s, speed.values[:, 0], "line"),
                    ),
                ),
            ),
            lines=(
                f"positions are {1e3 * late:+.1f} ± {1e3 * sigma:.1f} ms later than the file's "
                f"{1e3 * described:g} ms; sensors.gnss.latency_s is where that is said",
            ),
        )


def onsets(drive: Drive, erpm: Array) -> Array:
    """From each command that ends a rest to the motor's first motion [s], shape (n,)."""
    motor, speed = drive.sensor("drive"), drive.sent_to("speed")
    begin = np.flatnonzero((speed[1:] != 0.0) & (speed[:-1] == 0.0)) + 1
    found = []
    for row in begin.tolist():
        sent = drive.sent_s[row]
        before = (motor.time_s > sent - 0.2) & (motor.time_s <= sent)
        after = np.flatnonzero((motor.time_s > sent) & (np.abs(erpm) > MOVING_ERPM))
        if before.any() and np.abs(erpm[before]).max() < MOVING_ERPM and len(after):
            found.append(motor.time_s[after[0]] - sent)
    return np.array([delay for delay in found if delay < 0.5])


def shift(reference: Samples, times: Array, values: Array) -> tuple[float, float]:
    """How much later than ``reference`` (one column) the ``values`` at ``times`` [s] are, and its standard
    deviation; a scale between both is fitted along. Raises CalibrationError if nothing changes."""
    if len(times) < 20 or float(np.std(values)) < 0.1:
        raise CalibrationError("the speed hardly changed in the log, so that nothing tells when it did")

    def residuals(x: Array) -> Array:
        return np.asarray(x[1] * reference.at(times - 0.1 * x[0], 0) - values)

    fit = least_squares(residuals, [0.1, 1.0], diff_step=1e-2)
    variance = float(fit.fun @ fit.fun) / (len(times) - 2)
    covariance = variance * np.linalg.inv(fit.jac.T @ fit.jac)
    return 0.1 * float(fit.x[0]), 0.1 * math.sqrt(covariance[0, 0])
