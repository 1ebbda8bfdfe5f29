"""The inertial sensor at rest: noise, bias, how it is mounted; and with six faces its scale.

A minute of standing gives the gyroscope's bias, white noise and Allan deviation, and, from the direction of
gravity, roll and pitch of the board in the car. If the logs also have the car resting on its other sides,
scale and bias of the accelerometer follow from all of them measuring the same gravity (Frosio et al. 2009,
"Autocalibration of MEMS accelerometers": |S (f - b)| = g). Six rests would fit those six numbers whatever
was measured, so every side is rested on twice, and each rest is held against what the others say.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.optimize import least_squares

from calibration.allan import allan_deviation, bias_instability
from calibration.confidence import student_over_normal
from calibration.drive import Drive, Samples
from calibration.entry import Check, Finding, Quantity
from calibration.manoeuvre import Leg
from calibration.procedure import Array, CalibrationError, Estimate, Panel, Series
from calibration.signal_checks import require_unclipped
from calibration.still import Rest, rate_of, rests
from robot.gravity import STANDARD_GRAVITY
from robot.spec import RobotSpec

STILL_S = 60.0
"""What the reference asks for [s]."""
LEAST_S, FACE_S = 30.0, 3.0
"""Shortest rest for noise and bias, and on a face [s]."""
MOST_BIAS_SIGMA = 0.001
"""Accepted (reference, Gyro/accel) [rad/s]."""
MOST_FORCE_ERROR = 0.05
"""Accepted (reference) [m/s^2]: of the length of gravity in a rest, by the others."""
MOST_SCALE_OFF, MOST_FORCE_BIAS = 0.05, 1.0
"""An accelerometer's scale is 1 [1] and its bias 0 [m/s^2] within several times what data sheets allow:
beyond, a side was not at rest, or another one."""
TRIED = 3
"""Whoever shows so many sides means to show all six."""
SIDES = ("tail", "nose", "right side", "left side", "wheels", "roof")
"""What the car rests on while an axis (x forward, y left, z up) shows gravity, and its opposite."""
MOST_SHIFT = 0.004
"""Of gravity's direction between thirds of the rest [rad]: the board or the car was moved."""
FACE = 0.8
"""An axis within this cosine of gravity is a face."""


class ImuProcedure:
    """Implements ``calibration.procedure.Procedure``."""

    name = "imu"
    about = (
        "The car stands still for a minute on a level floor; do not touch it. For the accelerometer's scale, "
        "record a log in which it also rests for 3 s on each of its six sides, twice, and give that, or "
        "both, with --log."
    )
    valid_days = 180

    def legs(self, spec: RobotSpec) -> tuple[Leg, ...]:
        return (Leg("stand still", STILL_S + 2.0),)

    def estimate(self, drives: Sequence[Drive]) -> Estimate:
        found = [(rest, samples) for samples in map(unclipped, drives) for rest in rests(samples, FACE_S)]
        seconds = [(rest.end - rest.first) / rate_of(samples) for rest, samples in found]
        if max(seconds, default=0.0) < LEAST_S:
            raise CalibrationError(
                f"the longest rest in the log is {max(seconds, default=0.0):.0f} s, at least {LEAST_S:.0f} s "
                "were expected: leave the car alone"
            )
        longest, samples = found[int(np.argmax(seconds))]
        still = samples.values[longest.first : longest.end]
        rate_hz = rate_of(samples)
        shift = moved(still[:, :3])
        if shift > MOST_SHIFT:
            raise CalibrationError(
                f"gravity turned by {1e3 * shift:.0f} mrad during the rest: the board moved or the car was "
                "touched; fasten it and measure again"
            )
        deviations = [allan_deviation(still[:, axis], rate_hz) for axis in range(6)]
        # Between neighbouring samples nothing counts but white noise.
        noise = np.array([deviation[0] for _, deviation in deviations])
        gyro_noise, force_noise = (
            math.sqrt(float(np.mean(noise[part] ** 2))) for part in (slice(3, 6), slice(0, 3))
        )
        # Of the mean over the rest: as its thirds differ, at least as the white noise says.
        thirds = np.array([part.mean(axis=0) for part in np.array_split(still[:, 3:], 3)])
        white = gyro_noise / math.sqrt(len(still))
        bias_sigma = max(float(thirds.std(axis=0, ddof=1).max()) / math.sqrt(3.0), white)
        roll, pitch = mounting(longest.force)
        faces = six_faces([rest for rest, _ in found])
        checks = [Check("standard deviation of the gyroscope's bias", "rad/s", bias_sigma, MOST_BIAS_SIGMA)]
        findings = [
            Finding(f"gyroscope_bias_{name}", "rad/s", float(value), bias_sigma)
            for name, value in zip("xyz", longest.turning, strict=True)
        ]
        findings += [
            Finding("mounting_roll", "rad", roll, force_noise / STANDARD_GRAVITY / math.sqrt(len(still))),
            Finding("mounting_pitch", "rad", pitch, force_noise / STANDARD_GRAVITY / math.sqrt(len(still))),
            Finding(
                "gyroscope_bias_instability", "rad/s", max(bias_instability(d) for _, d in deviations[3:])
            ),
            Finding("gyroscope_density", "rad/s/sqrt(Hz)", gyro_noise / math.sqrt(rate_hz)),
        ]
        frozen: tuple[str, ...] = ("accelerometer scale and bias: six faces were not in the log",)
        if faces is not None:
            values, sigmas, error = faces
            rule = "gravity's length in the worst rest, off from what the others say"
            checks.append(Check(rule, "m/s^2", error, MOST_FORCE_ERROR))
            names = [(f"accelerometer_scale_{axis}", "1") for axis in "xyz"]
            names += [(f"accelerometer_bias_{axis}", "m/s^2") for axis in "xyz"]
            findings += [
                Finding(*name, value, sigma)
                for name, value, sigma in zip(names, values.tolist(), sigmas.tolist(), strict=True)
            ]
            frozen = ()
        # Of an Allan deviation of white noise at one sample, sqrt(3 / n) / 2, three axes together.
        certain = 0.5 / math.sqrt(len(still))
        return Estimate(
            method=f"{len(still) / rate_hz:.0f} s at rest" + ("" if faces is None else ", six faces"),
            quantities=(
                Quantity("gyroscope_noise", "rad/s", gyro_noise),
                Quantity("accelerometer_noise", "m/s^2", force_noise),
            ),
            covariance=np.diag(np.square([gyro_noise * certain, force_noise * certain])),
            checks=tuple(checks),
            findings=tuple(findings),
            panels=(
                _allan_panel("gyroscope", "rad/s", deviations[3:]),
                _allan_panel("accelerometer", "m/s²", deviations[:3]),
            ),
            frozen=frozen,
        )


