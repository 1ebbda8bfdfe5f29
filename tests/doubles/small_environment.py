"""Environments with Gymnasium's API in a few lines: a point to be pushed to the origin, by its state and by
pictures, and one by script."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from learners.environments.environment import Box

FLOAT32 = np.dtype(np.float32)


def box(low: Sequence[float], high: Sequence[float]) -> Box:
    return Box(np.array(low, np.float32), np.array(high, np.float32), FLOAT32)


class PointEnvironment:
    """Position and velocity of a point; two forces of different range. Episodes terminate where it strays,
    and are truncated after 20 steps. Random in everything, and a function of the seed of its reset."""

    def __init__(self) -> None:
        self.observation_space = box([-np.inf] * 2, [np.inf] * 2)
        self.action_space = box([-1.0, -4.0], [3.0, -2.0])
        self.metadata: dict[str, Any] = {"render_fps": 10}
        self.closed = False

    def reset(self, *, seed: int | None = None) -> tuple[Any, dict[str, Any]]:
        assert seed is not None
        self.rng = np.random.default_rng(seed)
        self.state, self.count = self.rng.normal(size=2), 0
        return self.state.astype(np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert action.shape == (2,) and action.dtype == FLOAT32
        force = float(action[0]) - 1.0 + 0.1 * (float(action[1]) + 3.0)
        position, velocity = self.state
        velocity += 0.1 * force + 0.02 * self.rng.normal()
        self.state, self.count = np.array([position + 0.1 * velocity, velocity]), self.count + 1
        out = bool(abs(self.state[0]) > 2.5)
        return self.state.astype(np.float32), -abs(position), out, self.count == 20, {}

    def close(self) -> None:
        self.closed = True


class ScriptedEnvironment:
    """Each step ends as the script says: (terminated, truncated). The observation is the number of steps, the
    reward ten times that."""

    def __init__(self, script: Sequence[tuple[bool, bool]]) -> None:
        self.script = script
        self.observation_space = box([-np.inf], [np.inf])
        self.action_space = box([0.0], [10.0])
        self.metadata: dict[str, Any] = {}
        self.actions: list[float] = []
        self.seeds: list[int | None] = []

    def reset(self, *, seed: int | None = None) -> tuple[Any, dict[str, Any]]:
        self.seeds.append(seed)
        self.count = 0
        return np.zeros(1), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.actions.append(float(action[0]))
        terminated, truncated = self.script[self.count]
        self.count += 1
        return np.array([self.count]), 10.0 * self.count, terminated, truncated, {}

    def close(self) -> None:
        return


class DotEnvironment:
    """A dot on a dark square, seen from above, that two actions push: bring it to the middle. Episodes are
    truncated after 20 steps; nothing but the picture says where the dot is."""

    SIDE = 16

    def __init__(self) -> None:
        black = np.zeros((self.SIDE, self.SIDE, 1), np.uint8)
        self.observation_space = Box(black, black + np.uint8(255), black.dtype)
        self.action_space = box([-1.0, -1.0], [1.0, 1.0])
        self.metadata: dict[str, Any] = {"render_fps": 10}

    def reset(self, *, seed: int | None = None) -> tuple[Any, dict[str, Any]]:
        self.position = np.random.default_rng(seed).uniform(-0.9, 0.9, 2)
        self.count = 0
        return self.picture(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.position = np.clip(self.position + 0.25 * np.asarray(action), -0.9, 0.9)
        self.count += 1
        return self.picture(), -float(np.abs(self.position).mean()), False, self.count == 20, {}

    def picture(self) -> Any:
        """A soft dot: less than a pixel of motion can be seen."""
        middle = (self.position + 1.0) / 2.0 * (self.SIDE - 1)
        y, x = np.mgrid[: self.SIDE, : self.SIDE]
        distance = (y - middle[0]) ** 2 + (x - middle[1]) ** 2
        return (255.0 * np.exp(-distance / 3.0)).astype(np.uint8)[..., None]

    def close(self) -> None:
        return
