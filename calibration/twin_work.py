"""How an identification is carried out: with how much of the logs, by whom, and who is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from robot.spec import RobotSpec

if TYPE_CHECKING:  # the twin needs mujoco, which a robot that only drives a procedure's legs does without
    from sim.log_windows import Windows
    from sim.replay import Replayed

Progress = Callable[[str], None]
Replays = Callable[
    [RobotSpec, "Windows", Sequence[Mapping[str, float]], NDArray[np.float64], float], "Replayed"
]
"""Windows on the twin, each with its car's truth, delay of commands [s], and the physics' step [s]."""
MOST_CHUNKS: Final = 24
"""Of 2 s each, taken evenly from the logs; a third of them is held out."""


@dataclass(frozen=True)
class TwinWork:
    """``threads`` step the physics here (0: all processors), unless ``replays`` has them made elsewhere;
    ``most_chunks``: of the logs that are used. ``known``: the robot as everything but an identification has
    measured it (None: as the logs describe it)."""

    threads: int = 0
    progress: Progress = lambda _: None
    replays: Replays | None = None
    most_chunks: int = MOST_CHUNKS
    known: RobotSpec | None = None


HERE: Final = TwinWork()
