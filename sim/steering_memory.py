"""Where a steering with play stands, along a log: that hangs on how it came there.

Wheels in a circle that was reached by steering back stand at the other side of the play than in one that was
reached from straight ahead, for as long as the circle lasts: two degrees of play are 0.2 rad/s at 2 m/s. What
play makes of a history depends on its turning points alone, and of those only on the ones that no wider swing
has followed since (Mayergoyz 1986, wiping-out property).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sim.plant import Array

POINTS: Final = 8
"""That are kept; each swing is less wide than the one before it."""


def turning_points(angles: Array, ticks: Sequence[int] | NDArray[np.intp]) -> Array:
    """Of the ``angles`` sent, shape (T,), the newest turning points before each of these ``ticks``, shape
    (n, POINTS), oldest first; the last one is the angle sent before the tick (0 before the first), and the
    first one is repeated where there are fewer. What is not finite was not sent."""
    wanted = set(np.asarray(ticks).tolist())
    found: dict[int, list[float]] = {}
    points: list[float] = []
    for tick, angle in enumerate(angles.tolist()):
        if tick in wanted:
            newest = points[-POINTS:] or [0.0]
            found[tick] = [newest[0]] * (POINTS - len(newest)) + newest
        if math.isfinite(angle) and not (points and angle == points[-1]):
            _append(points, angle)
    return np.array([found[int(tick)] for tick in ticks]).reshape(-1, POINTS)


def _append(points: list[float], angle: float) -> None:
    """Turning points once the steering has gone on to ``angle``."""
    while len(points) > 1:
        before, last = points[-2:]
        if (angle - last) * (last - before) > 0.0:
            points.pop()  # it went on, and did not turn there
        elif abs(angle - last) < abs(last - before):
            break
        elif len(points) == 2:
            del points[0]  # the widest swing is kept, whatever was before it
        else:
            del points[-2:]  # the swing back is over
    points.append(angle)
