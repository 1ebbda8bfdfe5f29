"""``sandlot learner``: the learner's side alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional

from launch.options.defaults import KEYS
from launch.options.learning import LearningOptions


@dataclass(frozen=True)
class LearnerOptions(LearningOptions):
    """The learner alone, for one or several robots.

    Example: sandlot learner racer --course oval --bind 192.168.1.20:5588 --key learner
    """

    robot: Annotated[str, Positional] = "racer"
    """The robot's name or TOML file: the contract that robots must match."""
    course: str = "oval"
    """The course's name or TOML file."""
    bind: str = "127.0.0.1:5588"
    """HOST:PORT to take transitions on; policies go out on the next port up."""
    key: str | None = None
    """Name of this machine's key pair (sandlot keys make); required off loopback."""
    keys: Path = KEYS
    """Where this machine's keys are kept."""
    seed: int = 0
    """Seed of the learner's random numbers."""
    minutes: float | None = None
    """Stop after this long [min] (None: until Ctrl-C)."""
