"""LeRobotDataset v3 (lerobot 0.4): which files there are, and what its features are called.

``data/chunk-000/file-000.parquet``: a row for each step with an action; ``videos/KEY/...mp4``; ``meta/``:
what the columns are, episodes, tasks, statistics. Ours besides, which its loader does not look at:
``meta/sandlot.json`` with the contract, ``meta/sandlot_episodes.json`` with who drove each episode and how it
went, and ``meta/sandlot_last.parquet`` with each episode's final observation, which LeRobot has no place for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from launch.data.demonstrations import COMMANDS, columns
from robot.contract import TaskContract
from robot.layout import Layout

VERSION: Final = "v3.0"
FILES_PER_CHUNK: Final = 1000
DATA_FILE_MB: Final = 100
VIDEO_FILE_MB: Final = 200
DATA: Final = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEO: Final = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
EPISODES: Final = "meta/episodes/chunk-000/file-000.parquet"
TASKS: Final = "meta/tasks.parquet"
INFO: Final = "meta/info.json"
STATS: Final = "meta/stats.json"
CONTRACT: Final = "meta/sandlot.json"
LAST: Final = "meta/sandlot_last.parquet"
ABOUT: Final = "meta/sandlot_episodes.json"

STATE: Final = "observation.state"
PICTURE: Final = "observation.images."
RECORDED: Final = "recorded."
"""Before a field of the step rows."""
CAPTURED: Final = "captured_ns."
"""Before a camera's name: when the picture was taken."""
RENAMED: Final = {"reward": "next.reward"}
DONE: Final = "next.done"
MEASURED: Final = "measured_timestamp"
"""Seconds since the episode's first row, as measured (float64)."""


@dataclass(frozen=True)
class Feature:
    """A column: numpy's name of its dtype, its shape, and the names of its elements."""

    dtype: str
    shape: tuple[int, ...]
    names: tuple[str, ...] | None = None

    def plain(self) -> dict[str, Any]:
        names = None if self.names is None else list(self.names)
        return {"dtype": self.dtype, "shape": list(self.shape), "names": names}


OWN: Final = {
    "timestamp": Feature("float32", (1,)),
    "frame_index": Feature("int64", (1,)),
    "episode_index": Feature("int64", (1,)),
    "index": Feature("int64", (1,)),
    "task_index": Feature("int64", (1,)),
}
"""LeRobot's own, of every dataset."""


def column_name(field: str) -> str:
    """What a field of the step rows is called."""
    return RENAMED.get(field, f"{RECORDED}{field}")


def features(contract: TaskContract, rows: NDArray[np.void], commands: Layout | None) -> dict[str, Feature]:
    """Every column of numbers. ``commands``: the actuators, if the log has the guardian's ticks."""
    names = {
        "reward_terms": contract.reward_terms,
        "cost_terms": contract.cost_terms,
    }
    found = {
        STATE: Feature("float32", (contract.observation_size,), tuple(contract.observation_layout.names)),
        "action": Feature("float32", (contract.action_size,), tuple(t.name for t in contract.actions)),
        DONE: Feature("bool", (1,)),
        MEASURED: Feature("float64", (1,)),
    }
    for field, column in columns(rows).items():
        shape = column.shape[1:] or (1,)
        found[column_name(field)] = Feature(column.dtype.name, shape, names.get(field))
    if commands is not None:
        for name in COMMANDS:
            found[f"command.{name}"] = Feature("float64", (commands.size,), tuple(commands.names))
    return found | OWN
