"""dm_control's tasks with Gymnasium's API."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learners.environments.environment import Box

with warnings.catch_warnings():  # that there is no display, which is not needed here
    warnings.simplefilter("ignore")
    from dm_control import suite

PREFIX = "dm_control/"


def names() -> tuple[str, ...]:
    """Every task, such as ``dm_control/cheetah-run``."""
    return tuple(f"{PREFIX}{domain}-{task}" for domain, task in suite.ALL_TASKS)


class DmControl:
    """One task: its observations in their order as one vector. Where its time is up it is truncated, and
    terminated only where the task says that nothing comes after."""

    def __init__(self, name: str) -> None:
        domain, _, task = name.removeprefix(PREFIX).partition("-")
        self._task = suite.load(domain, task)
        actions = self._task.action_spec()
        low, high = (np.broadcast_to(bound, actions.shape) for bound in (actions.minimum, actions.maximum))
        self.action_space = Box(low, high, actions.dtype)
        size = len(_vector({k: np.zeros(s.shape) for k, s in self._task.observation_spec().items()}))
        self.observation_space = Box(np.full(size, -np.inf), np.full(size, np.inf), np.dtype(np.float64))
        self.metadata: dict[str, Any] = {"render_fps": 1.0 / self._task.control_timestep()}

    def reset(self, *, seed: int | None = None) -> tuple[NDArray[np.float64], dict[str, Any]]:
        if seed is not None:
            self._task.task.random.seed(seed)
        return _vector(self._task.reset().observation), {}

    def step(self, action: Any) -> tuple[NDArray[np.float64], float, bool, bool, dict[str, Any]]:
        found = self._task.step(action)
        terminated = found.last() and found.discount == 0.0
        return (
            _vector(found.observation),
            float(found.reward),
            terminated,
            found.last() and not terminated,
            {},
        )

    def close(self) -> None:
        self._task.close()


def _vector(observation: Any) -> NDArray[np.float64]:
    return np.concatenate([np.asarray(part, np.float64).ravel() for part in observation.values()])
