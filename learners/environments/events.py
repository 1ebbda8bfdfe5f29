"""TensorBoard's event files, where tensorboard is installed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any


class Events:
    """Scalars over environment steps. ``first_step``: earlier events from there on are superseded."""

    def __init__(self, directory: Path, first_step: int) -> None:
        self.missing: str | None = None
        """A line for a person if nothing is written."""
        self._writer: Any = None
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ModuleNotFoundError:
            self.missing = "no TensorBoard events are written; install it with: pip install '.[gym]'"
            return
        self._writer = SummaryWriter(str(directory), purge_step=first_step)

    def add(self, step: int, values: Mapping[str, float]) -> None:
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
