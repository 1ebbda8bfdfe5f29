"""DrQ (Kostrikov et al. 2020, arXiv 2004.13649) after DrQ-v2 (Yarats et al. 2021, arXiv 2107.09645): soft
actor-critic from pictures.

1. Pictures are shifted at random by up to 4 pixels, those before and after a step each by themselves.
2. An encoder makes features of them, which critics and actor see beside the rest of the observation.
3. The encoder learns from the critics' error only: the actor's gradient stops at the features. Targets see
   the next pictures through the same encoder, as in DrQ-v2, not through a slower one, as in DrQ.

Critics, actor and temperature are ``Sac``'s, with the features as part of their observation. One deviation:
the last layer of the encoder (Linear, LayerNorm, tanh) is shared by critics and actor, where DrQ's actor has
one of its own. So a state is 50 numbers to everything that comes after the encoder.

As in DrQ there is an update of the actor with every one of the critics, also if ``updates_per_step`` is more
than one.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import torch
from numpy.typing import NDArray
from torch import Tensor

from learners.checkpoint import read_checkpoint
from learners.config import DrqConfig
from learners.encoder import Encoder, Network, merged
from learners.export_seeing import export_seeing_actor
from learners.random_shift import random_shift
from learners.sac import Assessment, Batch, Sac
from robot.contract import ObservationTerm, TaskContract
from robot.errors import ContractMismatchError, SandlotError
from robot.plain_data import differences

_ENCODER = "encoder"


class Drq:
    """An encoder before soft actor-critic."""

    def __init__(self, contract: TaskContract, config: DrqConfig, seed: int) -> None:
        if not contract.images:
            raise SandlotError(f"{contract.task}: drq learns from pictures, and the contract has no images")
        self.contract, self.config = contract, config
        watched = 0 if config.frozen_encoder else config.features
        self.sac = Sac(_felt(contract, config.features), config, seed, watched)
        self.slow, self.noise_size = self.sac.slow, self.sac.noise_size
        self.generator = self.sac.generator
        self.encoder = Encoder(
            Network(contract.images, config.filters, config.strides, config.features),
            config.learning_rate,
            config.actor_average,
            config.frozen_encoder,
            self.generator,
            self.sac.backend.kernels,
        )
        if config.encoder:
            self._load_encoder(Path(config.encoder))

    def update(self, batch: Batch) -> dict[str, float]:
        """As many updates of encoder, critics, actor and temperature as there are minibatches."""
        for g in range(len(batch.reward)):
            pictures, next_pictures = (
                tuple(random_shift(merged(stacks[g]), self.config.shift, self.generator) for stacks in images)
                for images in (batch.images, batch.next_images)
            )
            features = self.encoder(pictures)
            with torch.no_grad():
                next_features = self.encoder(next_pictures)
            felt = Batch(
                torch.cat([features.detach(), batch.observation[g]], -1)[None],
                batch.action[g : g + 1],
                batch.reward[g : g + 1],
                batch.discount[g : g + 1],
                torch.cat([next_features, batch.next_observation[g]], -1)[None],
            )
            metrics = self.sac.update(felt)
            if self.encoder.optimiser is not None:
                self.encoder.descend(features, self.sac.critics.by_inputs())
        return metrics

    def act(self, observation: Tensor, noise: Tensor, images: tuple[Tensor, ...] = ()) -> Tensor:
        """The published actor's raw actions through the published encoder, (N, A): see ``Algorithm``."""
        features = self.encoder.network(self.encoder.published.tensors, tuple(merged(i) for i in images))
        return self.sac.act(torch.cat([features, observation], -1), noise)

    def assess(self, batch: Batch, seed: int) -> Assessment:
        """What the critics say of one minibatch, G = 1, of pictures that are not shifted: see
        ``critic_health``."""
        with torch.no_grad():
            now, then = (
                self.encoder(tuple(merged(stacks[0]) for stacks in images))
                for images in (batch.images, batch.next_images)
            )
        felt = batch._replace(
            observation=torch.cat([now, batch.observation[0]], -1)[None],
            next_observation=torch.cat([then, batch.next_observation[0]], -1)[None],
        )
        return self.sac.assess(felt, seed)

    @property
    def entropy_bonus(self) -> tuple[float, float]:
        return self.sac.entropy_bonus

    def finite(self) -> bool:
        return self.sac.finite() and bool(torch.isfinite(self.encoder.published.flat).all())

    def export(self, calibration_hash: str, version: int) -> bytes:
        """The published encoder and actor as one ONNX file."""
        return export_seeing_actor(
            self.contract,
            self.encoder.network,
            self.encoder.published.tensors,
            self.sac.actor.published.tensors,
            len(self.config.hidden),
            calibration_hash,
            version,
        )

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Everything that learning changes, and the encoder even where it changes nothing."""
        arrays = self.sac.arrays() | {
            _ENCODER: self.encoder.parameters.flat.numpy(),
            f"{_ENCODER}.published": self.encoder.published.flat.numpy(),
        }
        if self.encoder.optimiser is not None:
            moments = self.encoder.optimiser.arrays()
            arrays |= {f"optimiser.{_ENCODER}.{key}": value for key, value in moments.items()}
        return arrays

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take over what ``arrays`` gave."""
        self.sac.restore(arrays)
        self.encoder.parameters.copy_(torch.from_numpy(arrays[_ENCODER]))
        self.encoder.published.copy_(torch.from_numpy(arrays[f"{_ENCODER}.published"]))
        if self.encoder.optimiser is not None:
            keys = self.encoder.optimiser.arrays()
            self.encoder.optimiser.restore({key: arrays[f"optimiser.{_ENCODER}.{key}"] for key in keys})

    def _load_encoder(self, path: Path) -> None:
        """Begin with the encoder of another learner's checkpoint, and with nothing else of it."""
        arrays, plain = read_checkpoint(path)
        ours, theirs = (
            {"images": contract.get("images"), **{name: config.get(name) for name in _ENCODER_SETTINGS}}
            for contract, config in (
                (self.contract.plain(), msgspec.to_builtins(self.config)),
                (plain["contract"], plain["config"]),
            )
        )
        lines = differences(ours, msgspec.json.decode(msgspec.json.encode(theirs)))
        if _ENCODER not in arrays or lines:
            raise ContractMismatchError(
                f"{path} has no encoder for these pictures and settings:\n  " + "\n  ".join(lines)
            )
        for parameters in (self.encoder.parameters, self.encoder.published):
            parameters.copy_(torch.from_numpy(arrays[_ENCODER]))


_ENCODER_SETTINGS = ("filters", "strides", "features")


def _felt(contract: TaskContract, features: int) -> TaskContract:
    """The contract as actor and critics see it: features in front of the observation, and no images."""
    names = tuple(map(str, range(features)))
    term = ObservationTerm(name="features", unit="1", scale=1.0, elements=names)
    return msgspec.structs.replace(contract, observation=(term, *contract.observation), images=())
