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
    """One task: its observations in their order as one vector, or, with ``pixels``, the picture of that side
    from its first camera, which needs a renderer (MUJOCO_GL). Where its time is up it is truncated, and
    terminated only where the task says that nothing comes after."""

    def __init__(self, name: str, pixels: int = 0) -> None:
        self._pixels = pixels
        domain, _, task = name.removeprefix(PREFIX).partition("-")
        self._task = suite.load(domain, task)
        actions = self._task.action_spec()
        low, high = (np.broadcast_to(bound, actions.shape) for bound in (actions.minimum, actions.maximum))
        self.action_space = Box(low, high, actions.dtype)
        size = len(_vector({k: np.zeros(s.shape) for k, s in self._task.observation_spec().items()}))
        self.observation_space = Box(np.full(size, -np.inf), np.full(size, np.inf), np.dtype(np.float64))
        if pixels:
            black = np.zeros((pixels, pixels, 3), np.uint8)
            self.observation_space = Box(black, black + np.uint8(255), black.dtype)
        self.metadata: dict[str, Any] = {"render_fps": 1.0 / self._task.control_timestep()}

    def reset(self, *, seed: int | None = None) -> tuple[NDArray[Any], dict[str, Any]]:
        if seed is not None:
            self._task.task.random.seed(seed)
        return self._shown(self._task.reset().observation), {}

    def step(self, action: Any) -> tuple[NDArray[Any], float, bool, bool, dict[str, Any]]:
        found = self._task.step(action)
        terminated = found.last() and found.discount == 0.0
        return (
            self._shown(found.observation),
            float(found.reward),
            terminated,
            found.last() and not terminated,
            {},
        )

    def _shown(self, observation: Any) -> NDArray[Any]:
        if not self._pixels:
            return _vector(observation)
        picture: NDArray[np.uint8] = self._task.physics.render(self._pixels, self._pixels, camera_id=0)
        return picture

    def close(self) -> None:
        self._task.close()


def _vector(observation: Any) -> NDArray[np.float64]:
    return np.concatenate([np.asarray(part, np.float64).ravel() for part in observation.values()])
