"""Drives that were never driven: what a car's sensors would say along commands, in closed form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.integrate import cumulative_trapezoid
from scipy.signal import lfilter

from calibration.drive import Drive, Samples
from calibration.manoeuvre import Leg, Manoeuvre
from robot.spec import RobotSpec

RATE_HZ = 100.0


def straight_drive(
    spec: RobotSpec,
    gain: float,
    passes: Sequence[tuple[float, float]],
    rng: np.random.Generator,
    rest_s: float = 2.5,
) -> Drive:
    """Passes of (speed [m/s], seconds) on one line, each from rest with 2.5 m/s^2 and back to it, of a car
    that turns ``gain`` ERPM per m/s. Noise as in the spec's calibration."""
    profile = [np.zeros(round(rest_s * RATE_HZ))]
    for speed, seconds in passes:
        t = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
        ramp = np.minimum(np.minimum(t, seconds - t) * 2.5, abs(speed))
        profile += [np.sign(speed) * ramp, np.zeros(round(rest_s * RATE_HZ))]
    velocity = np.concatenate(profile)
    time = np.arange(len(velocity)) / RATE_HZ
    way = np.concatenate(([0.0], np.cumsum((velocity[1:] + velocity[:-1]) / 2) / RATE_HZ))
    heading = 0.3
    states = np.zeros((len(time), spec.state_layout.size))
    states[:, spec.state_layout.index("heading")] = heading
    states[:, spec.state_layout.index("velocity_body_x")] = velocity
    erpm = np.rint(gain * velocity + spec.scalar("erpm_noise") * rng.standard_normal(len(time)))
    fix_s = np.arange(0.0, time[-1], 0.1)
    kept = np.exp(-0.1 / spec.scalar("gnss_noise_time"))
    wander = np.zeros((len(fix_s), 2))
    wander[0] = rng.standard_normal(2)
    for k in range(1, len(fix_s)):
        wander[k] = kept * wander[k - 1] + np.sqrt(1 - kept**2) * rng.standard_normal(2)
    white = spec.scalar("gnss_white_noise") * rng.standard_normal((len(fix_s), 2))
    line = np.interp(fix_s, time, way)[:, None] * np.array([np.cos(heading), np.sin(heading)])
    sensors = {s.name: Samples(time, np.zeros((len(time), s.layout.size))) for s in spec.sensors}
    layout = next(s.layout for s in spec.sensors if s.name == "gnss")
    gnss = np.zeros((len(fix_s), layout.size))
    gnss[:, layout.index("fix_type")] = 3.0
    gnss[:, :2] = line + spec.scalar("gnss_noise") * wander + white
    sensors["gnss"] = Samples(fix_s, gnss)
    sensors["drive"].values[:, 0] = erpm
    sent = np.stack((velocity, np.zeros(len(time))), axis=-1)
    return Drive(spec, time, time, sent, states, np.ones(len(time), bool), sensors)


@dataclass(frozen=True)
class Linkage:
    """A true steering: ``gain`` [1/rad], ``offset`` [1], ``play`` [rad], ``lag`` and ``delay`` [s]."""

    gain: float
    offset: float
    play: float = 0.0
    lag: float = 0.08
    delay: float = 0.01


