"""Runs of Stable-Baselines3's SAC and SBX's DroQ, judged as ours are."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from launch.experiments.returns import EVALUATIONS, WARMUP, Judged
from learners.environments.catalogue import find
from learners.environments.contract import environment_contract
from learners.environments.environment import Environment
from learners.environments.episodes import Episodes
from learners.environments.evaluation import evaluate

LONGEST = 10_000


def learn(
    environment: str, package: str, algorithm: str, steps: int, every: int, seed: int
) -> Iterator[Judged]:
    """Their agent in our environment, with its own defaults but for the random steps that come first, and for
    DroQ what makes it one."""
    import torch

    torch.set_num_threads(1)
    make = find(environment)
    model = _agent(package, algorithm, Adapter(make()), seed)
    judged = make()
    episodes = Episodes(judged, environment_contract(judged, environment), LONGEST)
    actions = len(judged.action_space.low)

    def act(observation: NDArray[np.float32], images: tuple[NDArray[np.uint8], ...]) -> NDArray[np.float32]:
        chosen, _ = model.predict(observation[:-actions], deterministic=True)
        low, high = judged.action_space.low, judged.action_space.high
        raw: NDArray[np.float32] = 2.0 * (chosen - low) / (high - low) - 1.0
        return raw

    began = time.monotonic()
    for step in range(every, steps + 1, every):
        model.learn(every, log_interval=1_000_000, reset_num_timesteps=step == every)
        sequence = np.random.SeedSequence(seed, spawn_key=(step,))
        found = evaluate(episodes, act, [int(s) for s in sequence.generate_state(EVALUATIONS)])
        wall_s = round(time.monotonic() - began, 1)
        yield Judged(step, float(found.returns.mean()), float(found.returns.std()), wall_s)


def _agent(package: str, algorithm: str, environment: gymnasium.Env[Any, Any], seed: int) -> Any:
    settings: dict[str, Any] = {"learning_starts": WARMUP, "seed": seed, "device": "cpu"}
    if package == "sbx":
        from sbx import SAC
    else:
        from stable_baselines3 import SAC
    if algorithm == "droq":
        settings |= {"gradient_steps": 20, "policy_delay": 20}
        settings |= {"policy_kwargs": {"dropout_rate": 0.01, "layer_norm": True}}
    return SAC("MlpPolicy", environment, **settings)


class Adapter(gymnasium.Env[Any, Any]):  # type: ignore[misc]
    """Any environment as a ``gymnasium.Env``."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self.observation_space, self.action_space = (
            gymnasium.spaces.Box(
                np.asarray(space.low, np.float32), np.asarray(space.high, np.float32), dtype=np.float32
            )
            for space in (environment.observation_space, environment.action_space)
        )

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        observation, info = self._environment.reset(seed=seed)
        return np.asarray(observation, np.float32), info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = self._environment.step(action)
        return np.asarray(observation, np.float32), float(reward), bool(terminated), bool(truncated), info
