"""Steering: which pulse steers how far, the play between both, and how fast the wheels follow.

Slow turns at seven servo values, on the way up and on the way down. At walking pace a car turns where its
wheels point, so the angle follows from yaw rate and speed: tan(angle) = wheelbase * yaw rate / rear axle's
speed. The motor turns with the mean of both axles, of which the front one is faster by 1 / cos(angle). Play
shows as a difference between the two ways. Then quick steps, along which a first-order lag behind a pure
delay is fitted to the gyroscope.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares
from scipy.signal import lfilter

from calibration.confidence import student_over_normal
from calibration.drive import Drive, Flags
from calibration.entry import Check, Finding, Quantity
from calibration.gyroscope_bias import gyroscope_bias
from calibration.manoeuvre import Leg, home, stand
from calibration.procedure import Array, CalibrationError, Estimate, Panel, Series
from calibration.signal_checks import require_unclipped
from robot.spec import RobotSpec

SHARES = (0.6, -0.6, 0.3, -0.3, 0.0)
"""Of the smaller end of the steering's range; turns that keep the car near where it began."""
END = 0.9
"""Where it is steered between them [the same]."""
WEAVES = 2
SLOW, QUICK = 0.9, 1.3
"""Speeds of the turns and of the steps [m/s]."""
TURN_S, SHORT_S, STEP_S = 2.2, 1.7, 0.9
SETTLED_S = 0.8
"""Of a turn is not used [s]: the servo and the car still follow."""
STEP_SHARE = 0.7
FEWEST = 8
"""Turns without which nothing is said."""
FEWEST_VALUES, FEWEST_ASIDE = 5, 4
"""Servo values among them, and turns to each side, straight on included."""
STRAIGHT = 0.02
"""A turn by less [rad] is straight on."""
MOST_RADIUS_ERROR = 0.05
MOST_DRIFT = 0.05
"""Accepted (reference, Steering): radius within 5 %; 5 cm aside in 3 m of straight on."""
MOST_UNEXPLAINED = 0.05
"""Accepted: of the yaw rate [1]; a car on soft tyres, which swings, leaves 0.03."""
SEEN_ANGLE = 0.1
"""Steeper than this [rad] a turn's radius counts."""
APPROACH = 60
"""A turn's value was approached within so many ticks."""
LEAST_CHANGE = 0.06
"""By so much at least [rad], more than any play: then it is known on which side of it the linkage lies."""
STEADY = 0.004
"""The command of a turn varies by less [rad]: two steps of the wire."""


PULSE_SIGMA = 0.0005
"""Of a servo pulse [1]: half a step of the VESC's wire."""
LAG_SIGMA = 0.004
"""Of the time constant [s]: a fifth of the 20 ms in which the tyres make a car of this size turn."""
DATUM_S = 0.05
FINE_S = 0.002
"""Steps in which the servo is modelled [s]."""


@dataclass(frozen=True)
class Turn:
    """``pulse`` [1] held, ``angle`` that the wheels had [rad], ``way``: 1 if it was reached with the angle
    rising, -1 falling."""

    pulse: float
    angle: float
    way: float


@dataclass(frozen=True)
class Weave:
    """``angle`` commanded [rad] from each of ``sent_s`` on; ``speed`` [m/s] and yaw ``rate`` [rad/s] at
    ``times`` [s]; ``counts``: which of those are of quick steps."""

    sent_s: Array
    angle: Array
    times: Array
    speed: Array
    rate: Array
    counts: Flags

    def predicted(self, lag: Array, play: float, wheelbase: float) -> Array:
        """Yaw rate [rad/s] at ``times`` if the servo follows with a time constant and a delay [s], and the
        wheels the servo with ``play`` [rad]."""
        fine = np.arange(self.times[0], self.times[-1], FINE_S)
        # A command holds from when it was on its way until the next.
        newest = np.searchsorted(self.sent_s, fine - lag[1], side="right") - 1
        sent = self.angle[np.maximum(newest, 0)]
        share = 1.0 - math.exp(-FINE_S / float(lag[0]))
        servo = lfilter([share], [1.0, share - 1.0], sent, zi=[(1.0 - share) * sent[0]])[0]
        at = np.interp(self.times, fine, with_play(servo, play))
        rear = 2.0 * self.speed / (1.0 + 1.0 / np.cos(at))
        return np.asarray(rear * np.tan(at) / wheelbase)


