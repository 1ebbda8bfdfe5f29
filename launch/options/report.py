"""``sandlot report``: what a run was."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional

from launch.options.defaults import LATEST


@dataclass(frozen=True)
class ReportOptions:
    """Make report.html, laps.csv and summary.json from a run's log.

    Example: sandlot report runs/racer/latest
    """

    run: Annotated[Path, Positional] = LATEST
    """The run's folder."""
    json: bool = False
    """Print the summary as one JSON object on the last line."""
