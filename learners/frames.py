"""Pictures as they came: each stored once, in a file that is a ring, however many stacks it is part of.

A file has room for ``capacity`` frames of fixed size, made as they come. The index in front of them says of
each slot which frame lies there and its checksum; it is written before the frame, so that whatever a kill or
a power cut leaves is either whole or known not to be.

Frames are written and read by system calls, one each. Through a mapping a full disk would be a signal and not
an error, every page of a picture a fault of its own, and the whole file would count as the learner's memory.
"""

from __future__ import annotations

import math
import os
import zlib
from pathlib import Path
from typing import BinaryIO, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from robot.contract import ImageTerm
from robot.errors import SandlotError
from robot.frame_file import StorageError, explain

_MAGIC: Final = b"SANDLOT PICTURES 1\n"
_PAGE: Final = 4096
_ENTRY: Final = np.dtype([("number", "<i8"), ("crc", "<u4"), ("reserved", "<u4")])
"""``number`` is one more than the frame's: a hole in the file reads as no frame at all."""


class Frames:
    """The newest ``capacity`` frames by number: frame n lies in slot n % capacity.

    ``images``: which cameras. ``path``: where; None keeps everything in memory. What is there is continued.
    Raises StorageError if the file was made for other cameras or another capacity.
    """

    def __init__(self, images: tuple[ImageTerm, ...], capacity: int, path: Path | None = None) -> None:
        self.images, self.capacity = images, capacity
        self.dtype = np.dtype([(i.name, "u1", (i.height, i.width, i.channels)) for i in images])
        self.stack = max(image.stack for image in images)
        """Frames that a stack reaches back, itself included."""
        self._name = path or Path("pictures in memory")
        about = _MAGIC + msgspec.json.encode({"images": images, "capacity": capacity}) + b"\n"
        self._index_at = math.ceil(len(about) / _PAGE) * _PAGE
        self._data_at = self._index_at + math.ceil(capacity * _ENTRY.itemsize / _PAGE) * _PAGE
        self.size_bytes = self._data_at + capacity * self.dtype.itemsize
        """Of the whole file once it is full."""
        try:
            self._file = _open(path)
            self._begin(about)
            self._index = self._read_index()
        except OSError as error:
            raise explain(self._name, error) from error

    def write(self, first: int, frames: NDArray[np.void]) -> None:
        """Frames number ``first`` and following, (n,), over those ``capacity`` before them.

        Raises DiskFullError; frames that these were to replace are then gone. Raises SandlotError if they are
        not of these cameras.
        """
        if frames.dtype != self.dtype:
            raise SandlotError(f"expected frames of {self.dtype}; got {frames.dtype}")
        for start in range(0, len(frames), self.capacity):
            self._write(first + start, frames[start : start + self.capacity])

    def _write(self, first: int, frames: NDArray[np.void]) -> None:
        slot = first % self.capacity
        until_end = self.capacity - slot
        for begin, part, number in (
            (slot, frames[:until_end], first),
            (0, frames[until_end:], first + until_end),
        ):
            if len(part):
                payload = np.ascontiguousarray(part)
                entries = np.zeros(len(part), _ENTRY)
                entries["number"] = number + 1 + np.arange(len(part))
                entries["crc"] = [zlib.crc32(frame.tobytes()) for frame in payload]
                self._put(entries.tobytes(), self._index_at + begin * _ENTRY.itemsize)
                self._index[begin : begin + len(part)] = entries
                self._put(payload.tobytes(), self._data_at + begin * self.dtype.itemsize)

    def whole(self, numbers: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of these frames are here, (n,), as they were written: every byte is looked at."""
        slots = numbers % self.capacity
        found = self._index[slots]
        frame = np.empty(self.dtype.itemsize, np.uint8)
        here: NDArray[np.bool_] = found["number"] == numbers + 1
        for k in np.flatnonzero(here):
            self._fill([frame.data], self._data_at + int(slots[k]) * len(frame))
            here[k] = zlib.crc32(frame.data) == found["crc"][k]
        return here

    def stacks(self, slots: NDArray[np.int64]) -> tuple[NDArray[np.uint8], ...]:
        """The pictures at slots (N, stack), oldest first: for each camera
        (N, its stack, height, width, channels)."""
        shapes = [(*slots.shape, image.height, image.width, image.channels) for image in self.images]
        found = [np.empty(shape, np.uint8) for shape in shapes]
        rooms = [pictures.reshape(slots.size, -1) for pictures in found]
        for k, slot in enumerate(slots.ravel().tolist()):
            self._fill([room[k].data for room in rooms], self._data_at + slot * self.dtype.itemsize)
        return tuple(
            pictures[:, self.stack - image.stack :]
            for pictures, image in zip(found, self.images, strict=True)
        )

    def _read_index(self) -> NDArray[np.void]:
        index = np.zeros(self.capacity, _ENTRY)
        self._fill([index.view(np.uint8).data], self._index_at)
        return index

    def _fill(self, rooms: list[memoryview], at: int) -> None:
        """Read on from ``at`` into one room after the other."""
        try:
            read = os.preadv(self._file.fileno(), rooms, at)
        except OSError as error:
            raise explain(self._name, error) from error
        if read != sum(map(len, rooms)):
            raise StorageError(f"{self._name} became shorter while in use; nothing else may write to it")

    def sync(self) -> None:
        """Return once everything written is on the disk."""
        try:
            os.fdatasync(self._file.fileno())
        except OSError as error:
            raise explain(self._name, error) from error

    def close(self) -> None:
        """Nothing can be written or read any more."""
        self._file.close()

    def _begin(self, about: bytes) -> None:
        found = os.pread(self._file.fileno(), len(about), 0)
        if not about.startswith(found):
            raise StorageError(
                f"{self._name} was made for other cameras, another capacity or version; move it away"
            )
        if found != about:
            self._put(about, 0)
        os.ftruncate(self._file.fileno(), self.size_bytes)

    def _put(self, data: bytes, at: int) -> None:
        view = memoryview(data)
        try:
            while view:
                written = os.pwrite(self._file.fileno(), view, at)
                view, at = view[written:], at + written
        except OSError as error:
            raise explain(self._name, error) from error


def _open(path: Path | None) -> BinaryIO:
    if path is None:
        file = os.memfd_create("pictures", os.MFD_CLOEXEC)
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    return os.fdopen(file, "r+b", buffering=0)
