"""The laps in a drive: where it comes by the same place again, the same way."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from robot.practice.course import Array
from robot.practice.demonstration import SHORTEST_LAP

Path = NDArray[np.complex128]
MOVED: Final = 0.02
"""What moves less is standing still [m]."""
CLOSE: Final = 0.3
"""How far beside its own track a person comes by the same place again [m]; one that is further off did not
drive on a lap there but to one."""
ANCHOR_SPACING: Final = 0.25
"""Places that are tried as a lap's beginning [m]."""
AHEAD: Final = 0.3
"""The direction at a place is that to where the drive is this much later [m]."""


@dataclass(frozen=True)
class DrivenLap:
    """Rows ``first`` to ``last`` of the drive; ``length`` [m]; ``gap`` [m] between its ends."""

    first: int
    last: int
    length: float
    gap: float


def find_laps(positions: Array, closing_metres: float = 1.0) -> list[DrivenLap]:
    """All laps one after another in positions [m], shape (n, 2), recorded in order without a jump.

    They begin at the first place that the drive comes by again within ``CLOSE``, so that the way to the
    course is no part of a lap; if there is none, where it comes by nearest, within ``closing_metres``.
    """
    rows = _moving(positions)
    path = positions[rows, 0] + 1j * positions[rows, 1]
    if len(path) < 3:
        return []
    arc = np.concatenate(([0.0], np.cumsum(np.abs(np.diff(path)))))
    heading = np.gradient(path)
    best: list[DrivenLap] = []
    for start in np.searchsorted(arc, np.arange(0.0, arc[-1] - SHORTEST_LAP, ANCHOR_SPACING)).tolist():
        ends = _passes(path, arc, heading, start, closing_metres)
        laps = [
            DrivenLap(int(rows[a]), int(rows[b]), float(arc[b] - arc[a]), float(abs(path[b] - path[a])))
            for a, b in zip([start, *ends], ends, strict=False)
        ]
        if laps and laps[0].gap <= CLOSE:
            return laps
        if laps and (not best or laps[0].gap < best[0].gap):
            best = laps
    return best


def _passes(path: Path, arc: Array, heading: Path, start: int, closing: float) -> list[int]:
    """Where the drive comes by ``path[start]`` again, the same way."""
    ahead = int(np.searchsorted(arc, arc[start] + AHEAD))
    direction = path[min(ahead, len(path) - 1)] - path[start]
    distance = np.abs(path - path[start])
    found: list[int] = []
    since, last = start, start
    same_way = (heading * np.conj(direction)).real > 0.5 * np.abs(heading) * abs(direction)
    near = np.flatnonzero((distance < closing) & same_way & (np.arange(len(path)) > start))
    for group in np.split(near, np.flatnonzero(np.diff(near) > 1) + 1):
        if not len(group) or arc[group[-1]] - arc[since] < SHORTEST_LAP:
            continue
        if distance[last : group[0] + 1].max() < 2.0 * closing:
            continue  # it has not been away
        at = int(group[np.argmin(distance[group])])
        found.append(at)
        since = last = at
    return found


def _moving(positions: Array) -> NDArray[np.intp]:
    """Rows that are each at least ``MOVED`` from the one before."""
    kept: list[int] = []
    x, y = math.inf, math.inf
    for row, (here_x, here_y) in enumerate(positions.tolist()):
        if math.hypot(here_x - x, here_y - y) >= MOVED:
            kept.append(row)
            x, y = here_x, here_y
    return np.array(kept, np.intp)
