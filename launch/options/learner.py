"""``sandlot learner``: the learner's side alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional

from launch.options.defaults import KEYS, RUNS


@dataclass(frozen=True)
class LearnerOptions:
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
    update_ratio: int | None = None
    """Critic updates per environment step (None: the default; 0 switches learning off)."""
    held_out: float | None = None
    """Share of the episodes kept from training, to judge the critics by (None: the learner's default)."""
    device: Literal["cpu", "cuda"] = "cpu"
    """What the learner computes on: the processor, or a GPU."""
    smoke_gate: bool = True
    """Try every new policy in the robot's twin before it is published, and hold it back while it is unsafe or
    clearly worse than the one that drives (docs/VALIDATION.md)."""
    cost: tuple[str, ...] = ()
    """Costs of the task to keep to a limit while learning, such as impact<=0.5/step: NAME<=LIMIT/step or
    NAME<=LIMIT/episode."""
    grow: tuple[str, ...] = ()
    """Begin with a share of the action range, which grows while the robot does not fail: SHARE ACTION=VALUE
    …, with the neutral actions that are not the middle of their range, such as 0.35 speed=0.4."""
    initial: Path | None = None
    """What a new learner begins with: a folder offline/iql of an earlier run, whose actor and critics it
    takes over, or offline/bc, whose actor."""
    resume: Path | None = None
    """An earlier run to go on from, exactly where its last checkpoint was."""
    minutes: float | None = None
    """Stop after this long [min] (None: until Ctrl-C)."""
    runs: Path = RUNS
    """Where the run's folder is made."""
    json: bool = False
    """Print the summary as one JSON object on the last line."""
