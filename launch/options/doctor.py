"""``sandlot doctor``: what is wrong with a machine, or with a run's critics."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional

from launch.options.defaults import DEPLOYED, KEYS, LATEST, RUNS


@dataclass(frozen=True)
class DoctorOptions:
    """Look at everything a session needs, and move nothing.

    Example: sandlot doctor racer
    """

    robot: Annotated[str, Positional] = "racer"
    """A robot's name or its TOML file."""
    course: str = "oval"
    """The course, for its contract."""
    runs: Path = RUNS
    """Where runs would be written."""
    twin: bool = False
    """Leave the robot's own ports out: this machine only runs the twin."""
    deployed: Path = DEPLOYED
    """Where deployed bundles are (sandlot deploy)."""
    keys: Path = KEYS
    """Where this machine's keys are kept: whose bundles it trusts."""
    json: bool = False
    """Print the findings as one JSON object on the last line."""


@dataclass(frozen=True)
class DoctorCriticOptions:
    """How a run's critics are: error on unseen episodes, values against their bound, tangent kernel.

    Example: sandlot doctor critic runs/Hopper-v5/latest

    Exit code 0 if they are well, 1 if there is reason to worry.
    """

    run: Annotated[Path, Positional] = LATEST
    """A run of 'sandlot learn', or a robot's."""
    json: bool = False
    """Print what was found as one JSON object."""
