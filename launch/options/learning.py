"""What ``sandlot practice`` and ``sandlot learner`` have in common: a learner for a robot."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from launch.options.defaults import RUNS


@dataclass(frozen=True)
class LearningOptions:
    """How it learns, and where it puts what it makes."""

    update_ratio: int | None = None
    """Critic updates per environment step (None: the learner's default; 0 switches learning off)."""
    held_out: float | None = None
    """Share of the episodes kept from training, to judge the critics by (None: the learner's default)."""
    device: Literal["cpu", "cuda"] = "cpu"
    """What the learner computes on: the processor, or a GPU."""
    smoke_gate: bool = True
    """Try every new policy in the robot's twin before it is published, and hold it back while it is unsafe or
    clearly worse than the one that drives (docs/VALIDATION.md); --no-smoke-gate: publish each."""
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
    """An earlier run whose learner to go on from, exactly where its last checkpoint was."""
    runs: Path = RUNS
    """Where the run's folder is made."""
    json: bool = False
    """Print the summary as one JSON object on the last line."""
