"""A queue of encoded pictures in shared memory, from a camera's process to the courier.

A slot has room for the largest picture, and only what a picture takes is written and read.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Final

import numpy as np

from robot.image_message import Frame
from robot.shared_memory import CRC_SIZE, Queue, Region, numbered_crc

_HEAD: Final = struct.Struct("<QqqI8s")  # number, captured, received, size, format


class FrameRing(Queue):
    """``camera``: its name; ``most_bytes``: of one encoded picture. Too large ones are turned away, too."""

    def __init__(self, path: Path, camera: str, most_bytes: int, slots: int, create: bool = False) -> None:
        dtype = np.dtype((np.void, _HEAD.size + most_bytes))
        super().__init__(Region(path, dtype, slots, CRC_SIZE, create))
        self._camera, self._most = camera, most_bytes
        self._memory = memoryview(self._region.memory)

    def push(self, frame: Frame) -> bool:
        """Append a frame. False if it was dropped."""
        size, form = len(frame.data), frame.format.encode()
        if size > self._most:
            self._turn_away()
            return False
        return self._append(
            _HEAD.pack(frame.number, frame.captured_ns, frame.received_ns, size, form) + frame.data
        )

    def peek(self, first: int) -> list[Frame]:
        """All that wait from the place ``first`` on, oldest first; one that has not arrived whole yet, and
        all after it, come next time."""
        found: list[Frame] = []
        for place in range(max(first, self.consumed), self.written):
            frame = self._frame(place)
            if frame is None:
                break
            found.append(frame)
        return found

    def last(self) -> Frame | None:
        """The newest one ever pushed, for a writer that goes on where an earlier one stopped."""
        return self._frame(self.written - 1) if self.written else None

    def _frame(self, place: int) -> Frame | None:
        at = self._region.slot(place % self._slots)
        number, captured, received, size, form = _HEAD.unpack_from(self._memory, at)
        end = at + _HEAD.size + min(size, self._most)
        data = bytes(self._memory[at:end])
        if numbered_crc(data, place) != bytes(self._memory[end : end + CRC_SIZE]):
            return None
        name = form.rstrip(b"\0").decode()
        return Frame(self._camera, number, captured, received, name, data[_HEAD.size :])
