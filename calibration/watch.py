"""Whether a session's log still agrees with the calibration: cheap enough for the end of every session.

Steering: the yaw rate is regressed on what the commanded angles should have made of it, in calm driving; what
is left is a centre and a gain that are off. Speed: the receiver's against the wheels'. A few times the
calibration's own tolerance means that it no longer describes the robot.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from calibration.drive import Drive, Samples
from calibration.entry import with_unit
from calibration.fixes import fixes_of
from calibration.steering import Weave
from sim.plant import Array

CALM = 3.0
"""Lateral acceleration below which tyres do not slide [m/s^2]: a third of the usual grip."""
SLOWEST = 0.6
"""[m/s]"""
FEWEST = 500
"""Samples, five seconds, without which nothing is said."""
YAW_DELAY_S = 0.02
"""In which a car of this size turns once its wheels have."""
BLOCKS = 10
"""Stretches of a drive whose differences say how certain an estimate is."""
CENTRE, GAIN, SPEED = 0.0075, 0.08, 0.025
"""Off by more, the robot is to be measured again: 10 cm aside in 3 m [rad]; more than a radius' 5 % with what
tyres add [1]; more than twice the odometry's 1 % [1]."""


@dataclass(frozen=True)
class Watched:
    """``off`` and its standard deviation ``sigma`` [``unit``]; more than ``most`` is too much; ``procedure``
    measures it again."""

    what: str
    unit: str
    off: float
    sigma: float
    most: float
    procedure: str

    @property
    def drifted(self) -> bool:
        """Beyond doubt: by three standard deviations."""
        return abs(self.off) - 3.0 * self.sigma > self.most

    def words(self) -> str:
        """For a person."""
        what = with_unit(f"{self.what} off by {self.off:+.3g} ± {self.sigma:.2g}", self.unit)
        return f"{what} ({self.most:g} is tolerated)"


def watch(drive: Drive) -> list[Watched]:
    """What the log tells; less than everything if it lacks driving or a receiver."""
    return [*_steering(drive), *_speed(drive)]


def _steering(drive: Drive) -> list[Watched]:
    spec = drive.spec
    layouts = {s.name: s.layout for s in spec.sensors}
    imu, motor = drive.sensors["imu"], drive.sensors["drive"]
    if len(imu.time_s) < FEWEST or len(motor.time_s) < FEWEST:
        return []
    times = imu.time_s
    speed = motor.at(times, layouts["drive"].index("erpm")) / spec.scalar("erpm_per_speed")
    bias = np.interp(times, drive.time_s, drive.state("gyro_bias"))
    rate = imu.values[:, layouts["imu"].index("angular_velocity_z")] - bias
    calm = (speed > SLOWEST) & (np.abs(speed * rate) < CALM)
    calm &= np.interp(times, drive.time_s, drive.free.astype(float)) > 0.5
    if calm.sum() < FEWEST:
        return []
    model = Weave(drive.sent_s, drive.sent_to("steering"), times, speed, rate, calm)
    lag = np.array([spec.scalar("steering_time_constant"), YAW_DELAY_S])
    play = spec.scalar("steering_backlash") if "steering_backlash" in spec.calibration else 0.0
    wheelbase = spec.scalar("wheelbase")
    expected = model.predicted(lag, play, wheelbase)
    # rate = gain * expected + centre * speed / wheelbase
    design = np.stack((expected, speed / wheelbase), axis=-1)[calm]
    values, sigmas = _blocked(design, rate[calm])
    turned = float(np.abs(expected[calm]).mean()) > 0.1
    found = [Watched("steering centre", "rad", values[1], sigmas[1], CENTRE, "steering")]
    if turned:
        found.append(Watched("steering gain", "1", values[0] - 1.0, sigmas[0], GAIN, "steering"))
    return found


def _speed(drive: Drive) -> list[Watched]:
    spec = drive.spec
    if "gnss" not in drive.sensors or len(drive.sensors["gnss"].time_s) < FEWEST // 10:
        return []
    fixes, motor = fixes_of(drive), drive.sensors["drive"]
    if len(fixes.time_s) < FEWEST // 10:
        return []
    layouts = {s.name: s.layout for s in spec.sensors}
    seen = np.hypot(*fixes.values[:, layouts["gnss"]["velocity_world"]][:, :2].T)
    erpm = Samples(motor.time_s, motor.values[:, [layouts["drive"].index("erpm")]])
    wheels = np.abs(erpm.at(fixes.time_s, 0)) / spec.scalar("erpm_per_speed")
    # Wheels that spin or lock, and a receiver that lags, matter where speed changes.
    steady = np.abs(np.gradient(wheels, fixes.time_s)) < 1.0
    fast = (wheels > 2.0 * SLOWEST) & steady
    if fast.sum() < FEWEST // 10:
        return []
    values, sigmas = _blocked(wheels[fast, None], seen[fast])
    return [Watched("speed scale", "1", values[0] - 1.0, sigmas[0], SPEED, "speed")]


def _blocked(design: Array, values: Array) -> tuple[list[float], list[float]]:
    """Least squares over all, and standard deviations from how stretches of the drive differ."""
    whole, *_ = np.linalg.lstsq(design, values, rcond=None)
    parts = [
        np.linalg.lstsq(d, v, rcond=None)[0]
        for d, v in zip(np.array_split(design, BLOCKS), np.array_split(values, BLOCKS), strict=True)
    ]
    spread = np.std(parts, axis=0, ddof=1) / math.sqrt(BLOCKS)
    return whole.tolist(), spread.tolist()