def with_play(servo: Array, play: float) -> Array:
    """Angles [rad] of what a servo drags along with ``play``, shape (n,)."""
    if play <= 0.0:
        return servo
    half, here, found = play / 2.0, float(servo[0]), []
    for low, high in zip((servo - half).tolist(), (servo + half).tolist(), strict=True):
        here = min(max(here, low), high)
        found.append(here)
    return np.array(found)


class SteeringProcedure:
    """Implements ``calibration.procedure.Procedure``."""

    name = "steering"
    about = (
        "The car drives slow turns at seven servo values, up and down, and then weaves. It needs 12 m x 12 m "
        "of level floor. Measure the speed first: the angle follows from it."
    )
    valid_days = 30

    def legs(self, spec: RobotSpec) -> tuple[Leg, ...]:
        actuator = next(a for a in spec.actuators if a.name == "steering")
        most = min(-actuator.lower, actuator.upper)

        def turn(share: float, seconds: float) -> Leg:
            return Leg(f"turn at {share * most:+.2f} rad", seconds, SLOW, share * most)

        blocks = []
        for share in SHARES:
            # Once with the angle rising, and once falling.
            blocks += [turn(-END, SHORT_S), turn(share, TURN_S), home(SLOW)]
            blocks += [turn(END, SHORT_S), turn(share, TURN_S), home(SLOW)]
        weave = [
            leg
            for _ in range(WEAVES)
            for leg in (
                *(Leg("weave", STEP_S, QUICK, side * most * STEP_SHARE) for side in (1, -1, 1, -1)),
                home(SLOW),
            )
        ]
        still = stand(3.0)
        return (still, turn(END, 1.0), *blocks, *weave, still)

    def estimate(self, drives: Sequence[Drive]) -> Estimate:
        spec = drives[0].spec
        by_drive = [turns_of(drive) for drive in drives]
        turns = list(itertools.chain(*by_drive))
        require_turns(turns)
        (offset, gain, play), covariance, left = line(turns)
        lag, lag_covariance, shown = follow(spec, drives, gain, offset, max(play, 0.0))
        unexplained, wider = misfit(*shown)
        lag_covariance *= wider
        angles = np.array([turn.angle for turn in turns])
        pulses = np.array([turn.pulse for turn in turns])
        bent = np.abs(angles) > SEEN_ANGLE
        radius = float(np.abs(np.tan(angles[bent] - left[bent]) / np.tan(angles[bent]) - 1.0).max())
        wheelbase = spec.scalar("wheelbase")
        covariance += walked(drives, by_drive, (offset, gain, play))
        # A straight on of 3 m ends aside by 3^2 / (2 wheelbase) times the error of the angle.
        centre_sigma = math.sqrt(covariance[0, 0]) / abs(gain)
        drift = 1.96 * centre_sigma * 9.0 / (2.0 * wheelbase)
        sides = [gain_of(of_side(turns, side), play) for side in (1.0, -1.0)]
        # Speed and wheelbase scale every angle; a pulse is rounded; the car's own yaw lags like the servo.
        speed = spec.calibration["erpm_per_speed"].sigma / spec.scalar("erpm_per_speed")
        scale = math.hypot(speed, spec.calibration["wheelbase"].sigma / wheelbase)
        covariance += np.diag(np.square([PULSE_SIGMA, gain * scale, play * scale]))
        lag_covariance[0, 0] += LAG_SIGMA**2
        every = np.zeros((4, 4))
        every[:3, :3], every[3, 3] = covariance, lag_covariance[0, 0]
        reach = np.array([pulses.min(), pulses.max()])
        return Estimate(
            method=f"{len(turns)} slow turns by yaw rate and wheel speed; steps by the gyroscope",
            quantities=(
                Quantity("servo_offset", "1", offset),
                Quantity("servo_gain", "1/rad", gain),
                Quantity("steering_backlash", "rad", max(play, 0.0)),
                Quantity("steering_time_constant", "s", float(lag[0])),
            ),
            covariance=every,
            checks=(
                Check("error of the worst radius, of it", "1", radius, MOST_RADIUS_ERROR),
                Check("aside after 3 m of straight on, 95 %", "m", drift, MOST_DRIFT),
                Check("yaw rate that the steps do not explain, of it", "1", unexplained, MOST_UNEXPLAINED),
            ),
            findings=(
                Finding("servo_gain_left", "1/rad", sides[0]),
                Finding("servo_gain_right", "1/rad", sides[1]),
                Finding("dead_band", "1", max(play, 0.0) * abs(gain)),
                Finding("steering_delay", "s", float(lag[1]), math.sqrt(lag_covariance[1, 1])),
            ),
            panels=(
                Panel(
                    "angle by pulse",
                    "servo pulse",
                    "wheels [rad]",
                    (
                        *(
                            Series(name, pulses[some], angles[some])
                            for name, way in (("rising", 1.0), ("falling", -1.0))
                            if (some := np.array([t.way == way for t in turns])).any()
                        ),
                        Series("fit", reach, (reach - offset) / gain, "line"),
                    ),
                ),
                Panel(
                    "what is left",
                    "servo pulse",
                    "error of the angle [mrad]",
                    (Series("turns", pulses, 1e3 * left),),
                    left=True,
                ),
                Panel("steps", "time [s]", "yaw rate [rad/s]", shown),
            ),
            lines=tuple(
                f"pulse {t.pulse:.3f}: {t.angle:+.4f} rad, {1e3 * e:+.1f} mrad off"
                for t, e in zip(turns, left.tolist(), strict=True)
            ),
            frozen=("steering_rate: the guardian's REDUCED slew stays below the servo's",),
        )