def turning_drive(spec: RobotSpec, legs: Sequence[Leg], true: Linkage, rng: np.random.Generator) -> Drive:
    """A kinematic car that is steered through ``legs``, told by its motor and its gyroscope."""
    wheelbase, step_s = spec.scalar("wheelbase"), 0.002
    manoeuvre, layout = Manoeuvre(spec, tuple(legs)), spec.state_layout
    x = y = heading = speed = servo = wheels = 0.0
    wanted, sent, rows, waiting = np.zeros(2), np.zeros(2), [], [0.0] * round(true.delay / step_s)
    tick = 0
    while not manoeuvre.finished:
        t = 0.01 * tick
        if tick % 5 == 0:
            state = np.zeros(layout.size)
            state[layout["position_world"]] = x, y
            state[layout.index("heading")] = heading
            wanted = manoeuvre.command(t, state)
        sent = sent + np.clip(wanted - sent, [-0.08, -0.016], [0.08, 0.016])
        for _ in range(5):
            pulse = spec.scalar("servo_gain") * sent[1] + spec.scalar("servo_offset")
            waiting.append((pulse - true.offset) / true.gain)
            servo += (1.0 - np.exp(-step_s / true.lag)) * (waiting.pop(0) - servo)
            wheels = min(max(wheels, servo - true.play / 2), servo + true.play / 2)
            speed += min(max(sent[0] - speed, -0.01), 0.01)
            # The motor holds the mean of both axles.
            rear = 2.0 * speed / (1.0 + 1.0 / np.cos(wheels))
            rate = rear * np.tan(wheels) / wheelbase
            heading += step_s * rate
            x, y = x + step_s * rear * np.cos(heading), y + step_s * rear * np.sin(heading)
        tick += 1
        rows.append((0.01 * tick, *sent, speed, rate, x, y, heading))
    found = np.array(rows)
    time, n = found[:, 0], len(found)
    sensors = {s.name: Samples(time, np.zeros((n, s.layout.size))) for s in spec.sensors}
    erpm_noise, gyro_noise = spec.scalar("erpm_noise"), spec.scalar("gyroscope_noise")
    sensors["drive"].values[:, 0] = spec.scalar("erpm_per_speed") * found[:, 3]
    sensors["drive"].values[:, 0] += erpm_noise * rng.standard_normal(n)
    sensors["imu"].values[:, 5] = found[:, 4] + 0.007 + gyro_noise * rng.standard_normal(n)
    states = np.zeros((n, layout.size))
    states[:, layout["position_world"]], states[:, layout.index("heading")] = found[:, 5:7], found[:, 7]
    return Drive(spec, time, time, found[:, 1:3], states, np.ones(n, bool), sensors)


@dataclass(frozen=True)
class Drivetrain:
    """True cars, all of shape (n,): acceleration ``per_ampere`` [m/s^2/A], deceleration by ``rolling`` and by
    the ``slope`` ahead [m/s^2], ERPM per m/s ``gain``, ``zero`` of the current sensor [A]; ``slip`` [s]:
    wheels are ahead of the car by so much of its acceleration; ``limit`` of the current [A]."""

    per_ampere: np.ndarray
    rolling: np.ndarray
    slope: np.ndarray
    gain: np.ndarray
    zero: np.ndarray
    slip: float = 0.02
    limit: float = 30.0


def current_drives(
    spec: RobotSpec, passes: Sequence[tuple[float, float]], true: Drivetrain, rng: np.random.Generator
) -> list[Drive]:
    """Passes of (speed [m/s], seconds), driven by a speed controller and ended by a brake of 20 A, of many
    cars at once: what each one's motor says. Noise as in the spec's calibration."""
    wanted = [np.zeros(150)]
    for speed, seconds in passes:
        wanted += [np.full(round(seconds * RATE_HZ), speed), np.zeros(250)]
    told, n = np.concatenate(wanted), len(true.gain)
    speed, acceleration, integral, target = np.zeros(n), np.zeros(n), np.zeros(n), 0.0
    speeds, currents = [], []
    for command in told.tolist():
        target += min(max(command - target, -0.08), 0.08)
        error = target - speed
        if command == 0.0:
            # The back-EMF drives less and less through the windings; what is left stops with the wheels.
            current = -np.sign(speed) * np.minimum(20.0, 36.0 * np.abs(speed))
            integral, target = np.zeros(n), 0.0
        else:
            integral = np.clip(integral + 0.5 * error, -20.0, 20.0)
            current = np.clip(40.0 * error + integral, -true.limit, true.limit)
        way = np.sign(speed) if command == 0.0 else np.full(n, np.sign(command))
        acceleration = true.per_ampere * current - true.rolling * way - true.slope * np.abs(way)
        after = speed + acceleration / RATE_HZ
        if command == 0.0:
            after = np.where(np.sign(after) == np.sign(speed), after, 0.0)
        speed = after
        speeds.append(np.where(speed == 0.0, 0.0, speed + true.slip * true.per_ampere * current))
        currents.append(current)
    time = np.arange(len(told)) / RATE_HZ
    states = np.zeros((len(time), spec.state_layout.size))
    sent = np.stack((told, np.zeros(len(time))), axis=-1)
    found = []
    for car in range(n):
        sensors = {s.name: Samples(time, np.zeros((len(time), s.layout.size))) for s in spec.sensors}
        drive = sensors["drive"].values
        drive[:, 0] = true.gain[car] * np.array(speeds)[:, car]
        drive[:, 0] += spec.scalar("erpm_noise") * rng.standard_normal(len(time))
        drive[:, 1] = np.array(currents)[:, car] + true.zero[car]
        drive[:, 1] += spec.scalar("motor_current_noise") * rng.standard_normal(len(time))
        found.append(Drive(spec, time, time, sent, states, np.ones(len(time), bool), sensors))
    return found


