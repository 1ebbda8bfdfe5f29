"""``Sac`` whose updates are made on a device: a GPU."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from learners.config import LearnerConfig
from learners.device_update import METRICS, DeviceUpdate, Draws
from learners.engine.mirror import Mirror
from learners.engine.recorded import Recorded
from learners.sac import Assessment, Batch, Sac, require_batch_size
from robot.contract import TaskContract
from robot.errors import SandlotError, SpecError


class DeviceSac(Sac):
    """What is learned is what ``Sac`` learns, but for rounding and other random numbers; ``matmul`` bfloat16
    means TF32's 10 bits of mantissa here. Host and device have the same in the same layout."""

    def __init__(self, contract: TaskContract, config: LearnerConfig, seed: int) -> None:
        """Raises SandlotError if there is no such device here, SpecError if it cannot make these updates."""
        device = ready_device(config)
        super().__init__(contract, config, seed)
        self.slow = None
        self._there = DeviceUpdate(contract, config, device)
        self._mirror = Mirror(*mirrored(self, self._there))
        self._draw = torch.Generator(device)
        self._target_entropy = torch.zeros((), device=device)
        self.recorded: dict[int, tuple[Batch, Recorded]] = {}
        """By the number of minibatches, what they are copied into and the update with them."""

    def update(self, batch: Batch) -> dict[str, float]:
        require_batch_size(batch, self.config.batch)
        updates = len(batch.reward)
        inputs, recorded = self.recorded.get(updates) or self._record(batch)
        self._mirror.push()
        for ours, theirs in zip(inputs[:5], batch[:5], strict=True):
            ours.copy_(theirs, non_blocking=True)
        self._target_entropy.fill_(self.target_entropy)
        self._draw.manual_seed(fresh_seed(self.generator))
        found = recorded.run()
        self.critics.optimiser.count(updates)
        for optimiser in (self.actor.optimiser, self.temperature.optimiser):
            optimiser.count(1)
        self.steps += 1
        self._mirror.changed_there()
        self._mirror.pull("log_temperature")
        return dict(zip(METRICS, found.tolist(), strict=True)) | {"temperature": self.temperature.value}

    def act(self, observation: Tensor, noise: Tensor, images: tuple[Tensor, ...] = ()) -> Tensor:
        self._mirror.pull("published")
        return super().act(observation, noise, images)

    def finite(self) -> bool:
        self._mirror.pull("published")
        return super().finite()

    def export(self, calibration_hash: str, version: int) -> bytes:
        self._mirror.pull("published")
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

    def _record(self, batch: Batch) -> tuple[Batch, Recorded]:
        """An update with as many minibatches."""
        self._mirror.pull()
        inputs = Batch(*(torch.zeros_like(part, device=self._draw.device) for part in batch[:5]))

        def work() -> Tensor:
            draws = Draws.of(self.config, len(inputs.reward), self.actions, self._draw)
            return self._there.run(inputs, draws, self._target_entropy)

        self.recorded[len(batch.reward)] = found = inputs, Recorded(work, self._draw)
        self._mirror.changed_here()  # trying it has spoilt the device's
        return found


def ready_device(config: LearnerConfig) -> torch.device:
    """The device that is asked for, its products in the precision that is. Raises SandlotError if it is not
    there, SpecError if it cannot make these updates."""
    device = torch.device(config.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise SandlotError(
            f"device {config.device}: torch {torch.__version__} sees no CUDA device here; install torch with "
            "CUDA and NVIDIA's driver, or learn on the processor with device=cpu"
        )
    if config.spectral_norm or config.constraints or config.growth.restricts:
        raise SpecError(
            f"learner: device {config.device} makes updates without spectral_norm, constraints and growth; "
            "leave them out, or learn on the processor with device=cpu"
        )
    if device.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = config.matmul == "bfloat16"
        torch.backends.cudnn.allow_tf32 = config.matmul == "bfloat16"
    return device


def mirrored(sac: Sac, there: DeviceUpdate) -> tuple[dict[str, Any], dict[str, Any]]:
    """The parameters and optimisers of both."""
    parameters = {
        "actor": (sac.actor.parameters, there.actor),
        "published": (sac.actor.published, there.published),
        "critics": (sac.critics.parameters, there.critics),
        "targets": (sac.critics.targets, there.targets),
        "log_temperature": (sac.temperature.parameters, there.log_temperature),
    }
    optimisers = {
        "actor": (sac.actor.optimiser, there.actor_optimiser),
        "critics": (sac.critics.optimiser, there.critic_optimiser),
        "temperature": (sac.temperature.optimiser, there.temperature_optimiser),
    }
    return parameters, optimisers


def fresh_seed(generator: torch.Generator) -> int:
    """Of a device's generator: what is drawn there follows from the host's, which a checkpoint has."""
    return int(torch.randint(2**63 - 1, (), generator=generator))
