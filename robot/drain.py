"""From the session's rings to its log and spool: written first, consumed after."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from robot.board import Board
from robot.frame_ring import FrameRing
from robot.image_message import CAMERAS, Frame
from robot.messages import Event
from robot.recorder import PILOT, STEPS, TICKS, Recorder
from robot.shared_memory import Ring
from robot.spool import Spool

Rows = NDArray[np.void]

_WRAP: Final = 1 << 32
"""The log's sequence numbers have 32 bits; a ring's position is the nearest one that fits."""


class _Cursor:
    """A ring and how far it has been taken over; ahead of what the ring knows until ``commit``."""

    def __init__(self, ring: Ring, last_logged: int | None) -> None:
        self.ring = ring
        self.position = ring.consumed
        if last_logged is not None:
            ahead = (last_logged + 1 - self.position) % _WRAP
            if ahead <= ring.waiting:  # logged, but not consumed when the courier died
                self.position += ahead

    def take(self) -> Rows:
        """Records not taken yet; ``position`` is that of the first one until ``advance``."""
        consumed = self.ring.consumed
        return self.ring.peek(self.ring.waiting)[self.position - consumed :]

    def advance(self, count: int) -> None:
        self.position += count

    def commit(self) -> None:
        """Consume what was taken: it is safe now."""
        self.ring.consume(self.position - self.ring.consumed)


class _FrameCursor:
    """A camera's ring and how far it has been taken over. ``last_logged``: the number of the last frame that
    an earlier courier logged, of which it perhaps consumed none."""

    def __init__(self, ring: FrameRing, last_logged: int | None) -> None:
        self.ring = ring
        self.position = ring.consumed
        numbers = [frame.number % _WRAP for frame in ring.peek(self.position)]
        if last_logged in numbers:
            self.position += numbers.index(last_logged) + 1

    def take(self) -> list[Frame]:
        """Frames not taken yet; they are by that."""
        frames = self.ring.peek(self.position)
        self.position += len(frames)
        return frames

    def commit(self) -> None:
        self.ring.consume(self.position - self.ring.consumed)


class Drain:
    """``steps`` often (rows to the spool, for the link), ``flush`` twice a second (everything to the log)."""

    def __init__(
        self, board: Board, spool: Spool, recorder: Recorder, last_logged: Mapping[str, int]
    ) -> None:
        """``last_logged``: per topic or event source, the last ring position that is in earlier logs."""
        self._board, self._spool, self._recorder = board, spool, recorder
        self._ticks = _Cursor(board.ticks, last_logged.get(TICKS))
        self._steps = _Cursor(board.steps, last_logged.get(STEPS))
        self._events = {
            "guardian": _Cursor(board.guardian_events, last_logged.get("guardian")),
            "pilot": _Cursor(board.pilot_events, last_logged.get("pilot")),
            "operator": _Cursor(board.operator_events, last_logged.get("operator")),
            "camera": _Cursor(board.camera_events, last_logged.get("camera")),
        }
        self._frames = {
            name: _FrameCursor(ring, last_logged.get(f"{CAMERAS}{name}"))
            for name, ring in board.frames.items()
        }
        self._spooled = board.steps.consumed
        self._pilot_sequence = 0
        self.lost = 0
        """Sequences that never came, or came out of order."""

    def record_in(self, recorder: Recorder) -> None:
        """Go on in another log, after a flush."""
        self._recorder = recorder

    def steps(self) -> int:
        """New step rows to the spool; returns how many were found missing. Raises DiskFullError.

        The pilot's newest record goes to the log on the way."""
        if not self._recorder.pending:
            self._pilot()
        ring = self._board.steps
        if ring.written == self._spooled:
            return 0
        rows = ring.peek(ring.waiting)[self._spooled - ring.consumed :]
        if not len(rows):
            return 0
        before = self.lost
        sequences = rows["sequence"].astype(np.int64)
        breaks = np.flatnonzero(np.diff(sequences) != 1) + 1
        start = 0
        for stop in (*breaks.tolist(), len(rows)):
            self._spool_run(int(sequences[start]), rows[start:stop])
            self._spooled += stop - start
            start = stop
        return self.lost - before

    def flush(self) -> None:
        """Everything new to the log, then out of the rings. Raises DiskFullError; nothing is lost by it."""
        if self._recorder.pending:
            self._recorder.flush()  # what an earlier flush could not write; the cursors are past it
            self._commit()
        for topic, cursor in ((TICKS, self._ticks), (STEPS, self._steps)):
            rows = cursor.take()
            if cursor is self._steps:
                rows = rows[: self._spooled - cursor.position]
            if len(rows):
                self._recorder.rows(topic, cursor.position, rows)
                cursor.advance(len(rows))
        for source, cursor in self._events.items():
            for row in cursor.take():
                self._recorder.event(source, _event(row), cursor.position)
                cursor.advance(1)
        for frames in self._frames.values():
            for frame in frames.take():
                self._recorder.frame(frame)
        self._recorder.flush()
        self._commit()

    def _commit(self) -> None:
        for cursor in (self._ticks, self._steps, *self._events.values()):
            cursor.commit()
        for frames in self._frames.values():
            frames.commit()

    def _pilot(self) -> None:
        if self._board.pilot.sequence == self._pilot_sequence:
            return
        record = self._board.pilot.read()
        if record is not None:
            self._pilot_sequence = int(record["sequence"][0])
            self._recorder.rows(PILOT, self._pilot_sequence, record)

    def _spool_run(self, first: int, rows: Rows) -> None:
        """Rows of consecutive sequences; those the spool has already came from before a restart."""
        known = max(0, min(self._spool.next_sequence - first, len(rows)))
        first, rows = first + known, rows[known:]
        if len(rows):
            self.lost += first - self._spool.next_sequence
            self._spool.append(first, rows)


def _event(row: np.void) -> Event:
    return Event(
        time_ns=int(row["time_ns"]),
        kind=bytes(row["kind"]).decode("utf-8", "replace"),
        value=float(row["value"]),
        text=bytes(row["text"]).decode("utf-8", "replace"),
    )
