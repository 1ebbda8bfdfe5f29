"""A queue of encoded pictures in shared memory, from a camera's process to the courier.

As ``robot.shared_memory.Ring``: one writer, one reader, cursors in the file, a full one drops what is new and
counts it. A slot has room for the largest picture, and only what a picture takes is written and read.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Final

import numpy as np

from robot.image_message import Frame
from robot.shared_memory import Region

_HEAD: Final = struct.Struct("<QqqI8s")  # number, captured, received, size, format


class FrameRing:
    """``camera``: its name; ``most_bytes``: of one encoded picture."""

    def __init__(self, path: Path, camera: str, most_bytes: int, slots: int, create: bool = False) -> None:
        dtype = np.dtype((np.void, _HEAD.size + most_bytes))
        self._region = Region(path, dtype, slots, 0, create)
        self._camera, self._most, self._slots = camera, most_bytes, slots
        self._memory = memoryview(self._region.memory)

    @property
    def written(self) -> int:
        """How many frames were ever accepted."""
        return int(self._region._written[0])

    @property
    def consumed(self) -> int:
        """How many frames were ever consumed: the oldest waiting one's position."""
        return int(self._region._read[0])

    @property
    def dropped(self) -> int:
        """How many frames were ever turned away: the ring was full, or they were too large."""
        return int(self._region._dropped[0])

    def push(self, frame: Frame) -> bool:
        """Append a frame. False if it was dropped."""
        written, size = self.written, len(frame.data)
        if written - self.consumed >= self._slots or size > self._most:
            self._region._dropped[0] = self.dropped + 1
            return False
        at = self._region.slot(written % self._slots)
        _HEAD.pack_into(
            self._memory, at, frame.number, frame.captured_ns, frame.received_ns, size, frame.format.encode()
        )
        self._memory[at + _HEAD.size : at + _HEAD.size + size] = frame.data
        self._region._written[0] = written + 1
        return True

    def peek(self, position: int) -> list[Frame]:
        """All that wait from ``position`` on, oldest first."""
        return [self._frame(k) for k in range(max(position, self.consumed), self.written)]

    def last(self) -> Frame | None:
        """The newest one ever pushed, for a writer that goes on where an earlier one stopped."""
        return self._frame(self.written - 1) if self.written else None

    def consume(self, count: int) -> None:
        """Drop the ``count`` oldest."""
        self._region._read[0] = self.consumed + count

    def _frame(self, position: int) -> Frame:
        at = self._region.slot(position % self._slots)
        number, captured, received, size, form = _HEAD.unpack_from(self._memory, at)
        start = at + _HEAD.size
        data = bytes(self._memory[start : start + min(size, self._most)])
        return Frame(self._camera, number, captured, received, form.rstrip(b"\0").decode(), data)
