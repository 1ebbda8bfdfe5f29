"""``sandlot course``: courses from recordings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional


@dataclass(frozen=True)
class FromDemoOptions:
    """Make a course from one recorded demonstration lap: the best of those that a person or a script drove.

    Example: sandlot course from-demo runs/racer/2026-01-31T10-00-00 --name car-park
    """

    run: Annotated[Path, Positional]
    """The run whose log holds the lap."""
    name: str = "course"
    """The course's name; written to NAME.toml."""
    spacing: float = 1.5
    """Distance between checkpoints on a straight [m]; closer where the line curves."""
    smoothing: float = 0.15
    """Standard deviation of the smoothing along the lap [m]; it takes smoothing^2 / 2R off a bend of radius
    R."""
    lap: int | None = None
    """Which of the run's laps, from 1 (None: a clean one, with the fewest stops, that closes best)."""
    pushed: bool = False
    """The robot was pushed by hand: take all of the recording, whoever moved it."""
    output: Path | None = None
    """Where to write it (default: NAME.toml here)."""
    png: Path | None = None
    """Where to draw it (default: beside it, NAME.png)."""
