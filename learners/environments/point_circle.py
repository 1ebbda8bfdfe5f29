"""Point-Circle: run round a circle as fast as possible, but stay between two walls that cut it off.

The task of Achiam et al. 2017, "Constrained policy optimization", arXiv 1705.10528, appendix 10.1, with a
point mass of our own in place of its simulator's, and in metres instead of its 15 and 2.5: reward
(x vy - y vx) / (1 + |radius - RADIUS|), cost 1 for each step with |x| > WALL. What pays most, the whole
circle, is forbidden for two thirds of it.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from learners.environments.environment import Box

RADIUS: Final = 1.0
"""Of the circle [m]."""
WALL: Final = 0.5
"""Beyond this |x| [m] a step costs 1."""
PERIOD_S: Final = 0.1
ACCELERATION: Final = 2.0
"""Of an action of 1 [m/s^2]: the circle at 1 m/s takes half of it."""
DRAG: Final = 1.0
"""[1/s]"""
STEPS: Final = 200
"""An episode's length; it is truncated then, nothing terminates it."""


class PointCircle:
    """Observation: position and velocity, [m] and [m/s]; action: acceleration along both axes, in [-1, 1]."""

    def __init__(self) -> None:
        infinite = np.full(4, np.inf, np.float32)
        self.observation_space = Box(-infinite, infinite, np.dtype(np.float32))
        self.action_space = Box(-np.ones(2, np.float32), np.ones(2, np.float32), np.dtype(np.float32))
        self.metadata: dict[str, Any] = {"render_fps": 1.0 / PERIOD_S}
        self._position, self._velocity, self._count = np.zeros(2), np.zeros(2), 0
        self._rng = np.random.default_rng()

    def reset(self, *, seed: int | None = None) -> tuple[NDArray[np.float32], dict[str, Any]]:
        if seed is not None:
            self._rng = np.random.default_rng(seed)
        self._position = self._rng.uniform(-0.2, 0.2, 2)
        self._velocity, self._count = np.zeros(2), 0
        return self._observation(), {}

    def step(self, action: Any) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        wanted = ACCELERATION * np.clip(np.asarray(action, np.float64), -1.0, 1.0)
        self._velocity = self._velocity + PERIOD_S * (wanted - DRAG * self._velocity)
        self._position = self._position + PERIOD_S * self._velocity
        self._count += 1
        (x, y), (vx, vy) = self._position, self._velocity
        off = abs(float(np.hypot(x, y)) - RADIUS)
        reward = float(x * vy - y * vx) / (1.0 + off)
        cost = float(abs(x) > WALL)
        return self._observation(), reward, False, self._count >= STEPS, {"cost": cost}

    def close(self) -> None:
        return

    def _observation(self) -> NDArray[np.float32]:
        return np.concatenate([self._position, self._velocity]).astype(np.float32)