@dataclass(frozen=True)
class Mount:
    """A true antenna: ``x``, ``y`` before and left of the rear axle [m]; and what hides it: ``slip`` of the
    rear tyres aside [s^2/m], by which they drift against the turn at the square of the speed, lateness of
    positions [s], ``gyro`` and ``wheels``, scale errors [1]."""

    x: float
    y: float
    slip: float = 0.02
    late: float = 0.0
    gyro: float = 0.0
    wheels: float = 0.0


def circling_drive(spec: RobotSpec, legs: Sequence[Leg], true: Mount, rng: np.random.Generator) -> Drive:
    """A kinematic car that drives ``legs`` of steering; its wheels, gyroscope and antenna, with noise."""
    wheelbase, step = spec.scalar("wheelbase"), 1.0 / RATE_HZ
    speed = np.concatenate([np.full(round(leg.seconds * RATE_HZ), leg.speed) for leg in legs])
    steering = np.concatenate([np.full(round(leg.seconds * RATE_HZ), leg.steering or 0.0) for leg in legs])
    share = 1.0 - np.exp(-step / 0.15)
    speed, steering = (lfilter([share], [1.0, share - 1.0], column) for column in (speed, steering))
    speed[np.abs(speed) < 0.01] = 0.0
    rate = speed * np.tan(steering) / wheelbase
    heading = 0.7 + cumulative_trapezoid(rate, dx=step, initial=0.0)
    # Against the lateral acceleration, which points into the turn forward as in reverse.
    aside = -true.slip * np.abs(speed) * speed * rate
    velocity = (speed + 1j * aside) * np.exp(1j * heading)
    place = cumulative_trapezoid(velocity, dx=step, initial=0.0) + (true.x + 1j * true.y) * np.exp(
        1j * heading
    )
    n = len(speed)
    time = np.arange(n) * step
    fix_s = np.arange(0.3, time[-1], 0.1)
    seen = np.interp(fix_s - true.late, time, place.real) + 1j * np.interp(
        fix_s - true.late, time, place.imag
    )
    kept = np.exp(-0.1 / spec.scalar("gnss_noise_time"))
    fresh = rng.standard_normal((2, len(fix_s))) * np.sqrt(1.0 - kept**2)
    fresh[:, 0] /= np.sqrt(1.0 - kept**2)
    wander = spec.scalar("gnss_noise") * lfilter([1.0], [1.0, -kept], fresh)
    wander += spec.scalar("gnss_white_noise") * rng.standard_normal(wander.shape)
    sensors = {s.name: Samples(time, np.zeros((n, s.layout.size))) for s in spec.sensors}
    layout = next(s.layout for s in spec.sensors if s.name == "gnss")
    gnss = np.zeros((len(fix_s), layout.size))
    gnss[:, 0], gnss[:, 1] = seen.real + wander[0], seen.imag + wander[1]
    gnss[:, layout.index("fix_type")] = 3.0
    sensors["gnss"] = Samples(fix_s, gnss)
    mean = 0.5 * speed * (1.0 + 1.0 / np.cos(steering))
    sensors["drive"].values[:, 0] = spec.scalar("erpm_per_speed") * (1.0 + true.wheels) * mean
    sensors["drive"].values[:, 0] += spec.scalar("erpm_noise") * rng.standard_normal(n)
    bias = 0.007 + spec.scalar("gyroscope_bias_walk") * np.sqrt(step) * np.cumsum(rng.standard_normal(n))
    sensors["imu"].values[:, 5] = (1.0 + true.gyro) * rate + bias
    sensors["imu"].values[:, 5] += spec.scalar("gyroscope_noise") * rng.standard_normal(n)
    states = np.zeros((n, spec.state_layout.size))
    return Drive(spec, time, time, np.stack((speed, steering), axis=-1), states, np.ones(n, bool), sensors)
