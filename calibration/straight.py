"""Straight passes from rest to rest: how far by the positions before and after, how far by the motor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from calibration.drive import Drive, Samples
from calibration.procedure import Array
from calibration.signal_checks import require_unclipped
from calibration.stretches import PAUSE, stretches, ways

SETTLED_S = 0.8
"""Of a rest is not used [s]: the car still nods, and fixes are 0.06 s late."""
FEWEST_FIXES = 5
"""Of a rest that counts."""
MOST_BEND = 0.35
"""A pass whose heading changes by more [rad] was not straight."""


@dataclass(frozen=True)
class Straight:
    """``here``, ``there``: mean positions at the rests before and after [m], shape (2,) each, of so many
    ``fixes``. ``erpm`` at ``time_s`` [s], and ``turns``, signed electrical revolutions along the chord from
    the start until then [1], shape (n,) each."""

    here: Array
    there: Array
    fixes: tuple[int, int]
    time_s: Array
    erpm: Array
    turns: Array

    @property
    def distance(self) -> float:
        """[m]"""
        return float(np.hypot(*(self.there - self.here)))


def straight_passes(drive: Drive, fixes: Samples) -> list[Straight]:
    """All in which nobody stopped the car. Raises SignalError."""
    motor = drive.sensor("drive")
    layouts = {s.name: s.layout for s in drive.spec.sensors}
    positions = fixes.values[:, layouts["gnss"]["position_world"]][:, :2]
    erpm = motor.values[:, layouts["drive"].index("erpm")]
    heading = np.interp(motor.time_s, drive.time_s, np.unwrap(drive.state("heading")))
    require_unclipped("the motor's speed", erpm)
    # A motion that the log does not show whole ends a rest, too.
    moves = np.flatnonzero(ways(erpm))
    found = []
    for start, end in stretches(erpm):
        earlier, later = moves[moves < start], moves[moves > end]
        since = motor.time_s[earlier[-1]] if len(earlier) else motor.time_s[0]
        until = motor.time_s[later[0]] if len(later) else motor.time_s[-1]
        before = (fixes.time_s > since + SETTLED_S) & (fixes.time_s < motor.time_s[start])
        after = (fixes.time_s > motor.time_s[end] + SETTLED_S) & (fixes.time_s < until)
        span = slice(max(start - PAUSE, 0), end + 1 + PAUSE)  # with how it rolled out
        time, turned = motor.time_s[span], heading[span]
        free = drive.free[(drive.time_s > time[0]) & (drive.time_s < time[-1])].all()
        if min(before.sum(), after.sum()) < FEWEST_FIXES or np.ptp(turned) > MOST_BEND or not free:
            continue
        # Along the chord: the mean direction of motion, by revolutions.
        chord = float(np.average(turned, weights=np.abs(erpm[span])))
        along = erpm[span] * np.cos(turned - chord)
        steps = 0.5 * (along[1:] + along[:-1]) * np.diff(time) / 60.0
        found.append(
            Straight(
                here=positions[before].mean(axis=0),
                there=positions[after].mean(axis=0),
                fixes=(int(before.sum()), int(after.sum())),
                time_s=time,
                erpm=erpm[span],
                turns=np.concatenate(([0.0], np.cumsum(steps))),
            )
        )
    return found
