"""A learner that learns nothing: it notes which rows came, and how late."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from robot.contract import TaskContract
from robot.errors import SandlotError

KEY: Final = bytes(32)
"""No policy is ever published, so nothing is signed with it."""


class SinkPacing:
    received = 0
    ratio = 0.0


class RowSink:
    """What ``learners.server`` needs of a learner, and no more."""

    calibration_hash = ""
    pretrained = 0
    updates = 0
    ready = False
    alarm = ""

    def __init__(self, contract: TaskContract) -> None:
        self.contract = contract
        self.pacing = SinkPacing()
        self.metrics: dict[str, float] = {}
        self._sequences: list[NDArray[np.uint64]] = []
        self._late_ns: list[NDArray[np.int64]] = []

    def add(self, session: str, rows: NDArray[np.void]) -> None:
        self._late_ns.append(time.monotonic_ns() - rows["time_ns"])
        self._sequences.append(rows["sequence"].copy())
        self.pacing.received += len(rows)

    def summary(self, burst: int) -> dict[str, float]:
        """Counts, and latencies [ms] of the rows from sequence ``burst`` on, which were paced."""
        sequences = np.concatenate(self._sequences)
        late = np.concatenate(self._late_ns)[sequences >= burst] * 1e-6
        return {
            "rows": len(sequences),
            "unique": len(np.unique(sequences)),
            "paced": len(late),
            "p50": float(np.median(late)),
            "p99": float(np.percentile(late, 99)),
        }

    def due(self) -> int:
        return 0

    def step(self) -> dict[str, float]:
        raise SandlotError("the benchmark's learner does not learn")

    def pretrain(self, steps: int) -> dict[str, float]:
        raise SandlotError("the benchmark's learner does not learn")

    def export(self, version: int) -> bytes:
        return b""

    def save(self, directory: Path, notes: dict[str, Any] | None = None) -> Path:
        return directory

    def load(self, path: Path) -> dict[str, Any]:
        return {}

    def begin_with(self, path: Path) -> None:
        raise SandlotError("the benchmark's learner does not learn")
