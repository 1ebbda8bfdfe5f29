"""What the pilot leaves for others: its status record and its events."""

from __future__ import annotations

import numpy as np

from robot.board import Board
from robot.event_log import EventLog
from robot.messages import PILOT_DTYPE, Actor, PilotPhase


class Logbook:
    """Writes ``board.pilot`` and ``board.pilot_events``; goes on counting where a pilot that died stopped."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._record = np.zeros(1, PILOT_DTYPE)
        self._status = {name: self._record[name] for name in PILOT_DTYPE.names or ()}
        self.tell = EventLog(board.pilot_events).put
        before = board.pilot.read()
        if before is not None:
            self._record[:] = before

    def __getitem__(self, name: str) -> float:
        """A field of the status record."""
        return float(self._status[name][0])

    def __setitem__(self, name: str, value: float) -> None:
        self._status[name][0] = value

    def count(self, name: str) -> int:
        """Add one to a counter of the status record; returns its new value."""
        counter = self._status[name]
        counter[0] += 1
        return int(counter[0])

    def publish(self, now_ns: int, phase: PilotPhase, actor: Actor, policy_version: int) -> None:
        """Write the status record."""
        status = self._status
        status["time_ns"][0], status["phase"][0], status["actor"][0] = now_ns, phase, actor
        status["policy_version"][0] = policy_version
        self._board.pilot.write(self._record)
