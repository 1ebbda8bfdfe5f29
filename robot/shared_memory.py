"""Mailboxes and rings between processes: memory-mapped files that outlive every process but their owner.

``multiprocessing.SharedMemory`` unlinks a segment when any attacher exits (Python 3.11), so these are plain
files, in /dev/shm by default. They are written without locks, and Python has no memory barriers, which on ARM
a sequence lock would need: another core may see a cursor before it sees what lies there. So every slot has a
CRC. A mailbox is two slots, and a reader that finds both torn tries again a bounded number of times; a ring's
reader takes what is whole and leaves the rest for later.
"""

from __future__ import annotations

import math
import mmap
import os
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from robot.claim import claim
from robot.errors import SharedMemoryError

_HEADER = struct.Struct("<8sQQQQQ")  # magic, layout CRC, slots, written, read, dropped
_HEADER_SIZE = 64
_MAGIC = b"sandlot2"
_RETRIES = 8
CRC_SIZE = 4
_COUNTER = (1 << 64) - 1
"""Counters wrap: whatever somebody else wrote over them, neither end may raise."""

Record = NDArray[np.void]


class Region:
    """A file of a header and equal slots; created once by the owner, attached to by everyone else."""

    def __init__(
        self, path: Path, dtype: np.dtype[np.void], slots: int, slot_extra: int, create: bool
    ) -> None:
        self.path = path
        self.dtype = dtype
        self.slots = slots
        self.stride = -(-(dtype.itemsize + slot_extra) // 64) * 64
        size = _HEADER_SIZE + self.stride * slots
        layout = zlib.crc32(repr(dtype).encode())
        if create and not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_suffix(f".{os.getpid()}")
            with temporary.open("wb") as file:
                file.truncate(size)
                file.write(_HEADER.pack(_MAGIC, layout, slots, 0, 0, 0))
            temporary.rename(path)
        try:
            with path.open("r+b") as file:
                self.memory = mmap.mmap(file.fileno(), 0)
        except FileNotFoundError:
            raise SharedMemoryError(f"{path} does not exist; is the session running?") from None
        magic, found_layout, found_slots, *_ = _HEADER.unpack_from(self.memory)
        if (magic, found_layout, found_slots, len(self.memory)) != (_MAGIC, layout, slots, size):
            raise SharedMemoryError(f"{path} was made for another layout; restart the session as a whole")
        words = np.frombuffer(self.memory, np.uint64, 8)
        self._written = words[3:4]
        self._read = words[4:5]
        self._dropped = words[5:6]

    def slot(self, index: int) -> int:
        return _HEADER_SIZE + self.stride * index


class Mailbox:
    """The newest record from one writer to any number of readers.

    The record's dtype must have a ``sequence`` and a ``time_ns`` field; ``write`` fills ``sequence``.
    """

    def __init__(self, path: Path, dtype: np.dtype[np.void], create: bool = False) -> None:
        self._region = Region(path, dtype, 2, CRC_SIZE, create)
        self._size = dtype.itemsize
        memory = self._region.memory
        self._slots = [
            memoryview(memory)[o : o + self._size + CRC_SIZE] for o in map(self._region.slot, range(2))
        ]
        self._dtype = dtype

    def write(self, record: Record) -> None:
        """Publish ``record`` (shape (1,)); its ``sequence`` becomes one more than the last published one."""
        sequence = (int(self._region._written[0]) + 1 & _COUNTER) or 1
        record["sequence"] = sequence
        data = record.tobytes()
        slot = self._slots[sequence & 1]
        slot[: self._size] = data
        slot[self._size :] = zlib.crc32(data).to_bytes(CRC_SIZE, "little")
        self._region._written[0] = sequence

    def read(self) -> Record | None:
        """The newest whole record, shape (1,), or None if none was ever written (or all tries were torn)."""
        for _ in range(_RETRIES):
            sequence = int(self._region._written[0])
            if sequence == 0:
                return None
            data = bytes(self._slots[sequence & 1])
            body = data[: self._size]
            if zlib.crc32(body) == int.from_bytes(data[self._size :], "little"):
                return np.frombuffer(body, self._dtype)
        return None

    def claim(self) -> BinaryIO:
        """Be its only claimed writer until what is returned is closed or this process ends. Raises
        ClaimedError if somebody else is."""
        return claim(self._region.path)

    @property
    def sequence(self) -> int:
        """The sequence of the newest record; 0 before the first."""
        return int(self._region._written[0])


class Queue:
    """From one writer to one reader. Both cursors live in the file: a reader or writer that dies and comes
    back goes on where it was. A full queue drops what is new, counts it and says so; it never blocks. A
    slot's CRC begins with the number of what lies there: what an earlier one left does not pass."""

    def __init__(self, region: Region) -> None:
        self._region = region
        self._slots = region.slots

    @property
    def written(self) -> int:
        """How many were ever accepted: the next one's number."""
        return int(self._region._written[0])

    @property
    def consumed(self) -> int:
        """How many were ever consumed: the oldest waiting one's number."""
        return int(self._region._read[0])

    @property
    def dropped(self) -> int:
        """How many were ever turned away: the gaps nobody else can see."""
        return int(self._region._dropped[0])

    @property
    def waiting(self) -> int:
        """How many were written and not yet consumed."""
        return self.written - self.consumed

    def consume(self, count: int) -> None:
        """Drop the ``count`` oldest: call once what was peeked is safe elsewhere."""
        self._region._read[0] = self.consumed + count & _COUNTER

    def _append(self, data: bytes) -> bool:
        """False if the queue is full and ``data`` was dropped."""
        written = self.written
        if written - self.consumed >= self._slots:
            self._turn_away()
            return False
        begin = self._region.slot(written % self._slots)
        end = begin + len(data) + CRC_SIZE
        self._region.memory[begin:end] = data + numbered_crc(data, written)
        self._region._written[0] = written + 1 & _COUNTER
        return True

    def _turn_away(self) -> None:
        self._region._dropped[0] = self.dropped + 1 & _COUNTER


class Ring(Queue):
    """A queue of records."""

    def __init__(self, path: Path, dtype: np.dtype[np.void], slots: int, create: bool = False) -> None:
        region = Region(path, dtype, slots, CRC_SIZE, create)
        super().__init__(region)
        # Copied as bytes, at once: a copy by field leaves the padding between fields to chance, and it is
        # logged. What the writer has there is left out.
        shape = (slots, dtype.itemsize + CRC_SIZE)
        self._bytes = np.ndarray(shape, np.uint8, region.memory, _HEADER_SIZE, (region.stride, 1))
        self._meant = _meant(dtype)
        self._dtype = dtype

    def push(self, record: Record) -> bool:
        """Append one record (shape (1,) or ()). False if the ring is full and the record was dropped."""
        return self._append((np.frombuffer(record.tobytes(), np.uint8) & self._meant).tobytes())

    def peek(self, most: int) -> Record:
        """Copies of up to ``most`` waiting records, oldest first, without consuming them; those that have not
        arrived whole yet, and all after them, come next time."""
        first = self.consumed
        rows, whole = self._copy(first, min(most, self._slots, self.written - first))
        return rows if whole.all() else rows[: int(whole.argmin())]

    def newest(self, most: int) -> Record:
        """Copies of up to ``most`` of the newest records, oldest first, consumed or not, but those that the
        writer is just overwriting: for onlookers."""
        written = self.written
        count = min(most, written, self._slots // 2)
        rows, whole = self._copy(written - count, count)
        return rows[whole]

    def _copy(self, first: int, count: int) -> tuple[Record, NDArray[np.bool_]]:
        """Records from number ``first`` on, and which of them are whole."""
        count = max(count, 0)
        found = self._bytes[(first % self._slots + np.arange(count)) % self._slots]
        size = self._dtype.itemsize
        rows, checks = np.ascontiguousarray(found[:, :size]), found[:, size:].tobytes()
        data = rows.ravel().data
        whole = np.array(
            [
                numbered_crc(data[size * k : size * (k + 1)], first + k)
                == checks[CRC_SIZE * k : CRC_SIZE * (k + 1)]
                for k in range(count)
            ],
            bool,
        )
        return rows.view(self._dtype)[:, 0], whole


def numbered_crc(data: bytes | memoryview, number: int) -> bytes:
    """Of a ring's slot that holds its record ``number``."""
    return zlib.crc32(data, number & 0xFFFFFFFF).to_bytes(CRC_SIZE, "little")


def _meant(dtype: np.dtype[np.void]) -> NDArray[np.uint8]:
    """255 for each byte of a record that belongs to a field, 0 for padding, shape (itemsize,)."""
    kind, shape = dtype.base, dtype.shape
    if kind.fields is None:
        return np.full(dtype.itemsize, 255, np.uint8)
    one = np.zeros(kind.itemsize, np.uint8)
    for field, offset, *_ in kind.fields.values():
        one[offset : offset + field.itemsize] = _meant(field)
    return np.tile(one, math.prod(shape))
