"""A cart that is paid for its speed and must not upset its load: a pole that hangs below it, or stands on it.

What hangs comes to rest by itself where the cart is left alone, and small forces do not upset it: as a legged
robot in its stance. What stands falls over unless the cart keeps it from falling."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from learners.environments.environment import Box
from learners.environments.swing_up import FORCE, REPEAT, TIMESTEP_S, State, moved

UPSET: Final = 0.5
"""An episode terminates where the pole is so far from where it began [rad]."""
DRAG: Final = 4.0
"""[N s/m]: a force of 10 N, the largest, leads to 2.5 m/s."""
FASTEST: Final = 2.0
"""More than this is not paid [m/s]: 8 N of the 10."""
STEPS: Final = 200
"""An episode's, of 80 ms; it is truncated then."""


class Carrier:
    """Observation: sine and cosine of the pole's angle, its rate and the cart's velocity, [rad/s] and [m/s].
    Action: the force in [-1, 1]. Reward: the velocity's share of ``FASTEST``, -1 to 1."""

    def __init__(self, *, standing: bool = False) -> None:
        self.rest = 0.0 if standing else math.pi
        """Where the pole is at first [rad]."""
        infinite = np.full(4, np.inf, np.float32)
        self.observation_space = Box(-infinite, infinite, np.dtype(np.float32))
        self.action_space = Box(-np.ones(1, np.float32), np.ones(1, np.float32), np.dtype(np.float32))
        self.metadata: dict[str, Any] = {"render_fps": 1.0 / (REPEAT * TIMESTEP_S)}
        self.state, self._count = State(0.0, self.rest, 0.0, 0.0), 0
        self._rng = np.random.default_rng()

    def reset(self, *, seed: int | None = None) -> tuple[NDArray[np.float32], dict[str, Any]]:
        if seed is not None:
            self._rng = np.random.default_rng(seed)
        angle, velocity, rate = self._rng.uniform(-0.02, 0.02, 3)
        self.state, self._count = State(0.0, self.rest + angle, velocity, rate), 0
        return self._observation(), {}

    def step(self, action: Any) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        force = FORCE * float(np.clip(action[0], -1.0, 1.0))
        for _ in range(REPEAT):
            # The road has no end: only where the cart stands is forgotten.
            self.state = moved(self.state._replace(position=0.0), force - DRAG * self.state.velocity)
        self._count += 1
        upset = abs(self.state.angle - self.rest) > UPSET
        reward = float(np.clip(self.state.velocity / FASTEST, -1.0, 1.0))
        return self._observation(), reward, upset, self._count >= STEPS, {}

    def close(self) -> None:
        return

    def _observation(self) -> NDArray[np.float32]:
        _, angle, velocity, rate = self.state
        return np.array([math.sin(angle), math.cos(angle), rate, velocity], np.float32)
