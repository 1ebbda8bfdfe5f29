"""A recording's episodes as datasets have them: T actions between T or T + 1 observations."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from launch.data.episode_about import EpisodeAbout
from launch.data.recording import Recording
from robot.recorder import TICKS

Rows = NDArray[np.void]
COMMANDS = ("requested", "allowed", "sent")
"""Of a guardian's tick, in actuators' units."""


@dataclass(frozen=True)
class Demonstration:
    """``about``: who drove it at which task, which is always in words here; ``acted``: its rows with an
    action, (T,); ``last``: the final observation's row, (1,), or none, (0,), if it was cut off; ``commands``
    (T, n_actuators) each: the guardian's last tick before the next step, NaN where the log has no tick."""

    number: int
    about: EpisodeAbout
    acted: Rows
    last: Rows
    commands: dict[str, NDArray[np.float64]]

    def transitions(self) -> tuple[Rows, Rows]:
        """Rows with an action whose next observation is there, and those next rows. One that was cut off
        loses its last action by that."""
        rows = np.concatenate([self.acted, self.last], dtype=self.acted.dtype)
        return rows[:-1], rows[1:]


def demonstrations(recording: Recording, task: str = "") -> Iterator[Demonstration]:
    """All episodes in which somebody acted, in order. ``task``: what they are in words, if it is not as it
    was recorded."""
    ticks = recording.log.arrays.get(TICKS)
    for episode, known in zip(recording.episodes, recording.about, strict=True):
        rows = recording.steps[episode.rows]
        acted, last = rows[~rows["last"]], rows[rows["last"]]
        if not len(acted):
            continue
        until = np.append(rows["time_ns"][1:], np.iinfo(np.int64).max)[: len(acted)]
        known = replace(known, task=task or known.task or recording.contract.task)
        yield Demonstration(episode.number, known, acted, last, _commands(ticks, acted, until))


def _commands(ticks: Rows | None, acted: Rows, until: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
    if ticks is None or not len(ticks):
        return {}
    at = np.searchsorted(ticks["time_ns"], until, side="left") - 1
    inside = (at >= 0) & (ticks["time_ns"][at] >= acted["time_ns"])
    return {name: np.where(inside[:, None], ticks[name][at], np.nan) for name in COMMANDS}


def columns(rows: Rows) -> dict[str, NDArray[np.generic]]:
    """Every field of rows that has elements, but the observation and the action, (n, ...)."""
    found = {}
    for name in rows.dtype.names or ():
        if name not in ("observation", "action") and 0 not in rows.dtype[name].shape:
            found[name] = np.ascontiguousarray(rows[name])
    return found
