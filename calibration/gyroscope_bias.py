"""What a gyroscope shows about the vertical while nothing turns, before and after a drive."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from calibration.drive import Drive
from calibration.procedure import Array, CalibrationError
from calibration.still import rests
from calibration.stretches import first_motion

MARGIN_S = 0.1
"""Before its first motion and after its last one a car may already, or still, move a little [s]."""
NEAR_S = 3.5
"""Of rest before and after are used [s]: a person may have set the car down before that."""
LEAST_S, FEWEST = 1.0, 80
"""Of standing still [s], and samples of it, without which it is not known."""


@dataclass(frozen=True)
class GyroscopeBias:
    """``values`` [rad/s] in the middle of each rest, at ``times`` [s], shape (1,) or (2,); ``sigma``: by how
    much its mean over the drive may differ from what ``at`` makes of them [rad/s]."""

    times: Array
    values: Array
    sigma: float

    def at(self, time_s: Array | float) -> Array:
        """Between the rests as if it went on evenly [rad/s]."""
        return np.asarray(np.interp(time_s, self.times, self.values))


def gyroscope_bias(drive: Drive) -> GyroscopeBias:
    """From before the first motion, and from after the last one if it stood for a second then, too. Raises
    CalibrationError if it did not stand for a second before."""
    spec, motor, imu = drive.spec, drive.sensor("drive"), drive.sensor("imu")
    layouts = {s.name: s.layout for s in spec.sensors}
    erpm, ends = motor.values[:, layouts["drive"].index("erpm")], len(motor.time_s) - 1
    first = float(motor.time_s[min(first_motion(erpm), ends)])
    last = float(motor.time_s[max(ends - first_motion(erpm[::-1]), 0)])
    turning, time = imu.values[:, layouts["imu"].index("angular_velocity_z")], imu.time_s
    still = np.zeros(len(time), bool)
    for rest in rests(imu, LEAST_S):
        still[rest.first : rest.end] = True
    before = still & (time < first - MARGIN_S) & (time > first - MARGIN_S - NEAR_S)
    after = still & (time > max(first, last) + MARGIN_S) & (time < last + MARGIN_S + NEAR_S)
    if before.sum() < FEWEST:
        raise CalibrationError("the car did not stand for a second before it moved: no gyroscope bias")
    parts = (before, after) if after.sum() >= FEWEST else (before,)
    times = np.array([time[part].mean() for part in parts])
    values = np.array([turning[part].mean() for part in parts])
    # A random walk's mean over its whole length, from its begin, and between two ends that are known.
    walked = (last - first) / (12.0 if len(parts) > 1 else 3.0)
    noise = float(turning[before].std()) / math.sqrt(sum(int(part.sum()) for part in parts))
    sigma = math.hypot(spec.scalar("gyroscope_bias_walk") * math.sqrt(max(walked, 0.0)), noise)
    return GyroscopeBias(times, values, sigma)