def require_turns(turns: Sequence[Turn]) -> None:
    """Raise CalibrationError, with what is missing, for turns that do not tell gain, centre and play."""
    ways, values = {turn.way for turn in turns}, {round(turn.pulse, 2) for turn in turns}
    if len(turns) < FEWEST or len(ways) < 2 or len(values) < FEWEST_VALUES:
        raise CalibrationError(
            f"{len(turns)} steady slow turns in the logs; at least {FEWEST} at {FEWEST_VALUES} servo values, "
            "from both sides, were expected"
        )
    left, right = (len(of_side(turns, side)) for side in (1.0, -1.0))
    if min(left, right) < FEWEST_ASIDE:
        raise CalibrationError(
            f"{left} of the turns go left or straight on and {right} right or straight on; at least "
            f"{FEWEST_ASIDE} of either were expected: drive to both sides of the centre"
        )
    steepest = max(abs(turn.angle) for turn in turns)
    if steepest < SEEN_ANGLE:
        raise CalibrationError(
            f"the wheels turn by {steepest:.3f} rad at most; at least {SEEN_ANGLE:g} rad were expected: "
            "steer further, or look whether the servo follows"
        )


def of_side(turns: Sequence[Turn], side: float) -> list[Turn]:
    """Those to the left (1) or to the right (-1), and straight on."""
    return [turn for turn in turns if side * turn.angle > -STRAIGHT]


def pulse_of(spec: RobotSpec, steering: Array) -> Array:
    """What the driver made of setpoints [rad]: the servo's pulse [1], by the calibration of then."""
    return np.asarray(spec.scalar("servo_gain") * steering + spec.scalar("servo_offset"))


