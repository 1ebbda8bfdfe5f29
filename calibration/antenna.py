"""Where the satellite antenna sits on a car: its positions turn about the body while it drives eights.

An eight is driven forward and then back in reverse. Speed and heading come from the wheels and the gyroscope,
not from the estimator, which already believes in an offset (``calibration.lever_fit``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.integrate import cumulative_trapezoid

from calibration.drive import Drive
from calibration.entry import Check, Finding, Quantity
from calibration.fixes import fixes_of
from calibration.gyroscope_bias import gyroscope_bias
from calibration.lever_fit import Noise, Track, fit
from calibration.manoeuvre import Leg, stand
from calibration.procedure import Array, CalibrationError, Estimate, Panel, Series
from calibration.signal_checks import require_unclipped
from calibration.stretches import stretches
from robot.spec import RobotSpec

SPEED, SHARE = 0.65, 0.9
"""Of the eights [m/s], which both directions have at REDUCED limits; and of the steering's smaller end
[1]."""
ROUNDS = 2
REST_S = 1.5
SETTLED_S = 0.8
"""Of a stretch's beginning and end is not used [s]: the car speeds up and brakes there, and wheels slip."""
LEAST_TURN = 1.5 * math.pi
"""To either side, forward and in reverse [rad]: less, and the offset looks like a shift of the path."""
FEWEST_FIXES = 40
"""In a stretch."""
MARGIN_S = 0.02
"""By which motion is known before the first fix and after the last [s]."""
MOST_ERROR, MOST_LEFT = 0.01, 2.0
"""Accepted, 95 %: of either coordinate [m], a fix's own error; positions left over, of their noise [1]."""


class AntennaProcedure:
    """Implements ``calibration.procedure.Procedure``."""

    name = "antenna"
    about = (
        "The car drives slow eights, each forward and back in reverse. It needs 7 m x 4 m of level floor and "
        "an RTK fix or another position. Measure the mass first: the offset is from the centre of mass."
    )
    valid_days = 180

    def legs(self, spec: RobotSpec) -> tuple[Leg, ...]:
        actuator = next(a for a in spec.actuators if a.name == "steering")
        steering = SHARE * min(-actuator.lower, actuator.upper)
        seconds = 2.0 * math.pi * spec.scalar("wheelbase") / math.tan(steering) / SPEED + SETTLED_S
        rest = stand(REST_S)
        found = [stand(3.0)]
        for _ in range(ROUNDS):
            for speed, way, sides in ((SPEED, "forward", (1.0, -1.0)), (-SPEED, "in reverse", (-1.0, 1.0))):
                found += [Leg(f"an eight {way}", seconds, speed, side * steering) for side in sides]
                found.append(rest)
        return tuple(found)

    def estimate(self, drives: Sequence[Drive]) -> Estimate:
        if len(drives) > 1:
            raise CalibrationError(f"{len(drives)} logs; give one, along which the heading is known")
        drive = drives[0]
        spec, tracks = drive.spec, tracks_of(drive)
        least = least_turn(tracks)
        if least < LEAST_TURN:
            raise CalibrationError(
                f"{len(tracks)} stretches with position fixes were found in the log, which turn "
                f"{least:.1f} rad where they do least; {LEAST_TURN:.1f} were expected to either side, "
                "forward and in reverse; was the car stopped on the way?"
            )
        lever = fit(
            tracks,
            Noise(
                slow=spec.scalar("gnss_noise"),
                slow_s=spec.scalar("gnss_noise_time"),
                white=spec.scalar("gnss_white_noise"),
                walk=spec.scalar("gyroscope_noise") * math.sqrt(float(np.median(np.diff(tracks[0].time_s)))),
                bias_walk=spec.scalar("gyroscope_bias_walk"),
            ),
        )
        behind = spec.calibration["rear_axle"]
        along, across = lever.x - spec.scalar("rear_axle"), lever.y
        covariance = lever.covariance.copy()
        covariance[0, 0] += behind.sigma**2
        half = 1.96 * np.sqrt(np.diag(lever.covariance))
        before = spec.vector("gnss_antenna")
        times, every = np.concatenate([track.fix_s for track in tracks]), np.concatenate(lever.left)
        ahead, back, half_track = (
            spec.scalar(name) * share
            for name, share in (("front_axle", 1.0), ("rear_axle", -1.0), ("track_width", 0.5))
        )
        return Estimate(
            method=f"{len(tracks)} stretches by wheels and gyroscope, {len(every)} fixes",
            quantities=(
                Quantity("gnss_antenna_x", "m", along),
                Quantity("gnss_antenna_y", "m", across),
            ),
            covariance=covariance,
            checks=(
                Check("along, from the rear axle, 95 %", "m", float(half[0]), MOST_ERROR),
                Check("across, 95 %", "m", float(half[1]), MOST_ERROR),
                Check("positions left over, of their noise", "1", lever.scale, MOST_LEFT),
            ),
            findings=(
                Finding("antenna_before_rear_axle", "m", lever.x, float(half[0]) / 1.96),
                Finding("slip_and_lateness", "s", lever.k, lever.k_sigma),
            ),
            panels=(
                Panel(
                    "what is left of the positions",
                    "time [s]",
                    "error of the position [mm]",
                    (
                        Series("east", times, 1e3 * every.real),
                        Series("north", times, 1e3 * every.imag),
                    ),
                    left=True,
                ),
                Panel(
                    "the antenna on the car",
                    "before the centre of mass [m]",
                    "to the left [m]",
                    (
                        Series("as it was believed", np.array([before[0]]), np.array([before[1]])),
                        Series("as found", np.array([along]), np.array([across])),
                        Series(
                            "wheels",
                            np.array([ahead, ahead, back, back, ahead]),
                            np.array([half_track, -half_track, -half_track, half_track, half_track]),
                            "line",
                        ),
                    ),
                ),
            ),
            lines=(
                f"believed at {before[0]:+.3f}, {before[1]:+.3f} m from the centre of mass, found at "
                f"{along:+.3f}, {across:+.3f} m",
            ),
            frozen=("gnss_antenna_z: a level floor does not tell it",),
        )


