"""Clock and latency: how evenly everything is sampled, how late a command moves the car and a position is.

Samples carry the time at which they were taken, as their drivers know it. The motor's are the reference: they
come from the controller that moves the car. On a straight pass from rest to rest its revolutions say how far
the car was when, and positions at rest how far that is in metres; a position in between that lags is late.
How that changes from pass to pass is the drift of one clock against the other. A dozen passes tell the
lateness to a millisecond: only minutes later does another dozen tell whether it is still the same.
How late a camera's pictures are is told by turning (``camera_clock.py``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from calibration.camera_clock import gyroscope, lateness_of_turns
from calibration.confidence import student_over_normal
from calibration.drive import Drive, ImageMotion, Samples
from calibration.entry import Check, Finding
from calibration.fixes import fixes_of
from calibration.manoeuvre import Leg, home, stand
from calibration.procedure import Array, CalibrationError, Estimate, Panel, Series
from calibration.straight import FEWEST_FIXES, straight_passes
from robot.camera_spec import Camera
from robot.spec import RobotSpec

STARTS = 12
SPEEDS = (1.8, -0.7)
LEG_S, REST_S, HOME_SPEED = 1.6, 1.6, 0.8
"""[s], of rests braking not counted, and [m/s]."""
WAIT_S = 300.0
"""At rest between the first half of the starts and the second [s]."""
TURNS = 4
"""To either side, forward and back, before the starts and after them, of a robot with cameras."""
TURN_SPEED, TURN_STEERING, TURN_S = 0.8, 0.3, 1.2
"""[m/s], [rad] and [s]."""
LEAST_METRES = 0.8
"""Of a pass that tells how late positions are."""
FEWEST_PASSES = 10
SLIP_S = 0.003
"""Tyres creep by a hundredth while the car accelerates, so its wheels are some millimetres ahead, as if
positions were late [s]: standard deviation."""
ITERATIONS = 3
STEP_S = 0.01
"""Of derivatives in time [s]: the motor's period."""
FEWEST_SAMPLES = 1000
"""Reference, Clock/latency."""
MOST_JITTER = 0.1
"""Of the guardian's period, 99 % of its ticks."""
MOST_DRIFT = 0.001
"""[s] a minute."""
MOVING_ERPM = 150.0
"""A motor that turns faster than this [1/min], many times its noise, has begun to move."""
FEWEST_STARTS = 10
FEWEST_TURNS = 10
"""That a camera saw."""
MOST_CAMERA_ERROR = 0.002
"""Of a camera's lateness [s]; reference, Camera-IMU: its repeatability."""
GYROSCOPE_S = 0.0005
"""A motor controller answers with what its gyroscope said within the last millisecond [s]: standard
deviation."""
LEAST_EXPLAINED = 0.7
"""Of how pictures move, by the gyroscope."""