def walked(
    drives: Sequence[Drive], turns: Sequence[Sequence[Turn]], found: tuple[float, float, float]
) -> Array:
    """Covariance of offset, gain and play, ``found`` from all drives' ``turns``, for what the gyroscope's
    bias walked meanwhile: all turns of a drive have it in common, so that no residual shows it, shape
    (3, 3)."""
    every = np.zeros((3, 3))
    for k, drive in enumerate(drives):
        shifted = [*turns[:k], turns_of(drive, gyroscope_bias(drive).sigma), *turns[k + 1 :]]
        change = np.subtract(line(list(itertools.chain(*shifted)))[0], found)
        every += np.outer(change, change)
    return every


def turns_of(drive: Drive, rate_error: float = 0.0) -> list[Turn]:
    """Every stretch in which speed and steering were held, slowly enough. ``rate_error``: of the gyroscope's
    bias [rad/s]. Raises SignalError."""
    spec = drive.spec
    motor, imu = drive.sensor("drive"), drive.sensor("imu")
    layouts = {s.name: s.layout for s in spec.sensors}
    erpm = motor.values[:, layouts["drive"].index("erpm")]
    turning = imu.values[:, layouts["imu"].index("angular_velocity_z")]
    require_unclipped("the motor's speed", erpm)
    require_unclipped("the gyroscope", turning)
    bias = gyroscope_bias(drive)
    steering, speed = drive.sent_to("steering"), drive.sent_to("speed")
    held = (
        (np.abs(np.diff(steering, prepend=steering[0])) < STEADY) & (speed > 0.3) & (speed < 1.1) & drive.free
    )
    edges = np.flatnonzero(np.diff(np.concatenate(([0], held.astype(int), [0]))))
    found: list[Turn] = []
    for begin, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        start_s, stop_s = drive.time_s[begin] + SETTLED_S, drive.time_s[end - 1]
        if stop_s - start_s < 0.7:
            continue
        times = imu.time_s[(imu.time_s > start_s) & (imu.time_s < stop_s)]
        rate = float((np.interp(times, imu.time_s, turning) - bias.at(times)).mean()) - rate_error
        mean = float(np.interp(times, motor.time_s, erpm).mean()) / spec.scalar("erpm_per_speed")
        if mean < 0.3:
            continue
        change = float(steering[begin] - steering[max(begin - APPROACH, 0)])
        if abs(change) < LEAST_CHANGE:
            continue
        way = math.copysign(1.0, change)
        pulse = float(pulse_of(spec, steering[begin:end]).mean())
        found.append(Turn(pulse, wheel_angle(spec.scalar("wheelbase"), rate, mean), way))
    return found


def wheel_angle(wheelbase: float, rate: float, speed: float) -> float:
    """Of the bicycle between the front wheels [rad], from the yaw rate [rad/s] and the mean speed of both
    axles [m/s], the front one 1 / cos(angle) faster than the rear one."""
    angle = 0.0
    for _ in range(6):
        angle = math.atan(wheelbase * rate * (1.0 + 1.0 / math.cos(angle)) / (2.0 * speed))
    return angle


def line(turns: Sequence[Turn]) -> tuple[tuple[float, float, float], Array, Array]:
    """Offset [1], gain [1/rad] and play [rad] by least squares of the angles, their covariance (normal, as
    wide as Student's), and what is left of the angles [rad]. Raises CalibrationError if all are one."""
    pulses, angles, ways = (np.array([getattr(t, n) for t in turns]) for n in ("pulse", "angle", "way"))
    design = np.stack((np.ones(len(turns)), pulses, -0.5 * ways), axis=-1)
    solution, *_ = np.linalg.lstsq(design, angles, rcond=None)
    left = angles - design @ solution
    freedom = len(turns) - 3
    wide = student_over_normal(freedom) ** 2
    covariance = wide * float(left @ left) / freedom * np.linalg.inv(design.T @ design)
    a, b, play = solution.tolist()
    if b == 0.0:
        raise CalibrationError("the angle stays the same whatever is commanded: is its sensor stuck?")
    # angle = (pulse - offset) / gain: gain = 1 / b, offset = -a / b.
    jacobian = np.array([[-1.0 / b, a / b**2, 0.0], [0.0, -1.0 / b**2, 0.0], [0.0, 0.0, 1.0]])
    return (-a / b, 1.0 / b, play), jacobian @ covariance @ jacobian.T, left


