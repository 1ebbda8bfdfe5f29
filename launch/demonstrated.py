"""``sandlot practice --demo``: what a person drove before, as a new learner's prior data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from launch.data.recording import Recording, open_recording, recordings_below
from launch.session import Session
from learners.journal import Journal
from learners.prior_data import PRIOR_ACTORS
from robot.contract import require_same
from robot.errors import SandlotError
from robot.recorder import EVENTS, STEPS

Rows = NDArray[np.void]


def hand_over(session: Session, folders: Sequence[Path]) -> tuple[int, int]:
    """Put every episode that a person or a script drove, and nobody dropped, into the journal that the
    session's learner begins with; returns how many episodes and rows. ``folders``: sets of demonstrations,
    runs or logs. Raises SandlotError if there is none, ContractMismatchError for those of another task."""
    found: list[Rows] = []
    for folder in folders:
        for path in recordings_below(folder):
            recording = open_recording(path, [STEPS, EVENTS])
            require_same(session.contract, recording.contract, str(path))
            found += demonstrated(recording)
    if not found:
        shown = ", ".join(map(str, folders))
        raise SandlotError(f"nobody drove in {shown}; record a set with sandlot teleop --record FOLDER")
    journal = Journal(session.learner / "journal" / "rows.journal", session.contract.step_dtype())
    for number, rows in enumerate(found):
        numbered = rows.copy()
        numbered["sequence"] = np.arange(len(rows))
        # Each a session of its own, so that no episode is taken for the next one's beginning.
        journal.append(f"demo-{number}", 0, numbered)
    journal.close()
    return len(found), sum(map(len, found))


def demonstrated(recording: Recording) -> list[Rows]:
    """The rows of each such episode."""
    return [
        recording.steps[episode.rows]
        for episode, about in zip(recording.episodes, recording.about, strict=True)
        if episode.steps and not about.dropped and set(episode.actors) <= set(PRIOR_ACTORS)
    ]
