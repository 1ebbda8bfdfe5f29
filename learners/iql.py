"""Implicit Q-learning (Kostrikov et al. 2021, arXiv 2110.06169), offline and then online.

1. V by expectile regression, Q by V (``implicit_q``).
2. The actor by advantage-weighted regression: the likelihood of the data's actions, weighted by
   exp(beta * (Q - V)), at most 100.

The actor is the released program's: a Gaussian round tanh(mean) with one standard deviation for all states,
its learning rate falling along a cosine. As in ``bc``, actions are compared as the actor puts them out.
"""

from __future__ import annotations

import math
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
from learners.implicit_q import ImplicitQ
from learners.networks import Actor, Normaliser, gaussian
from learners.offline_config import IqlConfig
from learners.sac import NO_BONUS, Assessment, Batch, require_batch_size
from robot.contract import TaskContract

LOG_STD_MIN: Final = -5.0
"""As in the released program."""


class Iql:
    """Q, V, an actor, their optimisers and one generator of noise."""

    entropy_bonus = NO_BONUS

    def __init__(self, contract: TaskContract, config: IqlConfig, seed: int) -> None:
        self.contract, self.config = contract, config
        backend = Backend.of(config, seed)
        self.slow, self.generator = backend.slow, backend.generator
        self.normalise = Normaliser(*contract.normaliser())
        self.reach = ActionReach(contract)
        self.noise_size = contract.action_size
        self.critics = ImplicitQ(contract, config, backend)
        network = Actor(contract.observation_size, contract.action_size, config.hidden, same_std=True)
        self.actor = GaussianActor(network, config, backend)
        self.steps = torch.zeros((), dtype=torch.int64)
        """Updates so far."""

    def update(self, batch: Batch) -> dict[str, float]:
        """For each minibatch one step of V, of Q and of the actor."""
        require_batch_size(batch, self.config.batch)
        for g in range(len(batch.reward)):
            advantage, metrics = self.critics.update(batch, g)
            weight = (self.config.beta * advantage).exp().clamp(max=self.config.largest_weight)
            actor_loss, entropy = self._regress(batch.observation[g], batch.action[g], weight)
            self.steps += 1
        metrics |= {"actor_loss": actor_loss, "entropy": entropy, "weight": weight.mean()}
        return dict(zip(metrics, torch.stack(list(metrics.values())).tolist(), strict=True))

    def _regress(self, observation: Tensor, action: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """One step of Adam on the mean of -weight * log pi(a|s). Returns that and the actor's entropy."""
        mean, log_std = (found[0] for found in self.actor(self.normalise(observation)[None]))
        bounded = log_std.clamp(min=LOG_STD_MIN)
        raw = self.reach.raw(action, self.reach.previous(observation))
        centre, std = mean.tanh(), bounded.exp()
        noise = (raw - centre) / std
        log_density = (-0.5 * noise.square() - bounded - 0.5 * math.log(2.0 * math.pi)).sum(-1)

        rate = cosine_rate(self.config.learning_rate, int(self.steps), self.config.actor_decay_steps)
        if rate > 0.0:
            share = weight[:, None] / len(weight)
            by_mean = -share * noise / std * (1.0 - centre.square())
            by_log_std = share * (1.0 - noise.square()) * (log_std >= LOG_STD_MIN)
            self.actor.optimiser.rate = rate
            self.actor.descend(by_mean, by_log_std)
        entropy = (bounded + 0.5 * math.log(2.0 * math.pi * math.e)).sum(-1)
        return -(weight * log_density).mean(), entropy.mean()

    def act(self, observation: Tensor, noise: Tensor, images: tuple[Tensor, ...] = ()) -> Tensor:
        """The published actor's raw actions, (N, A), as the exported file's: see ``Algorithm``."""
        weights, depth = self.actor.published.tensors, len(self.config.hidden)
        mean, log_std = gaussian(weights, depth, self.normalise(observation))
        return (mean.tanh() + log_std.clamp(min=LOG_STD_MIN).exp() * noise).clamp(-1.0, 1.0)

    def assess(self, batch: Batch, seed: int) -> Assessment:
        """See ``critic_health``."""
        return self.critics.assess(batch)

    def finite(self) -> bool:
        # An actor whose rate is zero is not updated any more, whatever becomes of the critics.
        return self.actor.finite() and self.critics.finite()

    def export(self, calibration_hash: str, version: int) -> bytes:
        """The published actor as an ONNX file."""
        weights, depth = self.actor.published.tensors, len(self.config.hidden)
        return export_actor(
            self.contract,
            weights,
            depth,
            calibration_hash,
            version,
            tanh_mean=True,
            log_std_min=LOG_STD_MIN,
        )

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Everything that learning changes, as arrays that share memory where they can."""
        return self._state().arrays()

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take over what ``arrays`` gave."""
        self._state().restore(arrays)

    def _state(self) -> State:
        parameters = {"actor": self.actor.parameters, "published": self.actor.published}
        optimisers = {"actor": self.actor.optimiser}
        return State(
            parameters | self.critics.parameters(),
            optimisers | self.critics.optimisers(),
            self.steps,
            self.generator,
        )
