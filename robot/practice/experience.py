"""Steps becoming rows: every frame stored once, every failure once, nobody's action under another's name."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from robot.board import Board
from robot.contract import TaskContract, step_dtype
from robot.messages import Actor
from robot.task import Array, Outcome


class Experience:
    """Writes episodes into ``board.steps``. A row waits here from its action until its outcome is known.

    An episode's number is the sequence of its first row: unique in a session, even when the pilot was killed
    in the middle of one and started anew.
    """

    def __init__(self, board: Board, contract: TaskContract) -> None:
        self._ring = board.steps
        self._row = np.zeros(1, step_dtype(contract))
        self._view = {name: self._row[name] for name in self._row.dtype.names or ()}
        self._step = 0
        self._episode = 0
        self.pending = False
        """Whether an action is waiting for its outcome."""
        self.open = False
        """Whether an episode is going on."""
        self.written = 0

    def begin(self) -> int:
        """Start an episode; its number."""
        self._episode = self._ring.written
        self._step = 0
        self.open, self.pending = True, False
        return self._episode

    def act(
        self, time_ns: int, observation: NDArray[np.float32], action: Array, actor: Actor, policy_version: int
    ) -> None:
        """An action was taken from ``observation`` at ``time_ns``."""
        row = self._view
        row["time_ns"][0], row["episode"][0], row["step"][0] = time_ns, self._episode, self._step
        row["policy_version"][0], row["actor"][0] = policy_version, actor
        row["observation"][0], row["action"][0] = observation, action
        row["last"][0] = False
        self.pending = True

    def finish(
        self,
        outcome: Outcome,
        reward: float,
        *,
        terminated: bool = False,
        truncated: bool = False,
        altered: bool = False,
        periods: int = 1,
    ) -> None:
        """What came of the waiting action. ``periods``: how many policy periods it lasted; more than one and
        the next row does not pair up with this one, so that no learner takes a stall for a step."""
        row = self._view
        row["terminated"][0], row["truncated"][0], row["altered"][0] = terminated, truncated, altered
        row["reward"][0] = reward
        row["reward_terms"][0], row["cost_terms"][0] = outcome.reward_terms, outcome.cost_terms
        self._push()
        self._step += 1 if terminated else max(1, periods)
        self.pending = False

    def close(self, time_ns: int, observation: NDArray[np.float32]) -> None:
        """End the episode with the observation that the last action led to."""
        if self._step > 0:
            row = self._view
            row["time_ns"][0], row["step"][0] = time_ns, self._step
            row["observation"][0] = observation
            self._push_last()
        self.open = self.pending = False

    def discard(self) -> None:
        """End the episode at the waiting action's observation and forget the action: nobody can tell what
        came of it (the robot was carried, or the state was lost)."""
        if self.pending and self._step > 0:
            self._push_last()
        self.open = self.pending = False

    def _push_last(self) -> None:
        row = self._view
        row["last"][0] = True
        row["terminated"][0] = row["truncated"][0] = row["altered"][0] = False
        row["reward"][0] = 0.0
        row["action"][0] = row["reward_terms"][0] = row["cost_terms"][0] = 0.0
        self._push()

    def _push(self) -> None:
        self._view["sequence"][0] = self._ring.written
        self.written += self._ring.push(self._row)
