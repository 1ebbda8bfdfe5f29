"""Behaviour cloning: the tanh-Gaussian actor under which the data's actions are most likely.

Actions are compared as the actor puts them out: the executed action of the data is mapped back through the
contract's slew limit and filter. The two densities differ by a factor that depends on the previous action
only (``action_reach``), so the likelihood's maximum is the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import torch
from numpy.typing import NDArray
from torch import Tensor

from learners.action_reach import ActionReach
from learners.engine.adam import cosine_rate
from learners.engine.backend import Backend
from learners.engine.gaussian_actor import GaussianActor
from learners.engine.state import State
from learners.export import export_actor
from learners.networks import Actor, Normaliser, act, sample
from learners.offline_config import BcConfig
from learners.sac import NO_BONUS, Assessment, Batch, require_batch_size
from robot.contract import TaskContract

LARGEST_ACTION: Final = 1.0 - 1e-5
"""Actions at the end of their range have no finite counterpart before the tanh: they are taken for this, as
in the datasets of IQL's and RLPD's programs."""


class Bc:
    """An actor, its optimiser and one generator of noise."""

    entropy_bonus = NO_BONUS

    def __init__(self, contract: TaskContract, config: BcConfig, seed: int) -> None:
        self.contract, self.config = contract, config
        backend = Backend.of(config, seed)
        self.slow, self.generator = backend.slow, backend.generator
        self.normalise = Normaliser(*contract.normaliser())
        self.reach = ActionReach(contract)
        self.noise_size = contract.action_size
        network = Actor(contract.observation_size, contract.action_size, config.hidden)
        self.actor = GaussianActor(network, config, backend)
        self.steps = torch.zeros((), dtype=torch.int64)
        """Updates so far."""

    def update(self, batch: Batch) -> dict[str, float]:
        """One step up the likelihood for each minibatch."""
        require_batch_size(batch, self.config.batch)
        for observation, action in zip(batch.observation, batch.action, strict=True):
            loss, std = self._ascend(observation, action)
            self.steps += 1
        return {"actor_loss": float(loss), "std": float(std), "reward": float(batch.reward.mean())}

    def _ascend(self, observation: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        """One step of Adam on -log pi(a|s), its mean over B rows. Returns that and the mean standard
        deviation before the tanh."""
        mean, log_std = (found[0] for found in self.actor(self.normalise(observation)[None]))
        raw = self.reach.raw(action, self.reach.previous(observation))
        before = raw.clamp(-LARGEST_ACTION, LARGEST_ACTION).atanh()
        noise = (before - mean) / log_std.exp()  # what would have drawn this action
        _, log_density = sample(mean, log_std, noise)
        # The tanh's slope at the action does not depend on the weights: only the Gaussian's density does.
        self.actor.optimiser.rate = cosine_rate(
            self.config.learning_rate, int(self.steps), self.config.actor_decay_steps
        )
        self.actor.descend(-noise / log_std.exp() / len(mean), (1.0 - noise.square()) / len(mean))
        return -log_density.mean(), log_std.exp().mean()

    def act(self, observation: Tensor, noise: Tensor, images: tuple[Tensor, ...] = ()) -> Tensor:
        """The published actor's raw actions, (N, A), as the exported file's: see ``Algorithm``."""
        weights, depth = self.actor.published.tensors, len(self.config.hidden)
        return act(weights, depth, self.normalise(observation), noise)

    def assess(self, batch: Batch, seed: int) -> Assessment:
        """What the actor would do on one minibatch, G = 1, without noise, and what was done: raw actions less
        their means, (1, B * A) and (B * A,). See ``critic_health``: the error is the mean squared one by the
        actions' variance."""
        observation, action = batch.observation[0], batch.action[0]
        mean, _ = self.actor(self.normalise(observation)[None])
        done = self.reach.raw(action, self.reach.previous(observation))
        centre = done.mean(0)
        return Assessment((mean[0].tanh() - centre).view(1, -1), (done - centre).flatten())

    def finite(self) -> bool:
        return self.actor.finite()

    def export(self, calibration_hash: str, version: int) -> bytes:
        """The published actor as an ONNX file."""
        weights, depth = self.actor.published.tensors, len(self.config.hidden)
        return export_actor(self.contract, weights, depth, calibration_hash, version)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Everything that learning changes, as arrays that share memory where they can."""
        return self._state().arrays()

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take over what ``arrays`` gave."""
        self._state().restore(arrays)

    def _state(self) -> State:
        parameters = {"actor": self.actor.parameters, "published": self.actor.published}
        return State(parameters, {"actor": self.actor.optimiser}, self.steps, self.generator)
