"""Several recordings of one task as one, with their episodes numbered through."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from launch.data.episode_about import episode_of, moved
from launch.data.excerpt import keep_manifest, new_folder
from launch.data.recording import COPIED_FROM, Recording
from robot.contract import require_same
from robot.errors import SandlotError
from robot.log_reader import numbered
from robot.log_repair import Message, rewrite
from robot.log_schema import CDR_HEADER
from robot.recorder import STEPS


def merge(recordings: Sequence[Recording], out: Path) -> int:
    """Write all of them to the folder ``out``, a file for each of theirs; returns how many messages that is.

    Episodes and the rows' sequences go on where those of the recording before end. Times stay as they were
    measured: each recording has its own clock, and its files say which recording they were copied from.
    Raises ContractMismatchError unless all are of one task.
    """
    if len(recordings) < 2:
        raise SandlotError("merge needs at least two recordings; one alone is complete as it is")
    for other in recordings[1:]:
        require_same(recordings[0].contract, other.contract, str(other.path))
    new_folder(out)
    count = files = episode = sequence = 0
    for number, recording in enumerate(recordings):
        rows = recording.steps
        edit = _moved(
            recording.contract.step_dtype(),
            episode - (int(rows["episode"].min()) if len(rows) else 0),
            sequence - (int(rows["sequence"].min()) if len(rows) else 0),
        )
        for file in recording.files:
            about = {COPIED_FROM: f"{number} {recording.path.resolve().name}"}
            count += rewrite(file, numbered(out, files), edit, about)
            files += 1
        if len(rows):
            episode += int(rows["episode"].max()) - int(rows["episode"].min()) + 1
            sequence += int(rows["sequence"].max()) - int(rows["sequence"].min()) + 1
    keep_manifest(recordings[0].path, out)
    return count


def _moved(dtype: np.dtype[np.void], episodes: int, sequences: int) -> Callable[[Message], Message]:
    def edit(message: Message) -> Message:
        if episode_of(message) is not None:
            return moved(message, episodes)
        if message.topic != STEPS:
            return message
        row = np.frombuffer(message.data, dtype, 1, len(CDR_HEADER)).copy()
        row["episode"] = row["episode"].astype(np.int64) + episodes
        row["sequence"] = row["sequence"].astype(np.int64) + sequences
        return replace(message, data=message.data[: len(CDR_HEADER)] + row.tobytes())

    return edit
