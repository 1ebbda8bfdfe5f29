"""What came of episodes: one row each, and how the recorded ones went."""

from __future__ import annotations

import enum
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.plant import Array
from sim.randomisation import Draws


class Ending(enum.IntEnum):
    """Why an episode ended."""

    FINISHED = 0  # the task's cycles were driven: a success
    TIME = 1  # still driving when the time was up
    CRASH = 2  # an impact beyond the robot's crash_g
    FLIP = 3
    STUCK = 4
    TASK = 5  # the task's own trouble, such as the wrong way
    STOPPED = 6  # by the safety kernel; the row's cause and limit say why
    DIVERGED = 7  # the physics
    NOT_FINITE = 8  # the policy's action


def episode_dtype(parameters: int, limits: int) -> np.dtype[np.void]:
    """One episode. ``cause``: of the kernel's stop (``robot.messages.Cause``), ``limit``: the number of the
    limit that caused it, -1 for none. ``duration`` [s], ``cycles`` driven since the start [1, continuous],
    ``best_cycle`` [s] (NaN: none complete), ``speed``: mean along the course [m/s], ``score``: the return,
    undiscounted sum of rewards. ``altered``: share of ticks in which the kernel altered the command;
    ``reduced``: share of ticks derated. ``smoothness``: mean squared change of action. ``touched`` [s]: how
    long something beside the tyres touched something. ``margin``: least distance of the truth to each limit,
    in its unit; ``violated``: the truth was beyond it for its debounce. ``draws``: the parameters."""
    return np.dtype(
        [
            ("number", "<i8"),
            ("success", "?"),
            ("ending", "u1"),
            ("cause", "u1"),
            ("limit", "<i2"),
            ("duration", "<f8"),
            ("cycles", "<f8"),
            ("best_cycle", "<f8"),
            ("speed", "<f8"),
            ("score", "<f8"),
            ("altered", "<f8"),
            ("reduced", "<f8"),
            ("smoothness", "<f8"),
            ("touched", "<f8"),
            ("margin", "<f8", (limits,)),
            ("violated", "?", (limits,)),
            ("draws", "<f8", (parameters,)),
        ]
    )


@dataclass(frozen=True)
class Trajectory:
    """A recorded episode, one row per guardian tick: ``time_s`` (T,), ``truth`` (T, n_state), ``action``
    (T, n_actions), and ``ticks`` (T,), of ``robot.messages.tick_dtype``, as the robot's log would hold it."""

    number: int
    time_s: Array
    truth: Array
    action: Array
    ticks: NDArray[np.void]

    @property
    def estimate(self) -> Array:
        """What the policy and the kernel saw, shape (T, n_state)."""
        return np.asarray(self.ticks["state"])

    @property
    def allowed(self) -> Array:
        """Setpoints that the kernel let through, shape (T, n_actuators)."""
        return np.asarray(self.ticks["allowed"])

    @property
    def kernel(self) -> NDArray[np.uint8]:
        """Safety states, shape (T,)."""
        return np.asarray(self.ticks["safety_state"])


@dataclass(frozen=True)
class EpisodeResults:
    """``rows``: structured, of ``episode_dtype``; ``parameters`` and ``limits``: the names of its columns."""

    rows: NDArray[np.void]
    parameters: tuple[str, ...]
    limits: tuple[str, ...]
    seed: int
    trajectories: tuple[Trajectory, ...] = ()

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def draws(self) -> Draws:
        """The episodes' parameters, to run them again."""
        return Draws(self.seed, self.parameters, self.rows["number"].copy(), self.rows["draws"].copy())

    def count(self, ending: Ending) -> int:
        """How many episodes ended so."""
        return int((self.rows["ending"] == ending).sum())

    @property
    def successes(self) -> int:
        return int(self.rows["success"].sum())
