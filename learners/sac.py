"""RLPD (Ball et al. 2023, arXiv 2302.02948): soft actor-critic with three changes.

1. LayerNorm in the critics (``networks.Critics``).
2. An ensemble of E critics, of whose targets a random Z-subset is minimised over.
3. Symmetric sampling: half of every minibatch is prior data (``prior_data.Experience``).

One deviation, marked below: the robot's slew limit and filter stand between the actor and the critics, in the
actor's loss and in the bootstrap action alike, because the critics are trained on executed actions.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from learners.action_reach import ActionReach
from learners.config import LearnerConfig
from learners.networks import Actor, Critics, Normaliser, Parameters, Weights, matmul_precision, sample
from robot.contract import TaskContract


class Batch(NamedTuple):
    """G minibatches of B transitions, float32. Observations are in physical units, actions as executed.

    ``mask`` is 0 where the episode terminated in this step and 1 otherwise, truncation included.
    """

    observation: Tensor  # (G, B, O)
    action: Tensor  # (G, B, A)
    reward: Tensor  # (G, B)
    mask: Tensor  # (G, B)
    next_observation: Tensor  # (G, B, O)


class Sac:
    """Actor, critics, temperature, their optimisers and one generator of noise."""

    def __init__(self, contract: TaskContract, config: LearnerConfig, seed: int) -> None:
        self.config = config
        self.generator = torch.Generator().manual_seed(seed)
        self.normalise = Normaliser(*contract.normaliser())
        self.reach = ActionReach(contract)
        observations, self.actions = contract.observation_size, contract.action_size

        self.actor = Actor(observations, self.actions, config.hidden)
        self.actor_parameters = Parameters(self.actor.shapes)
        self.actor.initialise(self.actor_parameters.frozen, self.generator)
        self.published_parameters = Parameters(self.actor.shapes)
        """A running average of the actor: what a robot gets. The newest weights are a sample around it, and
        at the limit of grip every sample fails somewhere else."""
        self.published_parameters.flat.copy_(self.actor_parameters.flat)

        self.critics = Critics(config.critics, observations + self.actions, config.hidden)
        self.critic_parameters = Parameters(self.critics.shapes)
        self.critics.initialise(self.critic_parameters.frozen, self.generator)
        self.target_parameters = Parameters(self.critics.shapes)
        self.target_parameters.flat.copy_(self.critic_parameters.flat)

        self.log_temperature = torch.tensor(config.initial_temperature).log().requires_grad_()
        self.steps = torch.zeros((), dtype=torch.int64)
        """Updates of the actor so far."""
        self.optimisers = {
            "actor": _adam(self.actor_parameters.leaves.values(), config.learning_rate),
            "critics": _adam(self.critic_parameters.leaves.values(), config.learning_rate),
            "temperature": _adam([self.log_temperature], config.temperature_learning_rate),
        }

    def update(self, batch: Batch) -> dict[str, float]:
        """What one environment step earns: G critic updates, then one of the actor and of the temperature."""
        with matmul_precision(self.config.matmul):
            return self._update(batch)

    def _update(self, batch: Batch) -> dict[str, float]:
        bootstrap, backup = self._bootstrap(batch)
        inputs = self._inputs(batch.observation, batch.action)
        for g in range(batch.reward.shape[0]):
            target = self._target(batch.reward[g], batch.mask[g], bootstrap[g], backup[g])
            critic_loss, values = self._update_critics(inputs[g], target)
            self.target_parameters.flat.lerp_(self.critic_parameters.flat, self.config.polyak)
        actor_loss, entropy = self._update_actor(batch.observation[-1])
        self.published_parameters.flat.lerp_(self.actor_parameters.flat, self.config.actor_average)
        self._update_temperature(entropy)
        metrics = {
            "critic_loss": critic_loss,
            "value": values.mean(),
            "value_max": values.max(),
            "value_disagreement": values.std(0, correction=0).mean(),
            "target": target.mean(),
            "reward": batch.reward.mean(),
            "actor_loss": actor_loss,
            "entropy": entropy,
            "temperature": self.log_temperature.exp(),
        }
        return dict(zip(metrics, torch.stack([m.detach() for m in metrics.values()]).tolist(), strict=True))

    def _bootstrap(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Critic inputs at s', a' ~ pi(s') for all G minibatches (the actor does not change meanwhile),
        (G, B, O + A), and the entropy term of the target, (G, B)."""
        with torch.no_grad():
            action, log_density = self.act(batch.next_observation, self.actor_parameters.frozen)
            scale = -self.log_temperature.exp() if self.config.entropy_backup else 0.0
            return self._inputs(batch.next_observation, action), scale * log_density

    def _target(self, reward: Tensor, mask: Tensor, bootstrap: Tensor, backup: Tensor) -> Tensor:
        """r + discount * mask * (min over a random Z of the E target critics + entropy term), (B,)."""
        subset = self.target_parameters.frozen
        if self.config.subset < self.config.critics:
            chosen = torch.randperm(self.config.critics, generator=self.generator)[: self.config.subset]
            subset = {name: w[chosen] for name, w in subset.items()}
        with torch.no_grad():
            value = self.critics(subset, bootstrap).amin(0)
            return reward + self.config.discount * mask * (value + backup)

    def _update_critics(self, inputs: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        values = self.critics(self.critic_parameters.leaves, inputs)
        loss = (values - target).square().mean()
        _descend(self.optimisers["critics"], loss)
        return loss, values

    def _update_actor(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        """Minimise temperature * log pi - Q, with Q the mean of all E critics."""
        action, log_density = self.act(observation, self.actor_parameters.leaves)
        value = self.critics(self.critic_parameters.frozen, self._inputs(observation, action)).mean(0)
        loss = (self.log_temperature.detach().exp() * log_density - value).mean()
        _descend(self.optimisers["actor"], loss)
        return loss, -log_density.detach().mean()

    @property
    def target_entropy(self) -> float:
        """What the temperature steers the actor's entropy to at present [nat]."""
        config = self.config
        share = min(1.0, int(self.steps.item()) / config.entropy_decay_steps)
        change = config.final_entropy_per_action - config.entropy_per_action
        return (config.entropy_per_action + share * change) * self.actions

    def _update_temperature(self, entropy: Tensor) -> None:
        loss = self.log_temperature.exp() * (entropy - self.target_entropy)
        _descend(self.optimisers["temperature"], loss)
        self.steps += 1

    def act(self, observation: Tensor, weights: Weights) -> tuple[Tensor, Tensor]:
        """Actions as executed (..., A) and log-densities of the raw ones (...), at observations (..., O)."""
        flat = observation.reshape(-1, observation.shape[-1])
        mean, log_std = self.actor(weights, self.normalise(flat))
        raw, log_density = sample(mean, log_std, torch.randn(mean.shape, generator=self.generator))
        # Deviation from RLPD: the critics judge the action after the contract's slew limit and filter.
        action = self.reach(raw, self.reach.previous(flat))
        return action.view(*observation.shape[:-1], -1), log_density.view(observation.shape[:-1])

    def _inputs(self, observation: Tensor, action: Tensor) -> Tensor:
        return torch.cat([self.normalise(observation), action], -1)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Everything that learning changes, as arrays that share memory where they can."""
        arrays = {
            "actor": self.actor_parameters.flat.numpy(),
            "published": self.published_parameters.flat.numpy(),
            "critics": self.critic_parameters.flat.numpy(),
            "targets": self.target_parameters.flat.numpy(),
            "log_temperature": self.log_temperature.detach().numpy(),
            "steps": self.steps.numpy(),
            "generator": self.generator.get_state().numpy(),
        }
        for name, optimiser in self.optimisers.items():
            for k, state in optimiser.state_dict()["state"].items():
                arrays |= {f"optimiser.{name}.{k}.{key}": value.numpy() for key, value in state.items()}
        return arrays

    def restore(self, arrays: dict[str, NDArray[Any]]) -> None:
        """Take over what ``arrays`` gave."""
        self.actor_parameters.flat.copy_(torch.from_numpy(arrays["actor"]))
        self.published_parameters.flat.copy_(torch.from_numpy(arrays["published"]))
        self.critic_parameters.flat.copy_(torch.from_numpy(arrays["critics"]))
        self.target_parameters.flat.copy_(torch.from_numpy(arrays["targets"]))
        with torch.no_grad():
            self.log_temperature.copy_(torch.from_numpy(arrays["log_temperature"]))
            self.steps.copy_(torch.from_numpy(arrays["steps"]))
        self.generator.set_state(torch.from_numpy(arrays["generator"].copy()))
        for name, optimiser in self.optimisers.items():
            whole = optimiser.state_dict()
            state: dict[int, dict[str, Tensor]] = {}
            for key, array in arrays.items():
                head, _, rest = key.partition(f"optimiser.{name}.")
                if not head and rest:
                    index, _, field = rest.partition(".")
                    state.setdefault(int(index), {})[field] = torch.from_numpy(np.array(array))
            optimiser.load_state_dict(whole | {"state": state})


def _adam(leaves: Any, rate: float) -> torch.optim.Adam:
    return torch.optim.Adam(list(leaves), lr=rate, fused=True)


def _descend(optimiser: torch.optim.Adam, loss: Tensor) -> None:
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    optimiser.step()
