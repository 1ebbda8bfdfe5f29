"""Implicit diffusion Q-learning (Hansen-Estruch et al. 2023, arXiv 2304.10573).

1. IQL's critics (``implicit_q``).
2. A diffusion model that imitates all of the data's actions, good and bad (``diffusion``); no weights.
3. To act: draw N candidates from it and take the one that the critics like best.

So the actor can have several modes, which a Gaussian's mean would fall between, and the critics can go on
learning while it stays as it is.

Two deviations, as elsewhere here: candidates are raw actions, and the critics judge what the contract's slew
limit and filter make of them; the deterministic policy is the same procedure with noise that is drawn once
and for all (``FIXED_SEED``), for without noise all candidates would be the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from learners.action_reach import ActionReach
from learners.diffusion import EpsilonNetwork, Schedule, denoise, denoising_loss
from learners.engine.adam import Adam, cosine_rate
from learners.engine.backend import Backend
from learners.engine.parameters import Parameters
from learners.engine.state import State
from learners.idql_export import export_idql
from learners.implicit_q import ImplicitQ
from learners.networks import Normaliser, critic_values
from learners.offline_config import IdqlConfig
from learners.sac import NO_BONUS, Assessment, Batch, require_batch_size
from robot.contract import TaskContract

FIXED_SEED: Final = 0
"""Of the deterministic policy's noise: the same for every policy, whatever the run's seed."""


class Idql:
    """Q, V, a diffusion actor, their optimisers and one generator of noise."""

    entropy_bonus = NO_BONUS

    def __init__(self, contract: TaskContract, config: IdqlConfig, seed: int) -> None:
        self.contract, self.config = contract, config
        backend = Backend.of(config, seed)
        self.slow, self.generator = backend.slow, backend.generator
        self.normalise = Normaliser(*contract.normaliser())
        self.reach = ActionReach(contract)
        self.actions = contract.action_size
        self.noise_size = config.denoising_steps * config.candidates * self.actions
        self.critics = ImplicitQ(contract, config, backend)

        self.schedule = Schedule(config.denoising_steps)
        self.network = EpsilonNetwork(
            contract.observation_size,
            self.actions,
            config.actor_width,
            config.actor_blocks,
            config.time_features,
        )
        self.actor = Parameters(self.network.shapes)
        self.network.initialise(self.actor.tensors, self.generator)
        self.published = Parameters(self.network.shapes)
        self.published.copy_(self.actor.flat)
        self._gradients = self.actor.gradients()
        self.optimiser = Adam(
            self.actor,
            self._gradients,
            self.published,
            config.actor_average,
            config.learning_rate,
            backend.kernels,
        )
        # The same memory, seen by autograd: unlike the critics' the actor's gradient is not written by hand.
        self._leaves = {name: w.detach().requires_grad_() for name, w in self.actor.tensors.items()}
        fixed = np.random.default_rng(FIXED_SEED).standard_normal(self.noise_size)
        self.fixed_noise = torch.as_tensor(fixed, dtype=torch.get_default_dtype())
        """The deterministic policy's, (noise_size,)."""
        self.steps = torch.zeros((), dtype=torch.int64)
        """Updates so far."""

    def update(self, batch: Batch) -> dict[str, float]:
        """For each minibatch one step of V, of Q and of the actor."""
        require_batch_size(batch, self.config.batch)
        for g in range(len(batch.reward)):
            _, metrics = self.critics.update(batch, g)
            rate = cosine_rate(self.config.learning_rate, int(self.steps), self.config.actor_decay_steps)
            if rate > 0.0:
                metrics |= {"actor_loss": self._imitate(batch.observation[g], batch.action[g], rate)}
            self.steps += 1
        return dict(zip(metrics, torch.stack(list(metrics.values())).tolist(), strict=True))

    def _imitate(self, observation: Tensor, action: Tensor, rate: float) -> Tensor:
        """One step of AdamW on the denoising loss, which it returns."""
        raw = self.reach.raw(action, self.reach.previous(observation))
        step = torch.randint(len(self.schedule), (len(raw),), generator=self.generator)
        noise = torch.randn(raw.shape, generator=self.generator)
        loss = denoising_loss(
            self.network,
            self.schedule,
            self._leaves,
            self.normalise(observation),
            raw,
            step,
            noise,
            self._drop,
        )
        slopes = torch.autograd.grad(loss, list(self._leaves.values()))
        for gradient, slope in zip(self._gradients.values(), slopes, strict=True):
            gradient.copy_(slope)
        # AdamW (Loshchilov & Hutter 2019, arXiv 1711.05101): the decay does not go through the moments.
        self.actor.flat.mul_(1.0 - rate * self.config.weight_decay)
        self.optimiser.rate = rate
        self.optimiser.step()
        return loss.detach()

    def _drop(self, x: Tensor) -> Tensor:
        share = self.config.actor_dropout
        if share == 0.0:
            return x
        return x * (torch.rand(x.shape, generator=self.generator) >= share) / (1.0 - share)

    def act(self, observation: Tensor, noise: Tensor, images: tuple[Tensor, ...] = ()) -> Tensor:
        """The published actor's raw actions, (N, A), as the exported file's: see ``Algorithm``."""
        candidates, values = self.candidates(observation, noise)
        best = values.argmax(1)
        return candidates[torch.arange(len(best)), best]

    def candidates(self, observation: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """What ``act`` chooses from: raw actions (N, candidates, A) and the least of their target critics'
        values, (N, candidates)."""
        still = (noise == 0.0).all(1, keepdim=True)
        count, steps = self.config.candidates, len(self.schedule)
        # Of one row: (T, candidates, A).
        drawn = torch.where(still, self.fixed_noise, noise).view(len(noise), steps, count, -1)
        inputs = self.normalise(observation)
        weights = self.published.tensors
        seen = (inputs @ weights["by_observation"])[:, None]
        times = self.network.time(weights, torch.arange(steps))

        def epsilon(action: Tensor, step: int) -> Tensor:
            return self.network(weights, action, seen + times[step])

        raw = denoise(self.schedule, epsilon, drawn.transpose(0, 1))
        executed = self.reach(raw, self.reach.previous(observation)[:, None])
        judged = torch.cat([inputs[:, None].expand(-1, count, -1), executed], -1).flatten(0, 1)
        targets, depth = self.critics.q.targets.tensors, len(self.config.hidden)
        return raw, critic_values(targets, depth, judged).amin(0).view(-1, count)

    def assess(self, batch: Batch, seed: int) -> Assessment:
        """See ``critic_health``."""
        return self.critics.assess(batch)

    def finite(self) -> bool:
        return bool(torch.isfinite(self.published.flat).all()) and self.critics.finite()

    def export(self, calibration_hash: str, version: int) -> bytes:
        """The published actor as an ONNX file."""
        return export_idql(self, calibration_hash, version)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Everything that learning changes, as arrays that share memory where they can."""
        return self._state().arrays()

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take over what ``arrays`` gave."""
        self._state().restore(arrays)

    def _state(self) -> State:
        parameters = {"actor": self.actor, "published": self.published}
        optimisers = {"actor": self.optimiser}
        return State(
            parameters | self.critics.parameters(),
            optimisers | self.critics.optimisers(),
            self.steps,
            self.generator,
        )
