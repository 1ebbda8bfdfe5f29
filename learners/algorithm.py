"""What a learner learns with, and which one its settings ask for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from numpy.typing import NDArray
from torch import Tensor

from learners.avtd import Avtd
from learners.avtd_config import AvtdConfig
from learners.bc import Bc
from learners.config import DrqConfig, LearnerConfig
from learners.device_drq import DeviceDrq
from learners.device_sac import DeviceSac, ready_device
from learners.drq import Drq
from learners.idql import Idql
from learners.iql import Iql
from learners.offline_config import AlgorithmConfig, BcConfig, IdqlConfig, IqlConfig
from learners.sac import Batch, Sac
from robot.contract import TaskContract
from robot.errors import SandlotError, SpecError


class Algorithm(Protocol):
    """Networks, their optimisers and a generator of noise. No rows, no threads of its own, no files."""

    slow: str | None
    """A line for a person if updates are slower than they could be on this machine."""
    noise_size: int
    """Standard normal numbers that one stochastic action takes."""

    def update(self, batch: Batch) -> dict[str, float]:
        """What one environment step earns: as many updates as there are minibatches. Returns metrics."""
        ...

    def act(self, observation: Tensor, noise: Tensor, images: tuple[Tensor, ...] = ()) -> Tensor:
        """The published actor's raw actions in [-1, 1], (N, A), as the exported file's. ``observation``: in
        physical units, (N, O); ``noise``: standard normal, (N, noise_size), zeros for the deterministic
        policy; ``images``: for each camera (N, stack, height, width, channels), uint8."""
        ...

    def finite(self) -> bool:
        """Whether everything that is exported is finite: learning has not diverged."""
        ...

    def export(self, calibration_hash: str, version: int) -> bytes:
        """The published actor as an ONNX file (``export.py``)."""
        ...

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Everything that learning changes, as arrays that share memory where they can."""
        ...

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take over what ``arrays`` gave."""
        ...


@runtime_checkable
class Constrained(Protocol):
    """An algorithm that keeps costs to limits."""

    multipliers: tuple[float, ...]
    """What each constraint's cost is charged from now on."""


@runtime_checkable
class Growing(Protocol):
    """An algorithm that can be kept to a part of the action range."""

    action_share: float
    """Of the way from the neutral action to the range's ends, from now on."""


def make_algorithm(contract: TaskContract, config: AlgorithmConfig, seed: int) -> Algorithm:
    """The algorithm whose settings these are, new. Raises SandlotError if there is no such device here,
    SpecError if it cannot make these updates."""
    if contract.images and not isinstance(config, DrqConfig):
        raise SandlotError(f"{contract.task} has images; of the algorithms drq learns from them")
    if config.device != "cpu":
        return _on_device(contract, _of_a_device(config), seed)
    match config:
        case AvtdConfig():  # a LearnerConfig, too
            return Avtd(contract, config, seed)
        case DrqConfig():
            return Drq(contract, config, seed)
        case LearnerConfig():
            return Sac(contract, config, seed)
        case BcConfig():
            return Bc(contract, config, seed)
        case IqlConfig():
            return Iql(contract, config, seed)
        case IdqlConfig():
            return Idql(contract, config, seed)


def require_device(config: AlgorithmConfig) -> None:
    """Raise SandlotError unless the device that is asked for is here, SpecError unless it can make these
    updates: long before the first of them is due."""
    if config.device != "cpu":
        ready_device(_of_a_device(config))


def _on_device(contract: TaskContract, config: LearnerConfig, seed: int) -> Algorithm:
    if isinstance(config, DrqConfig):
        return DeviceDrq(contract, config, seed)
    return DeviceSac(contract, config, seed)


def _of_a_device(config: AlgorithmConfig) -> LearnerConfig:
    if isinstance(config, LearnerConfig) and not isinstance(config, AvtdConfig):
        return config
    raise SpecError(
        f"learner: device {config.device} is for rlpd and its relatives; got {type(config).__name__}; "
        "learn on the processor with device=cpu"
    )
