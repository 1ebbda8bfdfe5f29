"""Point-Circle in short episodes, seen with a lot of noise beside it: a task on which critics overfit."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from learners.environments.environment import Box
from learners.environments.point_circle import PointCircle

NAME: Final = "distracted Point-Circle"
DISTRACTORS: Final = 20
"""Elements of the observation that say nothing: standard normal, new at every step."""
STEPS: Final = 50
"""An episode's length; it is truncated then."""


class Distracted:
    """Observation: that of ``PointCircle`` and ``DISTRACTORS`` elements of noise; action and reward: its."""

    def __init__(self) -> None:
        self._inside, self._rng, self._count = PointCircle(), np.random.default_rng(), 0
        infinite = np.full(len(self._inside.observation_space.low) + DISTRACTORS, np.inf, np.float32)
        self.observation_space = Box(-infinite, infinite, np.dtype(np.float32))
        self.action_space, self.metadata = self._inside.action_space, self._inside.metadata

    def reset(self, *, seed: int | None = None) -> tuple[NDArray[np.float32], dict[str, Any]]:
        if seed is not None:
            self._rng = np.random.default_rng([seed, 1])
        self._count = 0
        seen, info = self._inside.reset(seed=seed)
        return self._beside_noise(seen), info

    def step(self, action: Any) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        seen, reward, _, _, info = self._inside.step(action)
        self._count += 1
        return self._beside_noise(seen), reward, False, self._count >= STEPS, info

    def close(self) -> None:
        return

    def _beside_noise(self, seen: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.concatenate([seen, self._rng.normal(size=DISTRACTORS)]).astype(np.float32)
