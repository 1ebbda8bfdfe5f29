"""An environment's episodes as step rows, as a robot would have streamed them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from learners.environments.environment import Environment
from learners.environments.sight import Sight
from robot.contract import ActionMap, TaskContract
from robot.errors import SandlotError
from robot.messages import Actor

LARGEST: Final = float(np.finfo(np.float32).max)
"""Of a reward: rows keep it in single precision."""


class Episodes:
    """One environment, one episode after the other. ``contract``: of this environment."""

    def __init__(self, environment: Environment, contract: TaskContract, longest: int) -> None:
        self.environment = environment
        self.longest = longest
        """Episodes are truncated here [steps] if the environment has not ended them."""
        self.observation = np.zeros(contract.observation_size, np.float32)
        """What to act on now, in the contract's order."""
        self.images: tuple[NDArray[np.uint8], ...] = ()
        """And to look at: for each camera (stack, height, width, channels), oldest first."""
        self.pictures: NDArray[np.void] | None = None
        """What was seen at the rows that the last step returned, (n,); None if there are no cameras."""
        self.over, self.terminated = True, False
        self.step_number, self.total_reward = 0, 0.0
        self.total_costs = np.zeros(len(contract.cost_terms))
        """Undiscounted sums of the contract's costs so far."""
        self._contract = contract
        self._sight = Sight(environment.observation_space, contract.task, 1)
        self._dtype, self._map = contract.step_dtype(), ActionMap(contract.actions, contract.policy_hz)
        self._costs = contract.cost_terms
        self._period_ns = 1e9 / contract.policy_hz
        self._previous = contract.previous_action
        self._episode = self._sequence = 0

    def begin(self, episode: int, seed: int, sequence: int = 0) -> None:
        """Reset the environment with ``seed``. ``sequence``: of the episode's first row."""
        self._episode, self._sequence = episode, sequence
        self.step_number, self.total_reward = 0, 0.0
        self.over = self.terminated = False
        self.total_costs[:] = 0.0
        self.images = ()
        observation, _ = self.environment.reset(seed=seed)
        self._observe(observation, np.zeros(len(self._map.terms)))

    def step(self, raw: NDArray[Any], actor: Actor, version: int = 0) -> NDArray[np.void]:
        """Act, [-1, 1], shape (n_actions,). Returns this step's row and, at an end, the episode's last."""
        action = self._map.reach(np.asarray(raw, np.float64), self.observation[self._previous])
        space = self.environment.action_space
        units = np.clip(self._map.to_units(action), space.low, space.high).astype(space.dtype)
        rows, frames = self._row(actor, version), [self._frame]
        observation, reward, terminated, truncated, info = self.environment.step(units)
        self.step_number += 1
        # A limit on time is no part of the task: what would have come after it still counts.
        truncated = not terminated and (bool(truncated) or self.step_number >= self.longest)
        paid = self._reward(reward)
        rows["action"], rows["reward"], rows["reward_terms"] = action, paid, paid
        rows["cost_terms"] = self._cost(info)
        rows["terminated"], rows["truncated"] = terminated, truncated
        self.total_reward += paid
        self._observe(observation, action)
        self.over, self.terminated = bool(terminated or truncated), bool(terminated)
        if self.over:
            last = self._row(Actor.NOBODY, version)
            last["last"] = True
            rows = np.concatenate([rows, last])
            frames.append(self._frame)
        self.pictures = np.concatenate(frames) if self._contract.images else None
        return rows

    def _reward(self, reward: Any) -> float:
        try:
            paid = float(reward)
        except (TypeError, ValueError):
            paid = math.nan
        if not abs(paid) <= LARGEST:
            raise SandlotError(
                f"the environment returned the reward {reward} in step {self.step_number} of episode "
                f"{self._episode}; expected a finite number"
            )
        return paid

    def _cost(self, info: Mapping[str, Any]) -> NDArray[np.float64]:
        missing = [name for name in self._costs if name not in info]
        if missing:
            raise SandlotError(
                f"expected the costs {', '.join(self._costs)} in the environment's info; it has "
                f"{', '.join(map(str, info)) or 'nothing'} in step {self.step_number}"
            )
        costs = np.array([float(info[name]) for name in self._costs])
        if not np.isfinite(costs).all():
            raise SandlotError(
                f"the environment returned costs that are not finite in step {self.step_number} of episode "
                f"{self._episode}: {', '.join(f'{n} {c:g}' for n, c in zip(self._costs, costs, strict=True))}"
            )
        self.total_costs += costs
        return costs

    def _row(self, actor: Actor, version: int) -> NDArray[np.void]:
        row = np.zeros(1, self._dtype)
        row["sequence"], row["episode"], row["step"] = self._sequence, self._episode, self.step_number
        row["time_ns"] = round(self._sequence * self._period_ns)
        row["actor"], row["policy_version"], row["observation"] = int(actor), version, self.observation
        self._sequence += 1
        return row

    def _numbers(self, observation: Any) -> NDArray[np.float32]:
        expected = (self._sight.size,)
        try:
            seen = self._sight.numbers(observation)
            if seen.shape == expected:
                return seen
            found = f"numbers {seen.shape}"
        except (TypeError, ValueError, KeyError, IndexError) as error:
            found = str(error)
        raise SandlotError(
            f"the environment returned an observation in step {self.step_number} of episode {self._episode} "
            f"that is not of its space, numbers {expected}: {found}"
        )

    def _observe(self, observation: Any, previous: NDArray[Any]) -> None:
        seen = self._numbers(observation)
        if not np.isfinite(seen).all():
            raise SandlotError(
                f"the environment returned an observation that is not finite in step {self.step_number} of "
                f"episode {self._episode}: element {int(np.flatnonzero(~np.isfinite(seen))[0])} is "
                f"{seen[~np.isfinite(seen)][0]}"
            )
        self.observation = np.concatenate([seen, previous]).astype(np.float32)
        self._frame = self._sight.frame(observation, self._contract.frame_dtype())
        newest = tuple(self._frame[image.name] for image in self._contract.images)
        if self.images:
            pairs = zip(self.images, newest, strict=True)
            self.images = tuple(np.concatenate([stack[1:], frame]) for stack, frame in pairs)
        else:
            terms = zip(newest, self._contract.images, strict=True)
            self.images = tuple(np.repeat(frame, term.stack, 0) for frame, term in terms)
