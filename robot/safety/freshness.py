"""Is a sensor alive? Judged by age, by samples arriving, by finite values and by values that change."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from robot.spec import RobotSpec

Array = NDArray[np.float64]
Times = NDArray[np.int64]
Counts = NDArray[np.uint64]

FROZEN_NS = 1_000_000_000
"""How long every value of a required sensor may stay bit for bit the same while the robot moves [ns].
A live 100 Hz sensor in motion repeats itself exactly perhaps twice in a row; a hundred times is a dead one
behind a live counter."""


class Freshness:
    """Which sensors may be relied on, for one robot or a batch (``batch``: the leading shape).

    A sensor is stale if its newest sample's time is more than ``stale_s`` away from now, on either side (a
    time in the future is as wrong as an old one), or if no new sample has arrived for ``stale_s``, whatever
    its time says. It is frozen if samples keep arriving but their values have not changed for ``FROZEN_NS``.
    """

    def __init__(self, spec: RobotSpec, batch: tuple[int, ...] = ()) -> None:
        sensors = spec.sensors
        self.required = np.array([s.required for s in sensors], bool)
        self._stale_ns = np.array([round(s.stale_s * 1e9) for s in sensors], np.int64)
        starts = np.cumsum([0] + [s.layout.size for s in sensors])
        self._starts = starts[:-1].astype(np.intp)
        self._seen: Counts = np.zeros((*batch, len(sensors)), np.uint64)
        self._arrived_ns: Times = np.zeros((*batch, len(sensors)), np.int64)
        self._changed_ns: Times = np.zeros((*batch, len(sensors)), np.int64)
        self._values: Array = np.zeros((*batch, int(starts[-1])))
        self.stale = np.ones((*batch, len(sensors)), bool)
        self.frozen = np.zeros((*batch, len(sensors)), bool)
        self.finite = np.ones((*batch, len(sensors)), bool)

    def update(self, now_ns: int, times_ns: Times, sequences: Counts, values: Array) -> None:
        """Judge every sensor; results in ``stale``, ``frozen`` and ``finite``, shape (..., n_sensors).

        ``times_ns``: when the newest samples were taken; ``sequences``: counters of samples (0: none yet),
        both shape (..., n_sensors). ``values``: all sensors' values end to end, shape (..., n_values).
        """
        moved = sequences != self._seen
        np.copyto(self._arrived_ns, now_ns, where=moved)
        np.copyto(self._seen, sequences)
        age = np.maximum(np.abs(now_ns - times_ns), now_ns - self._arrived_ns)
        np.greater(age, self._stale_ns, out=self.stale)
        self.stale |= sequences == 0
        same = np.logical_and.reduceat(values == self._values, self._starts, axis=-1)
        np.copyto(self._changed_ns, now_ns, where=~same)
        np.copyto(self._values, values)
        np.greater(now_ns - self._changed_ns, FROZEN_NS, out=self.frozen)
        np.logical_and.reduceat(np.isfinite(values), self._starts, axis=-1, out=self.finite)
