"""A training run's folder: what lies in it under which name, and what is copied into a new one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from learners.checkpoint import copy_newest, has_checkpoint
from learners.config import DrqConfig
from learners.environments.minari_prior import PREFIX, copy_minari
from learners.environments.prior_folder import copy_prior
from learners.environments.settings import (
    IMAGE_STACK,
    TrainingSettings,
    read_settings,
    require_same_settings,
    write_settings,
)
from learners.initial_networks import find_checkpoint
from robot.contract import TaskContract
from robot.errors import SandlotError, SpecError
from robot.frame_file import write_atomically


@dataclass(frozen=True)
class RunFolder:
    path: Path

    @property
    def settings(self) -> Path:
        """It is a run's folder once this file is there."""
        return self.path / "settings.toml"

    @property
    def contract(self) -> Path:
        return self.path / "contract.json"

    @property
    def curve(self) -> Path:
        return self.path / "curve.csv"

    @property
    def policy(self) -> Path:
        """The one that was evaluated last."""
        return self.path / "policy.onnx"

    @property
    def journal(self) -> Path:
        return self.path / "rows.journal"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def frames(self) -> Path:
        return self.path / "frames"

    @property
    def prior(self) -> Path:
        return self.path / "prior"

    @property
    def initial(self) -> Path:
        """Whose networks to begin with, if there are any."""
        return self.path / "initial"

    @property
    def encoder(self) -> Path:
        """Whose encoder to begin with, if there is one."""
        return self.path / "encoder"

    @property
    def tensorboard(self) -> Path:
        return self.path / "tensorboard"

    @property
    def has_checkpoint(self) -> bool:
        return has_checkpoint(self.checkpoints)

    def require(self, settings: TrainingSettings) -> bool:
        """Whether it is a run with these settings already; False if it is none. Raises
        ContractMismatchError if its settings are others."""
        if not self.settings.exists():
            return False
        require_same_settings(settings, read_settings(self.settings), self.path)
        return True

    def fill(
        self,
        settings: TrainingSettings,
        contract: TaskContract,
        prior: Path | None,
        initial: Path | None,
        tell: Callable[[str], None],
    ) -> None:
        """Copy what a new run with an environment of this ``contract`` begins with. Raises SpecError if it is
        to stack pictures that the environment does not show, SandlotError if prior data are missing or of no
        use."""
        if not contract.images and settings.image_stack != IMAGE_STACK:
            raise SpecError(
                f"training: {settings.environment} shows no picture; leave out image_stack = "
                f"{settings.image_stack} (--image-stack)"
            )
        if prior is None and settings.learner.prior_only:
            raise SandlotError(
                "this algorithm imitates and does not practise: give a folder of journals with what it is to "
                "imitate (--prior)"
            )
        if prior is None and settings.offline_steps:
            raise SandlotError("offline learning is from prior data: give a folder of journals (--prior)")
        if prior is not None and contract.images:
            raise SandlotError(f"{prior}: journals hold no pictures; learn without prior data")
        if prior is not None:
            name = str(prior)
            if name.startswith(PREFIX):
                copy_minari(name.removeprefix(PREFIX), contract, self.prior)
            else:
                copy_prior(prior, self.prior, contract, tell)
        if initial is not None:
            copy_newest(find_checkpoint(initial), self.initial)
        learner = settings.learner
        if isinstance(learner, DrqConfig) and learner.encoder:
            copy_newest(Path(learner.encoder), self.encoder)

    def write_settings(self, settings: TrainingSettings) -> None:
        write_settings(self.settings, settings)

    def write_contract(self, contract: TaskContract) -> None:
        write_atomically(self.contract, msgspec.json.format(msgspec.json.encode(contract)))

    def read_contract(self) -> TaskContract:
        return msgspec.json.decode(self.contract.read_bytes(), type=TaskContract)
