"""Stretches in which a robot did not move at all, as its inertial sensor tells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from calibration.drive import Samples
from sim.plant import Array

BLOCK_S = 0.5
"""Stillness is judged over blocks of so long [s]."""
TURNING = 0.05
"""A block that turns on average by more [rad/s] is no rest: several times a gyroscope's zero-rate offset."""
SHAKING = 4.0
"""A block whose scatter is so many times the quietest tenth's is no rest."""


@dataclass(frozen=True)
class Rest:
    """Samples ``first`` to ``end`` (exclusive) of a sensor; their mean specific force [m/s^2] and angular
    velocity [rad/s], shape (3,) each."""

    first: int
    end: int
    force: Array
    turning: Array


def rate_of(samples: Samples) -> float:
    """At which the sensor reports, as a rule [Hz]."""
    return 1.0 / float(np.median(np.diff(samples.time_s)))


def rests(samples: Samples, least_s: float) -> list[Rest]:
    """Every stretch of at least ``least_s`` of an inertial sensor (specific force, angular velocity)."""
    rate = rate_of(samples)
    size = max(round(BLOCK_S * rate), 2)
    count = len(samples.values) // size
    if count == 0:
        return []
    blocks = samples.values[: count * size, :6].reshape(count, size, 6)
    scatter = blocks.std(axis=1)
    usual = np.maximum(np.quantile(scatter, 0.1, axis=0), 1e-9)
    quiet = (scatter < SHAKING * usual).all(axis=1)
    quiet &= np.abs(blocks[:, :, 3:].mean(axis=1)).max(axis=1) < TURNING
    edges = np.flatnonzero(np.diff(np.concatenate(([0], quiet.astype(int), [0]))))
    found = []
    for begin, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        if (end - begin) * BLOCK_S >= least_s:
            part = samples.values[begin * size : end * size, :6]
            mean = part.mean(axis=0)
            found.append(Rest(begin * size, end * size, mean[:3], mean[3:]))
    return found