class ClockProcedure:
    """Implements ``calibration.procedure.Procedure``."""

    name = "clock"
    about = (
        "The car starts and stops a dozen times, forward and in reverse, stands for five minutes, and does "
        "it again. It needs 8 m x 4 m of level floor and a position fix, and with cameras something to see."
    )
    valid_days = 90

    def legs(self, spec: RobotSpec) -> tuple[Leg, ...]:
        turns = _turns() if spec.cameras else []
        found = [stand(REST_S), *turns]
        for number in range(STARTS):
            found += [Leg("wait", WAIT_S)] if number == STARTS // 2 else []
            for speed in SPEEDS:
                found += [Leg(f"start to {speed:g} m/s", LEG_S, speed, metres=2.5), stand(REST_S, speed)]
            found += [home(HOME_SPEED), stand(REST_S, HOME_SPEED)]
        return (*found, *turns)

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
        begins = onsets(drive, erpm)
        if len(begins) < FEWEST_STARTS:
            raise CalibrationError(
                f"{len(begins)} starts from rest in the log; at least {FEWEST_STARTS} were expected"
            )
        fixes = fixes_of(drive)
        when, lates, weight = lateness(drive, fixes)
        if len(when) < FEWEST_PASSES:
            raise CalibrationError(
                f"{len(when)} straight passes of {LEAST_METRES:g} m with positions at rest before and after "
                f"in the log; at least {FEWEST_PASSES} were expected: is there a position fix?"
            )
        (late, drift), (scatter, drift_sigma) = drifting(when, lates, weight)
        sigma = math.hypot(scatter, SLIP_S)
        middle = float(np.average(when, weights=weight))
        described = next(s.latency_s for s in spec.sensors if s.name == "gnss")
        counts = [
            Finding(f"{name}_largest_gap", "s", float(np.diff(samples.time_s).max()))
            for name, samples in drive.sensors.items()
            if len(samples.time_s) > 1
        ]
        share = np.linspace(0.0, 1.0, len(begins))
        cameras = [
            _camera(drive, camera, drive.pictures[camera.name])
            for camera in spec.cameras
            if camera.name in drive.pictures
        ]
        return Estimate(
            method=f"{len(begins)} starts, {len(when)} straight passes, {len(drive.time_s)} ticks",
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
                *(check for camera in cameras for check in camera.checks),
            ),
            findings=(
                Finding("tick_jitter_p50", "s", float(np.quantile(jitter, 0.5))),
                Finding("tick_jitter_p999", "s", float(np.quantile(jitter, 0.999))),
                Finding("start_delay_p50", "s", float(np.quantile(begins, 0.5))),
                Finding("start_delay_p99", "s", float(np.quantile(begins, 0.99))),
                Finding("gnss_latency", "s", described + late, sigma),
                Finding("gnss_drift", "s/min", drift, drift_sigma),
                *counts,
                *(finding for camera in cameras for finding in camera.findings),
            ),
            panels=(
                Panel(
                    "from command to motion",
                    "delay [ms]",
                    "share of the starts",
                    (Series("starts", 1e3 * np.sort(begins), share),),
                ),
                Panel(
                    "positions are later than described",
                    "time [min]",
                    "[ms]",
                    (
                        Series("passes", when, 1e3 * lates),
                        Series("all", when, 1e3 * (late + drift * (when - middle)), "line"),
                    ),
                ),
                *(panel for camera in cameras for panel in camera.panels),
            ),
            lines=(
                f"positions are {1e3 * late:+.1f} ± {1e3 * sigma:.1f} ms later than the file's "
                f"{1e3 * described:g} ms; sensors.gnss.latency_s is where that is said",
                *(line for camera in cameras for line in camera.lines),
            ),
        )


def _turns() -> list[Leg]:
    """To the left and to the right, and back the same way."""
    found = []
    for number in range(2 * TURNS):
        for speed in (TURN_SPEED, -TURN_SPEED):
            steering = TURN_STEERING if number % 2 else -TURN_STEERING
            found += [Leg("turn", TURN_S, speed, steering), stand(REST_S, speed)]
    return found


