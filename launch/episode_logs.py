"""Episodes of the batched twin as logs that ``sandlot replay`` and Foxglove open."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from robot.messages import Event
from robot.recorder import TICKS, Recorder
from sim.episode_results import EpisodeResults
from sim.rollout import Setting
from sim.validation.gates import ending_words


def save_worst(worst: EpisodeResults, setting: Setting, folder: Path) -> list[Path]:
    """A log of each recorded episode, ``FOLDER/episode-NUMBER.mcap``: every tick as the robot's guardian
    would have logged it, and how it ended."""
    folder.mkdir(parents=True, exist_ok=True)
    return list(_saved(worst, setting, folder))


def _saved(worst: EpisodeResults, setting: Setting, folder: Path) -> Iterator[Path]:
    for row, path in zip(worst.rows, worst.trajectories, strict=True):
        log = folder / f"episode-{path.number}.mcap"
        recorder = Recorder(log, setting.spec, setting.contract, {"seed": str(worst.seed)})
        try:
            recorder.rows(TICKS, 0, path.ticks)
            end_ns = int(path.ticks["time_ns"][-1])
            recorder.event("rollout", Event(end_ns, "episode", float(row["score"]), ending_words(row)))
        finally:
            recorder.close()
        yield log
