"""``sandlot bench practice``: how well a robot learns."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional


@dataclass(frozen=True)
class BenchPracticeOptions:
    """How well a robot learns: whole sessions on the twin in lockstep, one CSV row each; resumable.

    Example: sandlot bench practice --seeds 0 1 2 3 4 --minutes 20
    """

    robot: Annotated[str, Positional] = "racer"
    """A robot's name or its TOML file."""
    course: str = "oval"
    """A course's name or its TOML file."""
    driver: Literal["learner", "frozen", "untrained", "pure_pursuit"] = "learner"
    """Who drives: the learner, one of its controls, or the classical driver."""
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    """Seeds, a session each."""
    minutes: float = 20.0
    """Practice time of each session [min]."""
    surrogate: str | None = None
    """Drive another robot than the twin: a name (sim/surrogates) or a TOML file."""
    held_out: float | None = None
    """Share of the episodes kept from training, to judge the critics by (None: the learner's default)."""
    csv: Path = Path("benchmarks/practice.csv")
    """Rows are appended here; one that is there is not run again."""
    runs: Path = Path("runs/bench")
    """Where the sessions' folders are made."""
    keep: bool = False
    """Keep the sessions' folders (about 40 MB for 20 min)."""
    json: bool = False
    """Print the rows of this call as one JSON object a line."""
