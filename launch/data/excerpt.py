"""Some of a recording's episodes as a recording of its own."""

from __future__ import annotations

import shutil
from collections.abc import Set
from pathlib import Path

import numpy as np

from launch.data.episode_about import episode_of
from launch.data.recording import Recording
from launch.manifest import FILE as MANIFEST
from robot.errors import SandlotError
from robot.log_reader import numbered
from robot.log_repair import Message, messages, rewrite
from robot.log_schema import CDR_HEADER
from robot.recorder import STEPS


def split(recording: Recording, episodes: Set[int], out: Path) -> int:
    """Write to the folder ``out`` the rows of these episodes, and all else from within their time; returns
    how many messages that is. Times, numbers and sequences stay as they are."""
    new_folder(out)
    spans = np.array([(e.start_ns, e.end_ns) for e in recording.episodes if e.number in episodes], np.int64)
    dtype, head = recording.contract.step_dtype(), len(CDR_HEADER)

    def within(message: Message) -> Message | None:
        if message.topic == STEPS:
            row = np.frombuffer(message.data, dtype, 1, head)[0]
            return message if int(row["episode"]) in episodes else None
        about = episode_of(message)
        if about is not None:  # a label comes after what it is about
            return message if about in episodes else None
        time = message.log_time_ns
        return message if np.any((spans[:, 0] <= time) & (time <= spans[:, 1])) else None

    count = files = 0
    for file in recording.files:
        if any(within(message) for message in messages(file)):
            count += rewrite(file, numbered(out, files), within)
            files += 1
    keep_manifest(recording.path, out)
    return count


def new_folder(out: Path) -> None:
    """Make it. Raises SandlotError if something is there."""
    if out.exists():
        raise SandlotError(f"{out} exists; choose another name")
    out.mkdir(parents=True)


def keep_manifest(source: Path, out: Path) -> None:
    """So that reports and courses can be made of the copy."""
    if (source / MANIFEST).exists():
        shutil.copyfile(source / MANIFEST, out / MANIFEST)