def unclipped(drive: Drive) -> Samples:
    """The inertial sensor's. Raises SignalError if it was at its end."""
    samples = drive.sensor("imu")
    for axis in range(6):
        require_unclipped("the inertial sensor", samples.values[:, axis])
    return samples


def moved(force: Array) -> float:
    """How far the direction of gravity turned between thirds of a rest [rad]; ``force``, shape (n, 3)."""
    means = np.array([part.mean(axis=0) for part in np.array_split(force, 3)])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    return max(float(np.linalg.norm(a - b)) for a in means for b in means)


def mounting(force: Array) -> tuple[float, float]:
    """Roll and pitch of the sensor [rad] on a car that stands level, from its mean specific force, shape
    (3,)."""
    x, y, z = force.tolist()
    return math.atan2(y, z), math.atan2(-x, math.hypot(y, z))


def six_faces(found: Sequence[Rest]) -> tuple[Array, Array, float] | None:
    """Scale [1] by axis, then bias [m/s^2], shape (6,), their standard deviations, and the error of the rest
    that the others explain worst [m/s^2]; None if the rests do not show several sides. Raises
    CalibrationError if some of the six are missing, or no accelerometer is like that."""
    forces = np.array([rest.force for rest in found])
    cosines = forces / np.linalg.norm(forces, axis=1, keepdims=True)
    counts = [int((side * cosines[:, axis] > FACE).sum()) for axis in range(3) for side in (1.0, -1.0)]
    if np.count_nonzero(counts) < TRIED:
        return None
    lacking = [f"{n} on its {side}" for side, n in zip(SIDES, counts, strict=True) if n < 2]
    if lacking:
        raise CalibrationError(
            f"of rests of {FACE_S:g} s there are {', '.join(lacking)}; two on each of the six sides were "
            "expected: rest it there, too"
        )
    values, sigmas = gravity_fit(forces)
    scale, bias = values[:3], values[3:]
    if np.abs(scale - 1.0).max() > MOST_SCALE_OFF or np.abs(bias).max() > MOST_FORCE_BIAS:
        scales, biases = np.round(scale, 3).tolist(), np.round(bias, 2).tolist()
        raise CalibrationError(
            f"the rests give scales of {scales} and biases of {biases} m/s^2; 1 within {MOST_SCALE_OFF:g} "
            f"and 0 within {MOST_FORCE_BIAS:g} were expected: the car was moved during a rest, or the "
            "sensor is defective; take the six sides again"
        )
    others = [gravity_fit(np.delete(forces, k, axis=0))[0] for k in range(len(forces))]
    lengths = [np.linalg.norm(v[:3] * (f - v[3:])) for f, v in zip(forces, others, strict=True)]
    return values, sigmas, float(np.abs(np.array(lengths) - STANDARD_GRAVITY).max())


def gravity_fit(forces: Array) -> tuple[Array, Array]:
    """Scale [1] by axis and bias [m/s^2], shape (6,), with which specific forces, shape (n, 3), are all as
    long as gravity, and the standard deviations that make normal intervals as wide as Student's."""

    def residuals(x: Array) -> Array:
        return np.asarray(np.linalg.norm(x[:3] * (forces - x[3:]), axis=1) - STANDARD_GRAVITY)

    fit = least_squares(residuals, np.array([1.0, 1.0, 1.0, 0.0, 0.0, 0.0]))
    freedom = len(forces) - len(fit.x)
    variance = float(fit.fun @ fit.fun) / freedom * student_over_normal(freedom) ** 2
    return fit.x, np.sqrt(variance * np.diag(np.linalg.inv(fit.jac.T @ fit.jac)))


def _allan_panel(what: str, unit: str, deviations: Sequence[tuple[Array, Array]]) -> Panel:
    series = tuple(
        Series(name, np.log10(taus), np.log10(values), "line")
        for name, (taus, values) in zip("xyz", deviations, strict=True)
    )
    return Panel(f"Allan deviation, {what}", "log10 of the averaging time [s]", f"log10 [{unit}]", series)
