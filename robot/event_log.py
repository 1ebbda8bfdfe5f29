"""Events of one process: lines for the log, pushed into a ring, never more than a person could read."""

from __future__ import annotations

import numpy as np

from robot.messages import EVENT_DTYPE
from robot.shared_memory import Ring

_SECOND_NS = 1_000_000_000


class EventLog:
    """Writes ``EVENT_DTYPE`` records. A full ring loses events, and counts them; it never blocks."""

    def __init__(self, ring: Ring) -> None:
        self._ring = ring
        self._record = np.zeros(1, EVENT_DTYPE)
        self._last_ns: dict[str, int] = {}

    def put(self, now_ns: int, kind: str, value: float = 0.0, text: str = "") -> None:
        """One event; ``kind`` and ``text`` are cut to the record's size, anything but ASCII becomes '?'."""
        record = self._record
        record["time_ns"] = now_ns
        record["value"] = value
        record["kind"] = kind.encode("ascii", "replace")
        record["text"] = text.encode("ascii", "replace")
        self._ring.push(record)

    def at_most_once_a_second(self, now_ns: int, kind: str, value: float = 0.0, text: str = "") -> None:
        """An event of a kind that may come every tick; those in between are left out."""
        last = self._last_ns.get(kind)
        if last is None or now_ns - last >= _SECOND_NS:
            self._last_ns[kind] = now_ns
            self.put(now_ns, kind, value, text)
