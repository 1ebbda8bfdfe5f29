"""RLPD (Ball et al. 2023, arXiv 2302.02948): soft actor-critic with three changes.

1. LayerNorm in the critics (``networks.Critics``).
2. An ensemble of E critics, of whose targets a random Z-subset is minimised over.
3. Symmetric sampling: half of every minibatch is prior data (``prior_data.Experience``).

DroQ (Hiraoka et al. 2022, arXiv 2110.02034) is two critics with ``dropout``; REDQ (Chen et al. 2021, arXiv
2101.05982) is a ``subset`` without prior data and without LayerNorm; SAC (Haarnoja et al. 2018, arXiv
1812.05905) is two critics without LayerNorm, the lesser of which the actor ascends.

With ``constraints`` there are critics of costs beside those of the reward, and the actor minimises (reward's
loss + multiplier * cost) / (1 + multiplier) (Stooke et al. 2020, arXiv 2007.03964; ``lagrangian.py``).

One deviation, marked below: the robot's slew limit and filter stand between the actor and the critics, in the
actor's loss and in the bootstrap action alike, because the critics are trained on executed actions.

Values, gradients and steps of Adam are ``engine``'s, by hand and without autograd.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from learners.action_reach import ActionReach
from learners.config import LearnerConfig
from learners.engine.backend import Backend
from learners.engine.ensemble import Ensemble
from learners.engine.gaussian_actor import GaussianActor
from learners.engine.state import State
from learners.export import export_actor
from learners.lagrangian import Multipliers
from learners.networks import Actor, Critics, Normaliser, act, sample, sample_gradient
from learners.temperature import Temperature
from robot.contract import TaskContract
from robot.errors import SandlotError

COST_CRITICS: Final = 2
NO_COST: Final = torch.zeros(0)


class Batch(NamedTuple):
    """G minibatches of B transitions, float32. Observations are in physical units, actions as executed.

    ``reward`` is of one step, or the discounted sum of several (``n_step``). ``discount`` is of the value
    that comes next: 0 where the episode terminated; otherwise (truncated, too) to the power of the steps.
    """

    observation: Tensor  # (G, B, O)
    action: Tensor  # (G, B, A)
    reward: Tensor  # (G, B)
    discount: Tensor  # (G, B)
    next_observation: Tensor  # (G, B, O)
    cost: Tensor = NO_COST  # (G, B, C), summed up as the reward: the contract's cost terms
    images: tuple[Tensor, ...] = ()  # for each camera (G, B, stack, height, width, channels), uint8
    next_images: tuple[Tensor, ...] = ()


class Assessment(NamedTuple):
    """Critics on one minibatch that nothing is learned from; of behaviour cloning the actor."""

    values: Tensor  # (E, B)
    target: Tensor  # (B,)
    value_loss: float = math.nan
    """Of IQL's V: its expectile loss over the variance of Q."""


NO_BONUS: Final = (0.0, 0.0)
"""Of algorithms whose values know no entropy."""


def require_batch_size(batch: Batch, size: int) -> None:
    """Raise SandlotError unless the minibatches have the size that was configured."""
    found = batch.reward.shape[1]
    if found != size:
        raise SandlotError(f"expected minibatches of {size} (`batch`) transitions; got {found}")


def require_costs(batch: Batch, terms: tuple[str, ...]) -> None:
    """Raise SandlotError unless every transition has the contract's cost terms."""
    expected = (*batch.reward.shape, len(terms))
    if batch.cost.shape != expected:
        raise SandlotError(
            f"expected `cost` {expected} in a batch, for there are constraints: the cost terms "
            f"{', '.join(terms)} of each transition; got {tuple(batch.cost.shape)}"
        )