def gain_of(turns: Sequence[Turn], play: float) -> float:
    """Pulse per angle of one side's turns [1/rad], the ``play`` taken up."""
    angles = [turn.angle + 0.5 * play * turn.way for turn in turns]
    return float(1.0 / np.polyfit([turn.pulse for turn in turns], angles, 1)[0])


def misfit(gyroscope: Series, model: Series) -> tuple[float, float]:
    """What a fit leaves, of what it is made to [1]; and how many times as large as ``follow`` has them its
    variances are. What neighbouring samples have in common is no noise but what the model lacks, of which all
    samples may say the same: a car that swings passes for a faster servo behind a longer delay."""
    left = model.y - gyroscope.y
    square = float((left**2).mean())
    share = max(float((left[1:] * left[:-1]).mean()) / square, 0.0)
    neighbours = (1.0 + share) / max(1.0 - share, 0.02)
    wider = (1.0 + share * (len(left) - 1)) / neighbours
    return math.sqrt(square / float((gyroscope.y**2).mean())), max(wider, 1.0)


def follow(
    spec: RobotSpec, drives: Sequence[Drive], gain: float, offset: float, play: float
) -> tuple[Array, Array, tuple[Series, ...]]:
    """Time constant and delay [s] with which the yaw rate follows the commanded angle, their covariance, and
    what to draw of it. Raises CalibrationError if nothing moved quickly."""
    layouts = {s.name: s.layout for s in spec.sensors}
    weaves = []
    for drive in drives:
        imu, motor = drive.sensor("imu"), drive.sensor("drive")
        speed = motor.at(imu.time_s, layouts["drive"].index("erpm")) / spec.scalar("erpm_per_speed")
        turning = imu.values[:, layouts["imu"].index("angular_velocity_z")]
        rate = turning - gyroscope_bias(drive).at(imu.time_s)
        angle = (pulse_of(spec, drive.sent_to("steering")) - offset) / gain
        quick = np.interp(imu.time_s, drive.time_s, drive.sent_to("speed")) > 1.15
        weaves.append(Weave(drive.sent_s, angle, imu.time_s, speed, rate, quick & (speed > 0.8)))
    count = sum(int(weave.counts.sum()) for weave in weaves)
    if count < 200:
        raise CalibrationError(f"{count} samples of weaving at {QUICK:g} m/s in the logs; 200 were expected")
    wheelbase = spec.scalar("wheelbase")

    # The delay is estimated from -DATUM_S on, so that its differences are not relative to nothing.
    datum = np.array([0.0, DATUM_S])

    def residuals(x: Array) -> Array:
        return np.concatenate([(w.predicted(x - datum, play, wheelbase) - w.rate)[w.counts] for w in weaves])

    start, bounds = np.array([0.1, 0.02]) + datum, (np.array([0.01, 0.0]) + datum, [0.5, 0.15 + DATUM_S])
    found = least_squares(residuals, start, diff_step=[0.05, 0.04], bounds=bounds)
    left = found.fun
    # Neighbouring samples of an imperfect model say the same.
    share = float((left[1:] * left[:-1]).mean() / (left**2).mean())
    wide = (1.0 + share) / max(1.0 - share, 0.02)
    covariance = wide * float((left**2).mean()) * np.linalg.inv(found.jac.T @ found.jac)
    first, lag = weaves[0], np.asarray(found.x - datum)
    times, model = first.times[first.counts], first.predicted(lag, play, wheelbase)[first.counts]
    label = f"{1e3 * lag[0]:.0f} ms behind {1e3 * lag[1]:.0f} ms"
    shown = (
        Series("gyroscope", times, first.rate[first.counts]),
        Series(label, times, model, "line"),
    )
    return lag, np.asarray(covariance), shown
