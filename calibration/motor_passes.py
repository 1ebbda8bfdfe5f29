"""Straight passes of a car between rests, and the regression of its speed on its motor's current."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from calibration.confidence import student_over_normal
from calibration.drive import Drive, Flags, Samples
from calibration.procedure import Array, CalibrationError
from calibration.signal_checks import require_unclipped
from calibration.stretches import STILL_ERPM, stretches

SHORTEST_S = 1.5
"""A shorter stretch is no pass [s]."""
MOST_BEND = 0.35
"""A pass whose heading changes by more [rad] was not straight."""
WINDOW = 10
"""Samples in an increment: 0.1 s, in which noise of the current has averaged out."""
HELD = 10
"""Samples over which a current counts as held, and without which no braking is seen."""
BRAKE_FADES = 0.7
"""Below this [m/s] the back-EMF no longer drives the whole braking current through the windings."""
BUILDS_UP = 3
"""Samples in which a brake's current does."""
STILL_MARGIN_S, FEWEST_STILL = 0.3, 100
"""Before and after a motion the current is not at its zero; samples that tell it to 0.03 A."""


@dataclass(frozen=True)
class Pass:
    """From rest to rest: wheels' ``speed`` [m/s] and motor ``current`` [A], signed, at ``time_s`` [s], shape
    (n,); ``braked``: told to stand; ``way``: 1 forward, -1 in reverse."""

    time_s: Array
    speed: Array
    current: Array
    braked: Flags
    way: float

    def increments(self) -> tuple[Array, Array]:
        """What explains the changes of speed, shape (m, 4): ampere seconds, seconds against the rolling,
        seconds against the slope, amperes; and those changes [m/s], shape (m,)."""
        charge = np.concatenate(([0.0], np.cumsum(self.current[1:] * np.diff(self.time_s))))
        at = np.arange(0, len(self.time_s), WINDOW)
        columns = (charge, self.time_s, self.current, self.speed)
        ampere_seconds, seconds, amperes, change = (np.diff(column[at]) for column in columns)
        return np.stack((ampere_seconds, -self.way * seconds, -seconds, amperes), axis=-1), change

    def held_current(self) -> float:
        """The largest driving current over ``HELD`` samples [A]."""
        windows = np.lib.stride_tricks.sliding_window_view(self.way * self.current, HELD)
        return float(windows.mean(axis=1).max())

    def braking(self) -> float | None:
        """Deceleration [m/s^2] while the whole braking current flows; None if that was too short."""
        strong = np.flatnonzero(self.braked & (self.way * self.speed > BRAKE_FADES))[BUILDS_UP:]
        if len(strong) < HELD:
            return None
        return -float(np.polyfit(self.time_s[strong], self.way * self.speed[strong], 1)[0])


def passes_of(drive: Drive) -> list[Pass]:
    """Every straight stretch of a drive from rest to rest. Raises SignalError, and CalibrationError if the
    car never stood: only then the zero of its current sensor is known."""
    spec, motor = drive.spec, drive.sensor("drive")
    layout = next(s.layout for s in spec.sensors if s.name == "drive")
    erpm, current = (motor.values[:, layout.index(name)] for name in ("erpm", "motor_current"))
    require_unclipped("the motor's speed", erpm)
    zero = still_current(motor, erpm, current)
    heading = np.interp(motor.time_s, drive.time_s, np.unwrap(drive.state("heading")))
    newest = np.maximum(np.searchsorted(drive.sent_s, motor.time_s, side="right") - 1, 0)
    told_to_stand, free = drive.sent_to("speed")[newest] == 0.0, drive.free[newest]
    found = []
    for first, last in stretches(erpm):
        span = slice(first, last + 1)
        time_s = motor.time_s[span]
        if time_s[-1] - time_s[0] < SHORTEST_S or np.ptp(heading[span]) > MOST_BEND or not free[span].all():
            continue
        speed = erpm[span] / spec.scalar("erpm_per_speed")
        way = math.copysign(1.0, float(speed.sum()))
        found.append(Pass(time_s, speed, current[span] - zero, told_to_stand[span], way))
    return found


def still_current(motor: Samples, erpm: Array, current: Array) -> float:
    """What the current sensor says at rest [A]: its zero. Raises CalibrationError."""
    margin = round(STILL_MARGIN_S / float(np.median(np.diff(motor.time_s))))
    near = np.convolve(np.abs(erpm) > STILL_ERPM, np.ones(2 * margin + 1), mode="same")
    still = near < 0.5
    if still.sum() < FEWEST_STILL:
        raise CalibrationError(
            f"the motor stood for {int(still.sum())} samples in all, {FEWEST_STILL} were expected: the zero "
            "of its current sensor is not known"
        )
    return float(current[still].mean())


def regression(passes: Sequence[Pass]) -> tuple[Array, Array]:
    """By least squares: acceleration per ampere [m/s^2/A], deceleration by rolling and by the slope [m/s^2],
    and slip per ampere [m/s/A], shape (4,). Their covariance, by leaving out each pass, as wide as Student's,
    shape (4, 4)."""
    parts = [p.increments() for p in passes]
    normal = np.array([design.T @ design for design, _ in parts])
    moments = np.array([design.T @ change for design, change in parts])
    whole = np.linalg.solve(normal.sum(axis=0), moments.sum(axis=0))
    without = np.linalg.solve(normal.sum(axis=0) - normal, (moments.sum(axis=0) - moments)[..., None])[..., 0]
    gaps, n = without - without.mean(axis=0), len(passes)
    wide = student_over_normal(n - 1) ** 2
    return np.asarray(whole), np.asarray(wide * (n - 1) / n * gaps.T @ gaps)


def reverse_over_forward(passes: Sequence[Pass]) -> tuple[float, float]:
    """Acceleration per ampere in reverse, of that forward [1], and its standard deviation, from how passes of
    one direction differ. Among those, slope and rolling are one number."""
    means, sigmas = [], []
    for way in (1.0, -1.0):
        parts = [p.increments() for p in passes if p.way == way]
        each = [np.linalg.lstsq(design[:, [0, 1, 3]], change, rcond=None)[0][0] for design, change in parts]
        wide = student_over_normal(len(each) - 1)
        means.append(float(np.mean(each)))
        sigmas.append(wide * float(np.std(each, ddof=1)) / math.sqrt(len(each)))
    ratio = means[1] / means[0]
    return ratio, ratio * math.hypot(sigmas[0] / means[0], sigmas[1] / means[1])
