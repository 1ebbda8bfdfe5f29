"""A person's notes on what they record: typed in the session's terminal, kept in its log."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from robot.board import Board
from robot.messages import EVENT_DTYPE

NOTE = "note"
"""The kind of the event; its value is the episode that goes on, or the last one, -1 before the first."""


class SessionNotes:
    """Of a session, by whoever has its terminal. ``say(time_ns, text)`` confirms one; ``show``, which the
    view may set, shows the line as it is typed."""

    def __init__(self, board: Board, say: Callable[[int, str], None]) -> None:
        self.show: Callable[[str | None], None] = lambda text: None
        self._board, self._say = board, say
        self._record = np.zeros(1, EVENT_DTYPE)

    def may_begin(self) -> bool:
        hand = self._board.hand.read()
        return hand is None or not bool(hand["held"][0])

    def draft(self, text: str | None) -> None:
        self.show(text)

    def keep(self, now_ns: int, text: str) -> None:
        newest = self._board.steps.newest(1)
        record = self._record
        record["time_ns"], record["kind"], record["text"] = now_ns, NOTE.encode(), text.encode()
        record["value"] = float(newest["episode"][0]) if len(newest) else -1.0
        self._board.operator_events.push(record)
        self._say(now_ns, f"note: {text}")
