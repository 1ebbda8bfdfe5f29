"""AVTD (Li et al. 2023, arXiv 2304.10466): learn with several regularisers at once, and act with the one
whose critics are best on episodes that none was trained on.

Which regulariser helps differs from task to task, and the temporal-difference error on held-out episodes
tells: it goes with the return where nothing measured on the training data does. All candidates learn from the
same minibatches, which the acting one's experience fills.

Two deviations. The error is divided by the variance of the target (``critic_health.td_error``): by the error
itself a critic whose values are small would win. And it is smoothed over several looks, since one minibatch
is noisy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from learners.avtd_config import AvtdConfig
from learners.config import LearnerConfig
from learners.critic_health import td_error
from learners.sac import Assessment, Batch, Sac
from robot.contract import TaskContract

SMOOTHING: Final = 0.2
"""Weight of the newest error in its running average."""


def smoothed(average: float, error: float) -> float:
    """The running average with one more error; NaN is none yet."""
    if np.isnan(average):
        return error
    return average + SMOOTHING * (error - average)


def choose(averages: Sequence[float], active: int) -> int:
    """The candidate with the least average; the active one until there is any, and where it is as good."""
    known = np.where(np.isnan(averages), np.inf, averages)
    best = int(np.argmin(known))
    return best if known[best] < known[active] else active


class Avtd:
    """See ``algorithm.Algorithm``, ``critic_health.Assessable``, ``Constrained`` and ``Growing``."""

    def __init__(self, contract: TaskContract, config: AvtdConfig, seed: int) -> None:
        self.config = config
        self.candidates = tuple(
            Sac(contract, _candidate(config, k), seed) for k in range(len(config.regularisers))
        )
        """Begun alike and each with the same seed: they differ in their regularisers only. Dropout's masks
        are drawn with it, too, so that all noise of that candidate is another from the first update on."""
        self.slow, self.noise_size = self.candidates[0].slow, self.candidates[0].noise_size
        self.averages = np.full(len(self.candidates), np.nan)
        """Of each one's held-out errors."""
        self.active = 0
        """Which one acts."""

    @property
    def acting(self) -> Sac:
        return self.candidates[self.active]

    @property
    def entropy_bonus(self) -> tuple[float, float]:
        return self.acting.entropy_bonus

    @property
    def multipliers(self) -> tuple[float, ...]:
        return self.acting.multipliers

    @multipliers.setter
    def multipliers(self, values: tuple[float, ...]) -> None:
        for candidate in self.candidates:
            candidate.multipliers = values

    @property
    def action_share(self) -> float:
        return self.acting.action_share

    @action_share.setter
    def action_share(self, share: float) -> None:
        for candidate in self.candidates:
            candidate.action_share = share

    def update(self, batch: Batch) -> dict[str, float]:
        """An update of every candidate on the same minibatches. The active one's metrics, and who it is."""
        found = [candidate.update(batch) for candidate in self.candidates]
        if not self.acting.finite():
            self._give_up()
        errors = {
            f"held_out_error_{regulariser.name.replace(' ', '_')}": float(average)
            for regulariser, average in zip(self.config.regularisers, self.averages, strict=True)
            if not np.isnan(average)
        }
        return found[self.active] | errors | {"active": float(self.active)}

    def _give_up(self) -> None:
        """Leave the active candidate, which has diverged, for the best of those that have not, if any has
        not: the next look may be a hundred updates away."""
        sound = [k for k, candidate in enumerate(self.candidates) if candidate.finite()]
        if sound:
            averages = [self.averages[k] for k in sound]
            self.active = sound[choose(averages, 0)]

    def assess(self, batch: Batch, seed: int) -> Assessment:
        """Judge every candidate by a held-out minibatch, and go over to the best."""
        found = [candidate.assess(batch, seed) for candidate in self.candidates]
        for k, assessment in enumerate(found):
            self.averages[k] = smoothed(self.averages[k], td_error(assessment))
        self.active = choose(self.averages.tolist(), self.active)
        return found[self.active]

    def act(self, observation: Tensor, noise: Tensor, images: tuple[Tensor, ...] = ()) -> Tensor:
        return self.acting.act(observation, noise, images)

    def finite(self) -> bool:
        return self.acting.finite()

    def export(self, calibration_hash: str, version: int) -> bytes:
        return self.acting.export(calibration_hash, version)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Everything that learning changes."""
        arrays = {
            f"candidate{k}.{name}": array
            for k, candidate in enumerate(self.candidates)
            for name, array in candidate.arrays().items()
        }
        return arrays | {"averages": self.averages, "active": torch.tensor(self.active).numpy()}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take over what ``arrays`` gave."""
        for k, candidate in enumerate(self.candidates):
            candidate.restore({name: arrays[f"candidate{k}.{name}"] for name in candidate.arrays()})
        self.averages[:] = arrays["averages"]
        self.active = int(arrays["active"])


def _candidate(config: AvtdConfig, number: int) -> LearnerConfig:
    """One candidate's settings, without those of choosing."""
    regulariser = config.regularisers[number]
    common = {name: getattr(config, name) for name in LearnerConfig.__struct_fields__}
    return msgspec.structs.replace(
        LearnerConfig(**common),
        layer_norm=regulariser.layer_norm,
        dropout=regulariser.dropout,
        weight_decay=regulariser.weight_decay,
        spectral_norm=regulariser.spectral_norm,
    )
