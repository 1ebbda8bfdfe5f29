"""Stretches from rest to rest of a motor's speed, and its first motion."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

STILL_ERPM = 60.0
"""Slower than this the motor stands [1/min]: five times the noise."""
PAUSE = 25
"""Nobody stands for fewer samples: a car that rolls out slowly crosses the threshold many times. One that
then goes the other way stood, however shortly."""
SUSTAINED = 5
"""Faster than that for fewer samples is noise: in a minute at 100 Hz it reaches five standard deviations."""


def first_motion(erpm: NDArray[np.float64]) -> int:
    """Its first sample; how many samples there are if nothing moves."""
    moving = np.abs(erpm) > STILL_ERPM
    sustained = np.convolve(moving, np.ones(SUSTAINED))[SUSTAINED - 1 :] > SUSTAINED - 0.5
    return int(sustained.argmax()) if sustained.any() else len(erpm)


def ways(erpm: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of each sample: 1 forward, -1 in reverse, 0 at rest."""
    way = np.where(np.abs(erpm) > STILL_ERPM, np.sign(erpm), 0.0)
    for last, first in itertools.pairwise(np.flatnonzero(way).tolist()):
        if first - last <= PAUSE and way[last] == way[first]:
            way[last:first] = way[last]
    return way


def stretches(erpm: NDArray[np.float64]) -> list[tuple[int, int]]:
    """First and last moving sample of every stretch that begins and ends at rest."""
    way = ways(erpm)
    edges = np.flatnonzero(np.diff(way))
    return [(a + 1, b) for a, b in itertools.pairwise(edges.tolist()) if way[a + 1]]
