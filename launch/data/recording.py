"""A recorded session: one log file, or a folder with the files of one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from launch.data.episode import Episode, episodes_of
from launch.data.episode_about import EpisodeAbout, about
from robot.contract import TaskContract
from robot.errors import SandlotError, SpecError
from robot.log_reader import Log, log_files, read_log
from robot.messages import Actor
from robot.plain_data import decode_struct
from robot.recorder import STEPS
from robot.spec import RobotSpec

Rows = NDArray[np.void]
T = TypeVar("T")
COPIED_FROM = "copied_from"
"""In the metadata of a file that came from another recording: which. Each has a clock of its own."""


@dataclass(frozen=True)
class Recording:
    """``path``: as it was asked for; ``files``: in order."""

    path: Path
    files: tuple[Path, ...]
    log: Log

    @cached_property
    def contract(self) -> TaskContract:
        """The task's. Raises SandlotError if the log does not say."""
        return _described(self, "contract", TaskContract)

    @cached_property
    def spec(self) -> RobotSpec:
        """The robot as it was. Raises SandlotError if the log does not say."""
        return _described(self, "spec", RobotSpec)

    @cached_property
    def steps(self) -> Rows:
        """Step rows, (n,); none if nothing acted."""
        rows: Rows | None = self.log.arrays.get(STEPS)
        return np.zeros(0, self.contract.step_dtype()) if rows is None else rows

    @cached_property
    def episodes(self) -> list[Episode]:
        return episodes_of(self.steps)

    @cached_property
    def about(self) -> list[EpisodeAbout]:
        """Of each of its ``episodes``."""
        return about(self.log, self.episodes)

    @property
    def bytes(self) -> int:
        """On the disk."""
        return sum(file.stat().st_size for file in self.files)


def files_of(path: Path) -> tuple[Path, ...]:
    """The log files of a run's folder, or the one file. Raises SandlotError if there are none."""
    # A courier that was killed while making its log leaves an empty file.
    files = tuple(f for f in log_files(path) if f.stat().st_size) if path.is_dir() else (path,)
    if not files or not files[0].exists():
        raise SandlotError(
            f"no log at {path}; give a run's folder or a log.mcap (sandlot data ls finds them)"
        )
    return files


def open_recording(path: Path, topics: Sequence[str] | None = None) -> Recording:
    """Read it; ``topics`` restricts what is kept. Raises SandlotError if nothing in it can be read."""
    files = files_of(path)
    return Recording(path, files, read_log(path, topics))


def recordings_below(folder: Path) -> Iterator[Path]:
    """Every folder with a log, and every other log file, at ``folder`` or below it, in order."""
    if folder.is_file():
        yield folder
        return
    found: set[Path] = set()
    for file in sorted(folder.rglob("*.mcap")):
        if any(part.startswith(".") for part in file.relative_to(folder).parts):
            continue
        whole = file.parent if file in log_files(file.parent) else file
        if not any(parent.is_symlink() for parent in (whole, *whole.parents)) and whole not in found:
            found.add(whole)
            yield whole


def actor_names(actors: Sequence[int]) -> str:
    """``policy, human``."""
    return ", ".join(Actor(a).name.lower() if a in set(Actor) else str(a) for a in actors)


def _described(recording: Recording, key: str, kind: type[T]) -> T:
    text = recording.log.metadata.get(key)
    if text is None:
        raise SandlotError(f"{recording.path} does not say its {key}; is it a session's log?")
    try:
        return decode_struct(msgspec.json.decode(text), kind, str(recording.path))
    except (SpecError, msgspec.DecodeError) as error:
        raise SandlotError(f"{error}; the log is of another version, read it with that one") from None
