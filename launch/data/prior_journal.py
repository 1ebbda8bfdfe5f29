"""Step rows as prior data: a journal, with the contract its rows are of beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from launch.data.excerpt import new_folder
from launch.data.recording import Recording
from learners.journal import Journal
from robot.contract import TaskContract
from robot.frame_file import write_atomically

CONTRACT: Final = "contract.json"
JOURNAL: Final = "imported.journal"
_ROWS: Final = 4096
"""Rows in one of a journal's frames."""


def export_journal(recording: Recording, out: Path) -> int:
    """A folder for ``--prior``; returns how many episodes."""
    write_prior(recording.steps, recording.contract, out)
    return len(recording.episodes)


def write_prior(rows: NDArray[np.void], contract: TaskContract, out: Path) -> None:
    """Write rows to a new folder. Their sequences are numbered through: a journal's have no gaps."""
    new_folder(out)
    numbered = rows.copy()
    numbered["sequence"] = np.arange(len(rows))
    journal = Journal(out / JOURNAL, contract.step_dtype())
    for first in range(0, len(rows), _ROWS):
        journal.append("imported", first, numbered[first : first + _ROWS])
    journal.close()
    write_atomically(out / CONTRACT, msgspec.json.encode(contract))
