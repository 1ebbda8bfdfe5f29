"""``Drq`` whose updates are made on a device: a GPU."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from numpy.typing import NDArray
from torch import Tensor

from learners.config import DrqConfig
from learners.device_sac import fresh_seed, mirrored, ready_device
from learners.device_update import METRICS, DeviceUpdate, Draws
from learners.drq import Drq
from learners.encoder import merged
from learners.engine.device_adam import DeviceAdam
from learners.engine.mirror import Mirror
from learners.engine.parameters import Parameters
from learners.engine.recorded import Recorded
from learners.random_shift import shift
from learners.sac import Assessment, Batch, require_batch_size
from robot.contract import TaskContract


class SeeingDraws(NamedTuple):
    """Everything random in one update from pictures."""

    shifts: Tensor  # (2, cameras, 2, B), int64: of pictures now and then, downwards and to the right [pixels]
    felt: Draws

    @classmethod
    def of(cls, config: DrqConfig, cameras: int, actions: int, generator: torch.Generator) -> SeeingDraws:
        """Drawn by ``generator``, on its device."""
        size, end = (2, cameras, 2, config.batch), config.shift + 1
        shifts = torch.randint(-config.shift, end, size, generator=generator, device=generator.device)
        return cls(shifts, Draws.of(config, 1, actions, generator))


class DeviceDrq(Drq):
    """What is learned is what ``Drq`` learns but for rounding and other random numbers: see ``DeviceSac``."""

    def __init__(self, contract: TaskContract, config: DrqConfig, seed: int) -> None:
        """Raises SandlotError if there is no such device here, SpecError if it cannot make these updates."""
        device = ready_device(config)
        super().__init__(contract, config, seed)
        self.slow = self.sac.slow = None
        self._there = DeviceUpdate(self.sac.contract, config, device)
        parameters, optimisers = mirrored(self.sac, self._there)
        shapes = self.encoder.network.shapes
        with device:
            self._encoder, self._published_encoder = Parameters(shapes), Parameters(shapes)
        parameters["encoder"] = self.encoder.parameters, self._encoder
        parameters["published_encoder"] = self.encoder.published, self._published_encoder
        self._encoder_optimiser: DeviceAdam | None = None
        if self.encoder.optimiser is not None:
            self._encoder_optimiser = DeviceAdam(self._encoder, config.learning_rate)
            optimisers["encoder"] = self.encoder.optimiser, self._encoder_optimiser
        self._mirror, self._optimisers = Mirror(parameters, optimisers), optimisers
        self._draw = torch.Generator(device)
        self.recorded: dict[int, tuple[Batch, Tensor, Recorded]] = {}
        """By the number of minibatches, what they and target entropies are copied into and the updates."""

    def update(self, batch: Batch) -> dict[str, float]:
        require_batch_size(batch, self.config.batch)
        updates = len(batch.reward)
        inputs, target_entropy, recorded = self.recorded.get(updates) or self._record(batch)
        self._mirror.push()
        for ours, theirs in zip(_tensors(inputs), _tensors(batch), strict=True):
            ours.copy_(theirs, non_blocking=True)
        wanted = []
        for _ in range(updates):
            wanted.append(self.sac.target_entropy)
            self.sac.steps += 1
        target_entropy.copy_(torch.tensor(wanted))
        self._draw.manual_seed(fresh_seed(self.generator))
        found = recorded.run()
        for optimiser, _ in self._optimisers.values():
            optimiser.count(updates)
        self._mirror.changed_there()
        self._mirror.pull("log_temperature")
        metrics = dict(zip(METRICS, found.tolist(), strict=True))
        return metrics | {"temperature": self.sac.temperature.value}

    def act(self, observation: Tensor, noise: Tensor, images: tuple[Tensor, ...] = ()) -> Tensor:
        self._mirror.pull("published", "published_encoder")
        return super().act(observation, noise, images)

    def finite(self) -> bool:
        self._mirror.pull("published", "published_encoder")
        return super().finite()

    def export(self, calibration_hash: str, version: int) -> bytes:
        self._mirror.pull("published", "published_encoder")
        return super().export(calibration_hash, version)

    def assess(self, batch: Batch, seed: int) -> Assessment:
        self._mirror.pull()
        return super().assess(batch, seed)

    def arrays(self) -> dict[str, NDArray[Any]]:
        self._mirror.pull()
        return super().arrays()

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        super().restore(arrays)
        self._mirror.changed_here()

    def _record(self, batch: Batch) -> tuple[Batch, Tensor, Recorded]:
        """As many updates as there are minibatches."""
        self._mirror.pull()
        device = self._draw.device

        def room(part: Tensor) -> Tensor:
            return torch.zeros_like(part, device=device)

        images, next_images = (tuple(map(room, found)) for found in (batch.images, batch.next_images))
        inputs = Batch(*map(room, batch[:5]))._replace(images=images, next_images=next_images)
        target_entropy = torch.zeros(len(batch.reward), device=device)

        def work() -> Tensor:
            for g in range(len(inputs.reward)):
                draws = SeeingDraws.of(self.config, len(images), self.sac.actions, self._draw)
                found = self._update(inputs, g, draws, target_entropy[g])
            return found

        self.recorded[len(batch.reward)] = made = inputs, target_entropy, Recorded(work, self._draw)
        self._mirror.changed_here()  # trying it has spoilt the device's
        return made

    def _update(self, batch: Batch, g: int, draws: SeeingDraws, target_entropy: Tensor) -> Tensor:
        """One update of encoder, critics, actor and temperature."""
        now, then = (
            tuple(self._shifted(stacks[g], offsets) for stacks, offsets in zip(images, moves, strict=True))
            for images, moves in zip((batch.images, batch.next_images), draws.shifts, strict=True)
        )
        optimiser = self._encoder_optimiser
        weights = self._encoder.tensors if optimiser is None else optimiser.leaves
        features = self.encoder.network(weights, now)
        with torch.no_grad():
            next_features = self.encoder.network(weights, then)
        felt = Batch(
            torch.cat([features, batch.observation[g]], -1)[None],
            batch.action[g : g + 1],
            batch.reward[g : g + 1],
            batch.discount[g : g + 1],
            torch.cat([next_features, batch.next_observation[g]], -1)[None],
        )
        metrics = self._there.run(felt, draws.felt, target_entropy, optimiser)
        if optimiser is not None:
            with torch.no_grad():
                self._published_encoder.flat.lerp_(self._encoder.flat, self.config.actor_average)
        return metrics

    def _shifted(self, stacks: Tensor, offsets: Tensor) -> Tensor:
        """Pictures (B, height, width, stack * channels) of stacks, moved by (2, B) pixels."""
        pictures = merged(stacks)
        return shift(pictures, offsets[0], offsets[1]) if self.config.shift else pictures


def _tensors(batch: Batch) -> tuple[Tensor, ...]:
    return (*batch[:5], *batch.images, *batch.next_images)
