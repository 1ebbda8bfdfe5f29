"""Clock and latency: how evenly everything is sampled, how late a command moves the car and a position is.

Samples carry the time at which they were taken, as their drivers know it. The motor's are the reference: they
come from the controller that moves the car. A speed profile with many starts and stops is seen by it and by
the satellite receiver; the shift between both, by least squares, is how much later than described positions
are, and how it changes is the drift of one clock against the other. A dozen starts tell the shift to two
milliseconds: only minutes later does another dozen tell whether it is still the same.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import least_squares

from calibration.drive import Drive, Samples
from calibration.entry import Check, Finding
from calibration.fixes import fixes_of
from calibration.manoeuvre import Leg, home
from calibration.procedure import Array, CalibrationError, Estimate, Panel, Series
from robot.spec import RobotSpec

STARTS = 12
SPEEDS = (1.8, -0.7)
LEG_S, REST_S = 1.6, 1.3
WAIT_S = 600.0
"""At rest between the first half of the starts and the second [s]."""
SMOOTH = 9
"""Samples of the motor's speed that are averaged: its noise, shifted to and fro, would tell a shift."""
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
        "The car starts and stops a dozen times, forward and in reverse, stands for ten minutes, and does it "
        "again. It needs 8 m x 4 m of level floor and a position fix."
    )
    valid_days = 90

    def legs(self, spec: RobotSpec) -> tuple[Leg, ...]:
        rest = Leg("stand", REST_S)
        found = [Leg("stand", 2.0)]
        for number in range(STARTS):
            found += [Leg("wait", WAIT_S)] if number == STARTS // 2 else []
            for speed in SPEEDS:
                found += [Leg(f"start to {speed:g} m/s", LEG_S, speed, metres=2.5), rest]
            found += [home(0.8), rest]
        return tuple(found)

    def estimate(self, drives: Sequence[Drive]) -> Estimate:
        if len(drives) > 1:
            raise CalibrationError(f"{len(drives)} logs were given, and a clock drifts within one; give one")
        drive = drives[0]
        spec, motor = drive.spec, drive.sensor("drive")
        period = 1.0 / spec.rates.guardian_hz
        if len(drive.time_s) < FEWEST_SAMPLES:
            raise CalibrationError(f"{len(drive.time_s)} ticks in the log; {FEWEST_SAMPLES} were expected")
        jitter = np.abs(np.diff(drive.time_s) - period)
        uneven = float(np.quantile(jitter, 0.99)) / period
        layouts = {s.name: s.layout for s in spec.sensors}
        erpm = motor.values[:, layouts["drive"].index("erpm")]
        smooth = np.convolve(erpm, np.ones(SMOOTH) / SMOOTH, mode="same") / spec.scalar("erpm_per_speed")
        speed = Samples(motor.time_s, smooth[:, None])
        begins = onsets(drive, erpm)
        if len(begins) < FEWEST_STARTS:
            raise CalibrationError(
                f"{len(begins)} starts from rest in the log; at least {FEWEST_STARTS} were expected"
            )
        fixes = fixes_of(drive)
        heading = np.interp(fixes.time_s, drive.time_s, np.unwrap(drive.state("heading")))
        velocity = fixes.values[:, layouts["gnss"]["velocity_world"]]
        seen = velocity[:, 0] * np.cos(heading) + velocity[:, 1] * np.sin(heading)
        (late, drift), (sigma, drift_sigma) = shift(speed, fixes.time_s, seen)
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
                    "drift of the receiver's clock, and 95 % of its error",
                    "s/min",
                    abs(drift) + 1.96 * drift_sigma,
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


def shift(reference: Samples, times: Array, values: Array) -> tuple[tuple[float, float], tuple[float, float]]:
    """How much later than ``reference`` (one column) the ``values`` at ``times`` [s] are in the middle of
    their times [s], and how much later yet every minute [s/min]; and the standard deviations. A scale between
    both is fitted along. Raises CalibrationError if nothing changes."""
    if len(times) < 20 or float(np.std(values)) < 0.1:
        raise CalibrationError(
            f"the speed hardly changed over {len(times)} positions with a fix in the log, so that nothing "
            "tells when it did; at least 20, of starts and stops, were expected"
        )
    minutes = (times - times.mean()) / 60.0

    def residuals(x: Array) -> Array:
        later = 0.1 * ((x[0] - 1.0) + (x[1] - 1.0) * minutes)
        return np.asarray(x[2] * reference.at(times - later, 0) - values)

    # From 1 on, so that differences are of milliseconds and not relative to nothing.
    fit = least_squares(residuals, np.ones(3), diff_step=[0.05, 0.02, 0.01])
    variance = float(fit.fun @ fit.fun) / (len(times) - 3)
    sigmas = 0.1 * np.sqrt(variance * np.diag(np.linalg.inv(fit.jac.T @ fit.jac)))
    late, drift = (0.1 * (fit.x[:2] - 1.0)).tolist()
    return (late, drift), (float(sigmas[0]), float(sigmas[1]))
