"""How late a camera's pictures are, from how they move while the robot turns.

What a camera shows turns as the gyroscope does, whatever it looks at, wherever it is mounted and whatever its
lens: between two pictures everything moves by some matrix times the angle turned in between. A picture whose
stamp is late shows an angle that was turned earlier. Matrix and lateness are found together by least squares
(variable projection, Golub and Pereyra 1973); how the lateness of single turns differs tells how certain it
is, and whether the camera's clock drifts. The middle row of a rolling shutter is what counts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.integrate import cumulative_trapezoid

from calibration.drive import Array, Drive, ImageMotion, Samples

TURNING = 0.15
"""A robot that turns faster than this [rad/s] tells something."""
EARLIEST_S, LATEST_S, STEP_S = -0.05, 0.3, 0.005
"""Latenesses that are tried [s]."""
AROUND_S = 0.1
"""How long it is no faster than that while it begins and ends to turn [s]."""
DERIVATIVE_S = 0.002
ITERATIONS = 6
OUTLIER = 5.0
"""Residuals beyond so many of their median are of something that moved by itself."""
APART_S = 1.0
"""Turns with so much between them that does not turn are told apart [s]."""
FEWEST_PICTURES = 20


@dataclass(frozen=True)
class Turns:
    """Of every turn, shape (n,) each: when [min], how late its pictures are [s], and the weight of that.
    ``explained``: share of the pictures' motion that is the gyroscope's [1]."""

    when: Array
    late: Array
    weight: Array
    explained: float


def gyroscope(drive: Drive) -> Samples:
    """All three axes [rad/s], body frame."""
    imu = drive.sensor("imu")
    layout = next(s.layout for s in drive.spec.sensors if s.name == "imu")
    axes = [layout.index(f"angular_velocity_{axis}") for axis in "xyz"]
    return Samples(imu.time_s, imu.values[:, axes])


class Turning:
    """Whether the robot turns, at any time [s]."""

    def __init__(self, rates: Samples) -> None:
        still = np.median(rates.values, axis=0)
        fast = np.linalg.norm(rates.values - still, axis=1) > TURNING
        self._times = rates.time_s[fast]

    def __call__(self, before_s: float, after_s: float) -> bool:
        first, last = np.searchsorted(
            self._times, (before_s - LATEST_S - AROUND_S, after_s - EARLIEST_S + AROUND_S)
        )
        return bool(first < last)


def lateness_of_turns(rates: Samples, motion: ImageMotion) -> Turns:
    """None of them if too little turned while there were pictures, or if what they show never moves."""
    turned = cumulative_trapezoid(rates.values, rates.time_s, axis=0, initial=0.0)
    before, after, shift = motion.before_s, motion.after_s, motion.shift
    if len(before) < FEWEST_PICTURES or not shift.any():
        return Turns(np.zeros(0), np.zeros(0), np.zeros(0), 0.0)

    def angles(late: float) -> Array:
        """Turned between the pictures if they are so late [rad], and for how long, shape (n, 4)."""
        between = [
            np.interp(after - late, rates.time_s, column) - np.interp(before - late, rates.time_s, column)
            for column in turned.T
        ]
        return np.stack((*between, after - before), axis=-1)

    def projected(late: float, weight: Array) -> tuple[Array, Array]:
        """The matrix for a lateness, shape (4, 2), and what it leaves [pixels], shape (n, 2)."""
        design = angles(late)
        solved = np.linalg.lstsq(weight[:, None] * design, weight[:, None] * shift, rcond=1e-6)
        matrix = np.asarray(solved[0], np.float64)
        return matrix, shift - design @ matrix

    def slope(late: float, matrix: Array) -> Array:
        """Of what is left with the lateness [pixels/s], shape (n, 2)."""
        later, earlier = angles(late + DERIVATIVE_S), angles(late - DERIVATIVE_S)
        return (earlier - later) @ matrix / (2 * DERIVATIVE_S)

    weight = np.ones(len(shift))
    late = _best(lambda late: projected(late, weight)[1])
    for _ in range(ITERATIONS):
        matrix, left = projected(late, weight)
        rate = slope(late, matrix)
        size = np.linalg.norm(left, axis=1)
        weight = (size <= OUTLIER * max(float(np.median(size)), 1e-9)).astype(float)
        late -= float(np.sum(weight[:, None] * rate * left)) / float(np.sum(weight[:, None] * rate**2))
    matrix, left = projected(late, weight)
    rate = slope(late, matrix)
    ends = np.flatnonzero(np.diff(before) > APART_S) + 1
    found = []
    for turn in np.split(np.arange(len(before)), ends):
        told = float(np.sum(weight[turn, None] * rate[turn] ** 2))
        if told > 0.0:
            own = late - float(np.sum(weight[turn, None] * rate[turn] * left[turn])) / told
            found.append((before[turn].mean() / 60.0, own, told))
    spread = shift - np.average(shift, axis=0, weights=weight)
    explained = 1.0 - float(weight @ (left**2).sum(axis=1)) / float(weight @ (spread**2).sum(axis=1))
    when, lates, weights = np.array(found).reshape(-1, 3).T
    return Turns(when, lates, weights, explained)


def _best(left: Callable[[float], Array]) -> float:
    """The lateness that leaves least."""
    tried = np.arange(EARLIEST_S, LATEST_S, STEP_S)
    return float(tried[np.argmin([np.sum(left(late) ** 2) for late in tried.tolist()])])
