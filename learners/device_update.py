"""What one environment step earns, on a device: ``sac.Sac``'s update as whole operations and autograd.

The engine is for a processor, where every memory access costs and starting an operation is cheap. On a GPU it
is the other way round: an update is some fifty operations of a few microseconds each. So all critics are one
product here, and nothing waits for the host: everything random is drawn before the first operation
(``Draws``) and nothing is read before the last, so that the whole can be recorded and started at once.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import torch
from torch import Tensor

from learners.action_reach import ActionReach
from learners.config import LearnerConfig
from learners.engine.device_adam import DeviceAdam, descend
from learners.engine.parameters import Parameters
from learners.networks import Actor, Critics, Normaliser, critic_values, gaussian, sample
from learners.sac import Batch
from learners.temperature import LOG
from robot.contract import TaskContract

METRICS: Final = (
    "critic_loss",
    "value",
    "value_min",
    "value_max",
    "value_disagreement",
    "target",
    "reward",
    "actor_loss",
    "entropy",
)


class Draws(NamedTuple):
    """Everything random in G critic updates and one of the actor."""

    noise: Tensor  # (G + 1, B, A), standard normal: of the bootstrap actions, and last of the actor's
    members: Tensor | None  # (G, Z), int64: which target critics are minimised over; None is all of them
    keep: Tensor | None  # (2 G + 1, E, B, sum of hidden): 0 where dropped, else 1 / (1 - dropout)

    @classmethod
    def of(cls, config: LearnerConfig, updates: int, actions: int, generator: torch.Generator) -> Draws:
        """Drawn by ``generator``, on its device."""
        at = {"device": generator.device, "generator": generator}
        members = keep = None
        if config.subset < config.critics:
            members = torch.rand(updates, config.critics, **at).argsort(1)[:, : config.subset]
        if config.dropout:
            size = (2 * updates + 1, config.critics, config.batch, sum(config.hidden))
            keep = torch.empty(size, device=generator.device)
            keep.bernoulli_(1.0 - config.dropout, generator=generator).div_(1.0 - config.dropout)
        return cls(torch.randn(updates + 1, config.batch, actions, **at), members, keep)


class DeviceUpdate:
    """Networks, averages of them and optimisers, on ``device``; zeros at first."""

    def __init__(self, contract: TaskContract, config: LearnerConfig, device: torch.device) -> None:
        self._config, self._depth = config, len(config.hidden)
        observations, actions = contract.observation_size, contract.action_size
        actor = Actor(observations, actions, config.hidden).shapes
        critics = Critics(
            config.critics, observations + actions, config.hidden, layer_norm=config.layer_norm
        ).shapes
        with device:
            self._normalise = Normaliser(*contract.normaliser())
            self._reach = ActionReach(contract)
            self.actor, self.published = Parameters(actor), Parameters(actor)
            self.critics, self.targets = Parameters(critics), Parameters(critics)
            self.log_temperature = Parameters({LOG: (1,)})
        self.actor_optimiser = DeviceAdam(self.actor, config.learning_rate)
        self.critic_optimiser = DeviceAdam(self.critics, config.learning_rate)
        self.temperature_optimiser = DeviceAdam(self.log_temperature, config.temperature_learning_rate)

    def run(
        self, batch: Batch, draws: Draws, target_entropy: Tensor, encoder: DeviceAdam | None = None
    ) -> Tensor:
        """G critic updates, then one of the actor and of the temperature; returns ``METRICS``, (9,).
        ``encoder``: what descends with the critics, for observations that it has made some of."""
        config = self._config
        temperature = self.log_temperature.flat[0].exp()
        seen = self._normalise(batch.observation)
        inputs = torch.cat([seen, batch.action], -1)
        descending = [self.critic_optimiser] + ([] if encoder is None else [encoder])
        with torch.no_grad():
            bootstrap, backup = self._bootstrap(batch.next_observation, draws.noise[:-1], temperature)
        for g in range(len(batch.reward)):
            with torch.no_grad():
                values = self._values(self.targets.tensors, bootstrap[g], draws, 2 * g)
                chosen = values if draws.members is None else values.index_select(0, draws.members[g])
                target = batch.reward[g] + batch.discount[g] * (chosen.amin(0) + backup[g])
            values = self._values(self.critic_optimiser.leaves, inputs[g], draws, 2 * g + 1)
            descend((values - target).square().mean(), *descending)
            with torch.no_grad():
                self.targets.flat.lerp_(self.critics.flat, config.polyak)
                if config.weight_decay:
                    self.critics.decay(config.learning_rate * config.weight_decay)
        actor_loss, entropy = self._update_actor(batch.observation[-1].detach(), draws, temperature)
        (log_temperature,) = self.temperature_optimiser.leaves.values()
        descend(log_temperature.exp().sum() * (entropy - target_entropy), self.temperature_optimiser)
        values = values.detach()
        return torch.stack(
            [
                (values - target).square().mean(),
                values.mean(),
                values.amin(),
                values.amax(),
                values.std(0, correction=0).mean(),
                target.mean(),
                batch.reward.mean(),
                actor_loss,
                entropy,
            ]
        )

    def _bootstrap(self, observation: Tensor, noise: Tensor, temperature: Tensor) -> tuple[Tensor, Tensor]:
        """Critic inputs at s', a' ~ pi(s'), (G, B, O + A), and the entropy term of the target, (G, B)."""
        seen = self._normalise(observation)
        found = gaussian(self.actor.tensors, self._depth, seen.flatten(0, 1))
        mean, log_std = (one.view(noise.shape) for one in found)
        raw, log_density = sample(mean, log_std, noise)
        inputs = torch.cat([seen, self._reach(raw, self._reach.previous(observation))], -1)
        return inputs, -temperature * log_density * float(self._config.entropy_backup)

    def _update_actor(self, observation: Tensor, draws: Draws, temperature: Tensor) -> tuple[Tensor, Tensor]:
        """Minimise temperature * log pi - Q; returns that and the entropy."""
        seen = self._normalise(observation)
        leaves = self.actor_optimiser.leaves
        raw, log_density = sample(*gaussian(leaves, self._depth, seen), draws.noise[-1])
        action = self._reach(raw, self._reach.previous(observation))
        values = self._values(self.critics.tensors, torch.cat([seen, action], -1), draws, -1)
        ascended = values.amin(0) if self._config.actor_value == "min" else values.mean(0)
        loss = (temperature * log_density - ascended).mean()
        descend(loss, self.actor_optimiser)
        with torch.no_grad():
            self.published.flat.lerp_(self.actor.flat, self._config.actor_average)
        return loss.detach(), -log_density.detach().mean()

    def _values(self, weights: dict[str, Tensor], inputs: Tensor, draws: Draws, forward: int) -> Tensor:
        keep = None if draws.keep is None else draws.keep[forward]
        return critic_values(weights, self._depth, inputs, keep)
