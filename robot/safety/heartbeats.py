"""How long the other processes have been silent, judged by their mailboxes' counters and this clock alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Heartbeats:
    """Silence of each process since its counter last moved [s]; 0 for one that has never spoken: who must be
    there at the start is the supervisor's business, who falls silent later is the monitors'."""

    def __init__(self, processes: int) -> None:
        self._seen = [0] * processes
        self._moved_ns = [0] * processes
        self.silence: Array = np.zeros(processes)
        """[s], shape (n_processes,)."""

    def update(self, now_ns: int, sequences: Sequence[int]) -> None:
        """``sequences``: the mailboxes' counters now, 0 while nothing has been written."""
        for i, sequence in enumerate(sequences):
            if sequence != self._seen[i]:
                self._seen[i] = sequence
                self._moved_ns[i] = now_ns
            self.silence[i] = (now_ns - self._moved_ns[i]) * 1e-9 if sequence else 0.0
