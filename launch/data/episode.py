"""Episodes of a log: which rows they are, when they were, and how they ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from robot.errors import SandlotError

Rows = NDArray[np.void]


@dataclass(frozen=True)
class Episode:
    """``number``: its number in the log; ``rows``: its step rows, the last one included if it was reached."""

    number: int
    rows: slice
    start_ns: int
    end_ns: int
    steps: int
    """Rows with an action."""
    complete: bool
    """Its final observation is there."""
    terminated: bool
    reward: float
    """The sum of its rewards, undiscounted."""
    actors: tuple[int, ...]
    """Everybody who acted in it."""

    @property
    def seconds(self) -> float:
        return (self.end_ns - self.start_ns) / 1e9


def episodes_of(steps: Rows) -> list[Episode]:
    """All episodes of a log's step rows (``robot.contract.step_dtype``), in order."""
    if not len(steps):
        return []
    breaks = np.flatnonzero(np.diff(steps["episode"].astype(np.int64)) != 0) + 1
    edges = [0, *breaks.tolist(), len(steps)]
    found = []
    for start, stop in pairwise(edges):
        rows = steps[start:stop]
        acted = rows[~rows["last"]]
        found.append(
            Episode(
                number=int(rows["episode"][0]),
                rows=slice(start, stop),
                start_ns=int(rows["time_ns"][0]),
                end_ns=int(rows["time_ns"][-1]),
                steps=len(acted),
                complete=bool(rows["last"][-1]),
                terminated=bool(rows["terminated"].any()),
                reward=float(acted["reward"].sum(dtype=np.float64)),
                actors=tuple(sorted(set(acted["actor"].tolist()))),
            )
        )
    return found


def chosen(text: str, known: Sequence[int]) -> set[int]:
    """Episode numbers from ``0-9,12`` or ``5-``. Raises SandlotError for what is no such list, and for
    numbers that are not there."""
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = (piece.strip() for piece in part.partition("-"))
        try:
            low = int(first)
            high = (max(known, default=0) if not last else int(last)) if dash else low
        except ValueError:
            raise SandlotError(f"--episodes {text!r}: expected numbers such as 0-9,12 or 5-") from None
        inside = {number for number in known if low <= number <= high}
        if not inside:
            span = f"{min(known)}-{max(known)}" if known else "none"
            raise SandlotError(f"--episodes {part.strip()!r}: no such episode; the log has {span}")
        found |= inside
    return found
