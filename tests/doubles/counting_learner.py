"""A learner that keeps rows instead of learning from them, and says what it was asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robot.contract import TaskContract


class CountedPacing:
    received = 0

    @property
    def ratio(self) -> float:
        return 1.0


class CountingLearner:
    """One update per row. Checkpoints are JSON files named ``*.checkpoint``."""

    def __init__(self, contract: TaskContract, calibration_hash: str = "", warmup: int = 0) -> None:
        self.contract, self.calibration_hash, self.warmup = contract, calibration_hash, warmup
        self.pacing = CountedPacing()
        self.pretrained = 0
        self.metrics: dict[str, float] = {}
        self.alarm = ""
        self.done = 0
        self.batches: list[tuple[str, NDArray[np.void]]] = []
        self.calls: list[str] = []

    @property
    def updates(self) -> int:
        return self.done + self.pretrained

    @property
    def ready(self) -> bool:
        return self.pacing.received > self.warmup

    def add(self, session: str, rows: NDArray[np.void]) -> None:
        self.batches.append((session, rows.copy()))
        self.pacing.received += len(rows)

    def rows(self, session: str) -> NDArray[np.void]:
        mine = [rows for name, rows in self.batches if name == session]
        return np.concatenate(mine) if mine else np.empty(0, self.contract.step_dtype())

    def due(self) -> int:
        return max(0, self.pacing.received - self.done) if self.ready else 0

    def step(self) -> dict[str, float]:
        self.done += 1
        self.calls.append("step")
        return {}

    def pretrain(self, steps: int) -> dict[str, float]:
        self.pretrained += steps
        self.calls.append("pretrain")
        return {}

    def export(self, version: int) -> bytes:
        self.calls.append("export")
        return b"onnx %d %d" % (version, self.updates)

    def save(self, directory: Path, notes: dict[str, Any] | None = None) -> Path:
        plain = {"done": self.done, "pretrained": self.pretrained, "notes": notes}
        path = directory / "1.checkpoint"
        path.write_text(json.dumps(plain))
        return path

    def begin_with(self, path: Path) -> None:
        self.calls.append(f"begin with {path}")

    def load(self, path: Path) -> dict[str, Any]:
        plain = json.loads((path / "1.checkpoint").read_text())
        self.done, self.pretrained = plain["done"], plain["pretrained"]
        notes: dict[str, Any] = plain["notes"]
        return notes
