"""A task is one file a user can add: observation terms, reward terms, success, and what ends an episode.

Everything is computed from messages (state records and executed actions), so that rewards and observations
can be recomputed offline from a log by the same code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from robot.contract import ObservationTerm

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Outcome:
    """What one policy step brought: reward and cost terms in the contract's order, [1] each.

    ``cycles``: how many times the task has been completed since ``reset`` (laps, steps of a gait, picks).
    ``progress``: the same, continuous and signed (1.5: half-way through the second cycle; below 0: the first
    has not begun). ``trouble``: why the task itself calls the step a failure, such as a missed gate; empty if
    not.
    """

    reward_terms: Array
    cost_terms: Array
    cycles: int
    progress: float = 0.0
    trouble: str = ""


@dataclass(frozen=True)
class Success:
    """What an episode must show to count as a success: so many cycles of the task within ``seconds`` [s],
    from wherever it starts, and no failure on the way."""

    cycles: float
    seconds: float


class Task(Protocol):
    """What is to be learned. State vectors are in the spec's state layout."""

    name: str
    observation: tuple[ObservationTerm, ...]
    reward_terms: tuple[str, ...]
    reward_weights: Array
    cost_terms: tuple[str, ...]
    success: Success

    def reset(self, state: Array) -> None:
        """Start an episode from here."""

    def observe(self, state: Array, previous_action: Array) -> NDArray[np.float32]:
        """The observation in physical units, shape (observation_size,); the caller owns the array."""

    def outcome(self, state: Array, action: Array, next_state: Array, failed: bool) -> Outcome:
        """What the step from ``state`` to ``next_state`` brought; ``failed``: it ended in a failure."""


class TaskFactory(Protocol):
    """How a task is found: ``module:Class`` in the course file, called with the robot and the course."""

    def __call__(self, spec: object, course: object) -> Task: ...


def reward(task: Task, outcome: Outcome) -> float:
    """The scalar reward: weighted sum of the named terms."""
    return float(task.reward_weights @ outcome.reward_terms)
