"""The Allan deviation: how much averages over a time differ from those before, and what that says of noise.

IEEE Std 952-1997, annex C: white noise of density N falls as N / sqrt(tau); the floor divided by 0.664 is the
bias instability.
"""

from __future__ import annotations

import numpy as np

from sim.plant import Array

FLOOR = 0.664
"""sqrt(2 ln 2 / pi)."""


def allan_deviation(values: Array, rate_hz: float, points: int = 30) -> tuple[Array, Array]:
    """Averaging times [s] and the overlapping Allan deviation of ``values``, shape (n,) sampled at
    ``rate_hz``, in their unit; up to a fifth of the record, beyond which there is little to average."""
    n = len(values)
    sizes = np.unique(np.geomspace(1, max(n // 5, 1), points).astype(int))
    summed = np.concatenate(([0.0], np.cumsum(values)))
    found = []
    for m in sizes.tolist():
        means = (summed[m:] - summed[:-m]) / m
        found.append(np.sqrt(0.5 * np.mean(np.square(means[m:] - means[:-m]))))
    return sizes / rate_hz, np.array(found)


def bias_instability(deviations: Array) -> float:
    """In the values' unit: from the smallest deviation of all times."""
    return float(deviations.min() / FLOOR)