def tracks_of(drive: Drive) -> list[Track]:
    """Every stretch of a drive between its rests. Raises SignalError."""
    spec = drive.spec
    motor, imu, gnss = drive.sensor("drive"), drive.sensor("imu"), fixes_of(drive)
    layouts = {s.name: s.layout for s in spec.sensors}
    erpm = motor.values[:, layouts["drive"].index("erpm")]
    turning = imu.values[:, layouts["imu"].index("angular_velocity_z")]
    require_unclipped("the motor's speed", erpm)
    require_unclipped("the gyroscope", turning)
    rate = turning - gyroscope_bias(drive).at(imu.time_s)
    times = imu.time_s
    turned = np.asarray(cumulative_trapezoid(rate, times, initial=0.0))
    speed = rear_speed(spec, motor.at(times, layouts["drive"].index("erpm")), rate)
    free = np.interp(times, drive.time_s, drive.free.astype(float))
    place = layouts["gnss"]["position_world"]
    found = []
    for first, last in stretches(erpm):
        begin_s, end_s = motor.time_s[first] + SETTLED_S, motor.time_s[last] - SETTLED_S
        fixes = (gnss.time_s > begin_s) & (gnss.time_s < end_s)
        if fixes.sum() < FEWEST_FIXES:
            continue
        fix_s, positions = gnss.time_s[fixes], gnss.values[fixes, place]
        some = (times > fix_s[0] - MARGIN_S) & (times < fix_s[-1] + MARGIN_S)
        if free[some].min() < 1.0:
            continue
        seen_at = positions[:, 0] + 1j * positions[:, 1]
        found.append(Track(fix_s, seen_at, times[some], speed[some], turned[some]))
    return found


def least_turn(tracks: Sequence[Track]) -> float:
    """How far they turn to either side, forward and in reverse, where that is least [rad]."""
    found = dict.fromkeys(((way, side) for way in (1.0, -1.0) for side in (1.0, -1.0)), 0.0)
    for track in tracks:
        steps, way = np.diff(track.turned), float(np.sign(track.speed.mean()))
        for side in (1.0, -1.0):
            found[way, side] += float(np.maximum(side * steps, 0.0).sum()) if way else 0.0
    return min(found.values())


def rear_speed(spec: RobotSpec, erpm: Array, rate: Array) -> Array:
    """Of the rear axle [m/s], signed; the motor turns with the mean of both axles, of which the front one is
    1 / cos(angle) faster. ``rate``: of yaw [rad/s]."""
    mean = erpm / spec.scalar("erpm_per_speed")
    rear = mean.copy()
    moving = np.abs(mean) > 0.2
    for _ in range(4):
        tangent = np.where(moving, spec.scalar("wheelbase") * rate / np.where(moving, rear, 1.0), 0.0)
        rear = 2.0 * mean / (1.0 + np.sqrt(1.0 + tangent**2))
    return np.asarray(rear)
