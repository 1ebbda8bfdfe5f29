"""What a training run was asked for; kept with it as ``settings.toml``."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Final

import msgspec
import tomli_w

from learners.offline_config import AlgorithmConfig
from robot.errors import ContractMismatchError, SpecError
from robot.frame_file import write_atomically
from robot.layout import Struct
from robot.plain_data import decode_struct, differences

IMAGE_STACK: Final = 3
"""Unless asked for otherwise, which is refused where there is no picture."""


class TrainingSettings(Struct):
    """Everything is counted in steps of the environment, or of the offline phase while it lasts."""

    environment: str
    """Its name, for people and for the contract."""
    algorithm: str
    """Its name, for people: ``learner`` is what counts."""
    learner: AlgorithmConfig
    """Its ``warmup`` is how many random steps come first, prior data not counted."""
    steps: int = 100_000
    """Steps of the environment, after the offline phase."""
    offline_steps: int = 0
    """Update steps on the prior data alone before the first step of the environment. There are no random
    steps then: whatever this phase has learned acts from the first one on."""
    seed: int = 0
    """Decides everything that happens, in an environment that is deterministic once it is seeded."""
    evaluate_every: int = 5_000
    evaluation_episodes: int = 10
    checkpoint_every: int = 5_000
    """A checkpoint is written at the first end of an episode after so many steps: an environment cannot be
    stored in the middle of one."""
    longest_episode: int = 10_000
    """Episodes are truncated here, should the environment itself never end them."""
    image_stack: int = IMAGE_STACK
    """Pictures that a network sees, where the environment shows any."""
    pixels: int = 0
    """Side of the square picture that dm_control shows in place of its numbers; 0: the numbers."""
    normalise: bool = True
    """Give the learner observations less their mean, divided by their standard deviation, both measured once,
    on the random steps and the prior data; off, or beside pictures: as the environment gives them."""

    def __post_init__(self) -> None:
        counts = (
            "image_stack",
            "evaluate_every",
            "evaluation_episodes",
            "checkpoint_every",
            "longest_episode",
        )
        wrong = [f"{name} = {getattr(self, name)}" for name in counts if getattr(self, name) < 1]
        if wrong or self.seed < 0:
            raise SpecError(
                f"training: counts must be at least 1, the seed 0; got {', '.join(wrong) or self.seed}"
            )
        if min(self.steps, self.offline_steps) < 0 or self.steps + self.offline_steps < 1:
            raise SpecError(
                f"training: at least one step is needed, of the environment or offline; got steps = "
                f"{self.steps}, offline_steps = {self.offline_steps}"
            )


def read_settings(path: Path) -> TrainingSettings:
    """Raises SpecError that says where if they cannot be read."""
    if not path.is_file():
        raise SpecError(f"{path.parent} is no run's folder: there is no {path.name}")
    try:
        plain = tomllib.loads(path.read_text())
    except tomllib.TOMLDecodeError as error:
        raise SpecError(f"{path} cannot be read: {error}") from None
    return decode_struct(plain, TrainingSettings, str(path))


def write_settings(path: Path, settings: TrainingSettings) -> None:
    write_atomically(path, tomli_w.dumps(msgspec.to_builtins(settings)).encode())


def require_same_settings(ours: TrainingSettings, found: TrainingSettings, directory: Path) -> None:
    """Raise ContractMismatchError unless only ``steps`` and what computes (``config.OF_THE_MACHINE``) differ,
    which may be changed at any time."""
    lines = differences(_of_what_is_learned(ours), _of_what_is_learned(found))
    if lines:
        raise ContractMismatchError(
            f"{directory} is a run with other settings; continue it with those or take a new folder:\n  "
            + "\n  ".join(lines)
        )


def _of_what_is_learned(settings: TrainingSettings) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(msgspec.structs.replace(settings, steps=1))
    return plain | {"learner": settings.learner.of_what_is_learned()}
