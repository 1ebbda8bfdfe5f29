"""The critics of implicit Q-learning (Kostrikov et al. 2021, arXiv 2110.06169): Q and V, learned from actions
of the data only.

V(s) is an upper expectile of Q(s, a) over the data's actions, hence nearly the best of them, and Q learns
r + discount * V(s'): no action is ever judged that nobody took.

One deviation: the networks have LayerNorm, as RLPD's critics.
"""

from __future__ import annotations

import torch
from torch import Tensor

from learners.engine.adam import Adam
from learners.engine.backend import Backend
from learners.engine.ensemble import Ensemble
from learners.engine.parameters import Parameters
from learners.networks import Critics, Normaliser
from learners.offline_config import ImplicitConfig
from learners.sac import Assessment, Batch
from robot.contract import TaskContract


class ImplicitQ:
    """Q networks with their slowly following targets, and V."""

    def __init__(self, contract: TaskContract, config: ImplicitConfig, backend: Backend) -> None:
        self.config = config
        self.normalise = Normaliser(*contract.normaliser())
        observations, actions = contract.observation_size, contract.action_size

        def ensemble(members: int, inputs: int, acted: int, polyak: float) -> Ensemble:
            network = Critics(members, inputs, config.hidden)
            rate, dropout = config.learning_rate, 0.0
            return Ensemble(network, acted, config.batch, rate, polyak, dropout, backend)

        self.q = ensemble(config.critics, observations + actions, actions, config.polyak)
        # Its targets follow at once: they are what V is now.
        self.v = ensemble(1, observations, 0, 1.0)

    def update(self, batch: Batch, g: int) -> tuple[Tensor, dict[str, Tensor]]:
        """One step of V and one of Q on minibatch ``g``. Returns metrics and the advantages Q(s, a) - V(s),
        (B,), of the targets before and of V after its step: the order of the released program."""
        observation = self.normalise(batch.observation[g])
        inputs = torch.cat([observation, batch.action[g]], -1)
        q = self.q.target_values(inputs, range(self.config.critics)).amin(0)
        v = self.value(observation)
        # The expectile loss |tau - 1(u < 0)| u^2 of u = Q - V has the slope of the square to this target.
        self.v.regress(observation, v + expectile_weight(q - v, self.config.tau) * (q - v))
        advantage = q - self.value(observation)

        target = self._target(batch, g)
        values = self.q.regress(inputs, target)
        return advantage, {
            "critic_loss": (values - target).square().mean(),
            "value": values.mean(),
            "value_min": values.min(),
            "value_max": values.max(),
            "value_disagreement": values.std(0, correction=0).mean(),
            "target": target.mean(),
            "reward": batch.reward.mean(),
            "value_loss": expectile_loss(q - v, self.config.tau).mean(),
            "advantage": advantage.mean(),
        }

    def assess(self, batch: Batch) -> Assessment:
        """What Q and V say of one minibatch, G = 1, and what they should: see ``critic_health``."""
        observation = self.normalise(batch.observation[0])
        inputs = torch.cat([observation, batch.action[0]], -1)
        q = self.q.target_values(inputs, range(self.config.critics)).amin(0)
        loss = expectile_loss(q - self.value(observation), self.config.tau).mean()
        target = self._target(batch, 0)
        values, _ = self.q.slope(inputs)
        return Assessment(values.clone(), target, float(loss / q.var(correction=0)))

    def _target(self, batch: Batch, g: int) -> Tensor:
        """r + discount * V(s'), (B,)."""
        reward: Tensor = self.config.learned_reward(batch.reward[g])
        return reward + batch.discount[g] * self.value(self.normalise(batch.next_observation[g]))

    def value(self, observation: Tensor) -> Tensor:
        """V of normalised observations (B, O), (B,)."""
        return self.v.target_values(observation, [0])[0]

    def finite(self) -> bool:
        return all(bool(torch.isfinite(kept.flat).all()) for kept in self.parameters().values())

    def parameters(self) -> dict[str, Parameters]:
        return {
            "critics": self.q.parameters,
            "targets": self.q.targets,
            "value": self.v.parameters,
            "value_now": self.v.targets,
        }

    def optimisers(self) -> dict[str, Adam]:
        return {"critics": self.q.optimiser, "value": self.v.optimiser}


def expectile_weight(error: Tensor, tau: float) -> Tensor:
    """|tau - 1(error < 0)|, elementwise."""
    return torch.where(error < 0, 1.0 - tau, tau)


def expectile_loss(error: Tensor, tau: float) -> Tensor:
    """The paper's equation 5: what minimises it, subtracted from samples, is their tau-expectile."""
    return expectile_weight(error, tau) * error.square()