class Sac:
    """Actor, critics, temperature, their optimisers and one generator of noise."""

    def __init__(self, contract: TaskContract, config: LearnerConfig, seed: int, watched: int = 0) -> None:
        """``watched``: elements of the observation, its first, by which somebody wants the critics' gradient
        (``critics.by_inputs``)."""
        self.contract, self.config = contract, config
        self.backend = Backend.of(config, seed)
        self.slow, self.generator = self.backend.slow, self.backend.generator
        self.normalise = Normaliser(*contract.normaliser())
        self.reach = ActionReach(contract, config.growth)
        self._action_share = config.growth.start
        observations, self.actions = contract.observation_size, contract.action_size
        self.noise_size = self.actions
        self.actor = GaussianActor(Actor(observations, self.actions, config.hidden), config, self.backend)

        def ensemble(critics: int, watched: int = 0) -> Ensemble:
            return Ensemble(
                Critics(
                    critics,
                    observations + self.actions,
                    config.hidden,
                    layer_norm=config.layer_norm,
                    spectral_norm=config.spectral_norm,
                ),
                self.actions,
                config.batch,
                config.learning_rate,
                config.polyak,
                config.dropout,
                self.backend,
                watched,
            )

        self.critics = ensemble(config.critics, watched)
        self.costs = tuple(ensemble(COST_CRITICS) for _ in config.constraints)
        """Critics of each constraint's cost."""
        self.cost_columns = Multipliers(contract, config.constraints).columns
        self.multipliers = tuple(0.0 for _ in config.constraints)
        """What each cost is charged; whoever sees the real episodes sets it."""
        self.temperature = Temperature(
            config.initial_temperature, config.temperature_learning_rate, self.backend.kernels
        )
        self.steps = torch.zeros((), dtype=torch.int64)
        """Updates of the actor so far."""

    def update(self, batch: Batch) -> dict[str, float]:
        """What one environment step earns: G critic updates, then one of the actor and of the temperature.

        Raises SandlotError if the minibatches have not the size that was configured, or not the costs that
        there are constraints on.
        """
        require_batch_size(batch, self.config.batch)
        if self.costs:
            require_costs(batch, self.contract.cost_terms)
        self.critics.begin(len(batch.reward))
        bootstrap, backup = self._bootstrap(batch)
        inputs = self.critic_inputs(batch)
        for g in range(batch.reward.shape[0]):
            target = self._target(batch.reward[g], batch.discount[g], bootstrap[g], backup[g])
            values = self.critics.regress(inputs[g], target)
            if self.config.weight_decay:
                self.critics.parameters.decay(self.config.learning_rate * self.config.weight_decay)
        self._update_costs(batch, inputs, bootstrap)
        metrics = {
            "critic_loss": (values - target).square().mean(),
            "value": values.mean(),
            "value_min": values.min(),
            "value_max": values.max(),
            "value_disagreement": values.std(0, correction=0).mean(),
            "target": target.mean(),
            "reward": batch.reward.mean(),
        }
        actor_loss, entropy = self._update_actor(batch.observation[-1])
        self.temperature.descend(float(entropy) - self.target_entropy)
        self.steps += 1
        metrics |= {"actor_loss": actor_loss, "entropy": entropy}
        found = dict(zip(metrics, torch.stack(list(metrics.values())).tolist(), strict=True))
        return found | {"temperature": self.temperature.value}

    def act(self, observation: Tensor, noise: Tensor, images: tuple[Tensor, ...] = ()) -> Tensor:
        """The published actor's raw actions, (N, A), as the exported file's: see ``Algorithm``."""
        weights, depth = self.actor.published.tensors, len(self.config.hidden)
        raw = act(weights, depth, self.normalise(observation), noise)
        if not self.config.growth.restricts:
            return raw
        return self.reach.widened(raw, self.reach.previous(observation))

    def assess(self, batch: Batch, seed: int) -> Assessment:
        """What the critics say of one minibatch, G = 1, and what they should: see ``critic_health``."""
        before = self.generator.get_state()
        self.generator.manual_seed(seed)  # what is looked at must not decide what is learned
        self.critics.begin(1)
        bootstrap, backup = self._bootstrap(batch)
        target = self._target(batch.reward[0], batch.discount[0], bootstrap[0], backup[0])
        values, _ = self.critics.slope(self.critic_inputs(batch)[0])
        self.generator.set_state(before)
        return Assessment(values.clone(), target)

    @property
    def action_share(self) -> float:
        """Which part of the action range there is at present: actor, targets and policy keep to it."""
        return self._action_share

    @action_share.setter
    def action_share(self, share: float) -> None:
        self._action_share = share
        self.reach.keep_to(share)

    @property
    def entropy_bonus(self) -> tuple[float, float]:
        """The least and the most that the entropy term adds to a step's value at present. A raw action in
        (-1, 1) has no more entropy than a uniform one, log 2 per element, and about what it is steered to."""
        if not self.config.entropy_backup:
            return NO_BONUS
        price = self.temperature.value
        return price * min(0.0, self.target_entropy), price * self.actions * math.log(2.0)

    def finite(self) -> bool:
        return self.actor.finite()

    def export(self, calibration_hash: str, version: int) -> bytes:
        """The published actor as an ONNX file."""
        weights, depth = self.actor.published.tensors, len(self.config.hidden)
        reach = self.reach if self.config.growth.restricts else None
        return export_actor(self.contract, weights, depth, calibration_hash, version, reach=reach)

    def _bootstrap(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Critic inputs at s', a' ~ pi(s') for all G minibatches (the actor does not change meanwhile),
        (G, B, O + A), and the entropy term of the target, (G, B)."""
        observation = batch.next_observation
        mean, log_std = self.actor(self.normalise(observation))
        raw, log_density = sample(mean, log_std, self._noise(mean))
        # Deviation from RLPD: the critics judge the action after the contract's slew limit and filter.
        action = self.reach(raw, self.reach.previous(observation))
        price = self.temperature.value if self.config.entropy_backup else 0.0
        return self._inputs(observation, action), -price * log_density

    def _target(self, reward: Tensor, discount: Tensor, bootstrap: Tensor, backup: Tensor) -> Tensor:
        """r + discount * (min over a random Z of the E target critics + entropy term), (B,). Of several steps
        only the last one's entropy counts: the actions between were not this actor's."""
        members = list(range(self.config.critics))
        if self.config.subset < self.config.critics:
            drawn = torch.randperm(self.config.critics, generator=self.generator)
            members = drawn[: self.config.subset].tolist()
        value = self.critics.target_values(bootstrap, members).amin(0)
        return reward + discount * (value + backup)

    def _update_costs(self, batch: Batch, inputs: Tensor, bootstrap: Tensor) -> None:
        """The critics of costs: targets take the greater of two, and know no entropy."""
        for critics, column in zip(self.costs, self.cost_columns, strict=True):
            critics.begin(len(inputs))
            for g in range(len(inputs)):
                value = critics.target_values(bootstrap[g], range(COST_CRITICS)).amax(0)
                critics.regress(inputs[g], batch.cost[g, :, column] + batch.discount[g] * value)

    def _update_actor(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        """Minimise the mean of temperature * log pi - Q, with Q the mean of all E critics, or the least of
        them where the configuration says so; with constraints
        (temperature * log pi - Q + multiplier * Q_cost) / (1 + multiplier), summed over them."""
        mean, log_std = (found[0] for found in self.actor(self.normalise(observation)[None]))
        noise = self._noise(mean)
        raw, log_density = sample(mean, log_std, noise)
        previous, temperature = self.reach.previous(observation), self.temperature.value
        # Deviation from RLPD, as above.
        inputs = self._inputs(observation, self.reach(raw, previous))
        least = self.config.actor_value == "min"
        values, slope = self.critics.slope(inputs, least=least)
        for critics, multiplier in zip(self.costs, self.multipliers, strict=True):
            slope = slope - multiplier * critics.slope(inputs)[1]
        share = 1.0 / (len(observation) * (1.0 + sum(self.multipliers)))
        by_raw = -slope * self.reach.slope(previous) * share
        by_log_density = torch.full_like(log_density, temperature * share)
        self.actor.descend(*sample_gradient(raw, log_std, noise, by_raw, by_log_density))
        ascended = values.amin(0) if least else values.mean(0)
        return (temperature * log_density - ascended).mean(), -log_density.mean()

    @property
    def target_entropy(self) -> float:
        """What the temperature steers the actor's entropy to at present [nat]."""
        config = self.config
        share = min(1.0, int(self.steps.item()) / config.entropy_decay_steps)
        change = config.final_entropy_per_action - config.entropy_per_action
        return (config.entropy_per_action + share * change) * self.actions

    def _noise(self, mean: Tensor) -> Tensor:
        return torch.randn(mean.shape, generator=self.generator)

    def critic_inputs(self, batch: Batch) -> Tensor:
        """Normalised observations beside actions, (G, B, O + A)."""
        return self._inputs(batch.observation, batch.action)

    def _inputs(self, observation: Tensor, action: Tensor) -> Tensor:
        return torch.cat([self.normalise(observation), action], -1)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Everything that learning changes, as arrays that share memory where they can."""
        arrays = self._state().arrays()
        return (
            arrays | {"action_share": np.array(self.action_share)} if self.config.growth.restricts else arrays
        )

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take over what ``arrays`` gave."""
        self._state().restore(arrays)
        if self.config.growth.restricts:
            self.action_share = float(arrays["action_share"])

    def _state(self) -> State:
        parameters = {
            "actor": self.actor.parameters,
            "published": self.actor.published,
            "critics": self.critics.parameters,
            "targets": self.critics.targets,
            "log_temperature": self.temperature.parameters,
            **{f"cost{k}": critics.parameters for k, critics in enumerate(self.costs)},
            **{f"cost_targets{k}": critics.targets for k, critics in enumerate(self.costs)},
        }
        optimisers = {
            "actor": self.actor.optimiser,
            "critics": self.critics.optimiser,
            "temperature": self.temperature.optimiser,
            **{f"cost{k}": critics.optimiser for k, critics in enumerate(self.costs)},
        }
        return State(parameters, optimisers, self.steps, self.generator)
