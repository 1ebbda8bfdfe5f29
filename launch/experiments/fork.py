"""A task whose data has two answers to every question: pass an obstacle on its left or on its right."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from learners.environments.contract import environment_contract
from learners.environments.environment import Box
from learners.environments.episodes import Episodes
from learners.journal import Journal
from robot.messages import Actor

NAME: Final = "fork"
OBSTACLES: Final = 10
"""An episode's, hence its highest return."""
CLEARANCE: Final = 0.5
"""How far to the left or right of an obstacle is the best way past it."""
TOLERANCE: Final = 0.1
"""How far from there the reward has fallen to exp(-1/2)."""
SIDE_MOST: Final = 0.3
"""Obstacles stand within plus or minus this."""
SPREAD: Final = 0.07
"""Standard deviation of a demonstrator who means the best way."""


class Fork:
    """Observation: where the next obstacle stands. Action: where to pass, [-1, 1]. The reward is
    exp(-x^2 / 2), x being the distance to the nearer of the two best ways in units of the tolerance."""

    def __init__(self) -> None:
        self.observation_space = _box(-SIDE_MOST, SIDE_MOST)
        self.action_space = _box(-1.0, 1.0)
        self.metadata: dict[str, Any] = {"render_fps": 1}
        self._rng = np.random.default_rng(0)
        self._obstacle, self._passed = 0.0, 0

    def reset(self, *, seed: int | None = None) -> tuple[Any, dict[str, Any]]:
        self._rng, self._passed = np.random.default_rng(seed), 0
        return self._next(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        reward = float(reward_of(self._obstacle, float(action[0])))
        self._passed += 1
        return self._next(), reward, self._passed == OBSTACLES, False, {}

    def close(self) -> None:
        return

    def _next(self) -> NDArray[np.float32]:
        self._obstacle = float(self._rng.uniform(-SIDE_MOST, SIDE_MOST))
        return np.array([self._obstacle], np.float32)


def reward_of(obstacle: Any, action: Any) -> Any:
    """In (0, 1], elementwise."""
    return np.exp(-0.5 * ((np.abs(action - obstacle) - CLEARANCE) / TOLERANCE) ** 2)


def demonstrations(episodes: int, seed: int) -> Iterator[NDArray[np.void]]:
    """Episodes' rows: half of the actions aim left or right of the obstacle, the toss of a coin each; the
    other half are uniformly random."""
    fork = Fork()
    source = Episodes(fork, environment_contract(fork, NAME), OBSTACLES)
    rng = np.random.default_rng(seed)
    for number in range(episodes):
        source.begin(number, int(rng.integers(2**32)), number * (OBSTACLES + 1))
        made = []
        while not source.over:
            side = CLEARANCE if rng.random() < 0.5 else -CLEARANCE
            aimed = source.observation[0] + side + SPREAD * rng.normal()
            action = aimed if rng.random() < 0.5 else rng.uniform(-1.0, 1.0)
            made.append(source.step(np.clip([action], -1.0, 1.0), Actor.SCRIPT))
        yield np.concatenate(made)


def write_demonstrations(folder: Path, episodes: int, seed: int) -> None:
    """A folder of prior data: one journal."""
    dtype = environment_contract(Fork(), NAME).step_dtype()
    journal = Journal(folder / "fork.journal", dtype)
    for rows in demonstrations(episodes, seed):
        journal.append("demonstrations", int(rows["sequence"][0]), rows)
    journal.close()


def _box(low: float, high: float) -> Box:
    return Box(np.array([low], np.float32), np.array([high], np.float32), np.dtype(np.float32))
