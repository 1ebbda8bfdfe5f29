"""The terminal view's numbers over time, a JSON line each: for the report and for onlookers elsewhere."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path

import msgspec

from launch.snapshot import Snapshot

FILE = "status.jsonl"
EVERY_S = 2.0


class StatusLog:
    """Appends a snapshot at most every ``every_s`` of practice time [s]."""

    def __init__(self, path: Path, every_s: float = EVERY_S) -> None:
        self._path = path
        self._every_s = every_s
        self._next_s = 0.0

    def write(self, elapsed_s: float, now: Snapshot, last: bool = False) -> None:
        if elapsed_s < self._next_s and not last:
            return
        self._next_s = (elapsed_s // self._every_s + 1) * self._every_s
        plain = {"elapsed_s": round(elapsed_s, 3)} | asdict(now)
        known = {k: v for k, v in plain.items() if not (isinstance(v, float) and math.isnan(v))}
        with self._path.open("ab") as file:
            file.write(msgspec.json.encode(known) + b"\n")


def read_status(directory: Path) -> list[dict[str, float]]:
    """Every whole line of a run's status log; none if there is no such file."""
    path = directory / FILE
    rows = []
    for line in path.read_bytes().splitlines() if path.exists() else ():
        try:
            rows.append(msgspec.json.decode(line))
        except msgspec.DecodeError:
            continue  # the last line of a run that was killed
    return rows