def _camera(drive: Drive, camera: Camera, motion: ImageMotion) -> Estimate:
    """What a camera's pictures tell of its clock."""
    name = f"camera_{camera.name}"
    turns = lateness_of_turns(gyroscope(drive), motion)
    delivered = motion.delivered_s if len(motion.delivered_s) else np.array([math.nan])
    checks = [Check(f"turns that {name} saw", "1", len(turns.when), FEWEST_TURNS, least=True)]
    findings = [
        Finding(f"{name}_delivered_p50", "s", float(np.quantile(delivered, 0.5))),
        Finding(f"{name}_delivered_p99", "s", float(np.quantile(delivered, 0.99))),
        Finding(f"{name}_missing", "1", motion.missing),
    ]
    if not checks[0].passed:
        lines = (
            f"{name}: how late its pictures are is not known; is it open, is there something to see? The "
            "twin has cameras in real time only (--realtime)",
        )
        return Estimate("", (), np.zeros((0, 0)), tuple(checks), tuple(findings), lines=lines)
    (late, drift), (scatter, drift_sigma) = drifting(turns.when, turns.late, turns.weight)
    sigma = math.hypot(scatter, GYROSCOPE_S)
    middle = float(np.average(turns.when, weights=turns.weight))
    return Estimate(
        method=f"{len(turns.when)} turns",
        quantities=(),
        covariance=np.zeros((0, 0)),
        checks=(
            *checks,
            Check(
                f"share of the motion in {name} that the gyroscope explains",
                "1",
                turns.explained,
                LEAST_EXPLAINED,
                least=True,
            ),
            Check(f"95 % of the error of how late {name} is", "s", 1.96 * sigma, MOST_CAMERA_ERROR),
            Check(
                f"drift of {name}'s clock, and 95 % of its error",
                "s/min",
                abs(drift) + 1.96 * drift_sigma,
                MOST_DRIFT,
            ),
        ),
        findings=(
            Finding(f"{name}_latency", "s", camera.latency_s + late, sigma),
            Finding(f"{name}_drift", "s/min", drift, drift_sigma),
            *findings,
        ),
        panels=(
            Panel(
                f"pictures of {name} are later than described",
                "time [min]",
                "[ms]",
                (
                    Series("turns", turns.when, 1e3 * turns.late),
                    Series("all", turns.when, 1e3 * (late + drift * (turns.when - middle)), "line"),
                ),
            ),
        ),
        lines=(
            f"pictures of {name} are {1e3 * late:+.1f} ± {1e3 * sigma:.1f} ms older than the file's "
            f"{1e3 * camera.latency_s:g} ms; cameras.latency_s is where that is said",
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


def lateness(drive: Drive, fixes: Samples) -> tuple[Array, Array, Array]:
    """Of every straight pass from rest to rest, shape (n,) each: when [min], how much later than described
    positions are [s], and the weight of that: the sum of squared speeds at its fixes [m^2/s^2].

    Between the positions at rest the motor's revolutions say how far the car was when; a position lags by its
    speed times its lateness, and the pass's own length is the scale. Raises SignalError."""
    place = next(s.layout for s in drive.spec.sensors if s.name == "gnss")["position_world"]
    found = []
    for one in straight_passes(drive, fixes):
        seen = (fixes.time_s > one.time_s[0]) & (fixes.time_s < one.time_s[-1])
        if one.distance < LEAST_METRES or seen.sum() < FEWEST_FIXES:
            continue
        times = fixes.time_s[seen]
        way = (fixes.values[seen, place][:, :2] - one.here) @ (one.there - one.here) / one.distance
        driven = one.distance * one.turns / one.turns[-1]
        late = 0.0
        for _ in range(ITERATIONS):
            there, after = (np.interp(times - late + dt, one.time_s, driven) for dt in (0.0, STEP_S))
            speed = (after - there) / STEP_S
            late += float(speed @ (there - way)) / float(speed @ speed)
        found.append((times.mean() / 60.0, late, float(speed @ speed)))
    when, late_s, weight = np.array(found).reshape(-1, 3).T
    return when, late_s, weight


def drifting(when: Array, late: Array, weight: Array) -> tuple[tuple[float, float], tuple[float, float]]:
    """By weighted least squares how late positions are in the middle of the drive [s], and how much later
    every minute [s/min]; and the standard deviations that make normal intervals as wide as Student's."""
    design = np.stack((np.ones(len(when)), when - np.average(when, weights=weight)), axis=-1)
    inverse = np.linalg.inv(design.T @ (weight[:, None] * design))
    found = inverse @ (design.T @ (weight * late))
    left = late - design @ found
    freedom = len(late) - 2
    wide = student_over_normal(freedom)
    sigmas = wide * np.sqrt(float(weight @ left**2) / freedom * np.diag(inverse))
    return (float(found[0]), float(found[1])), (float(sigmas[0]), float(sigmas[1]))
