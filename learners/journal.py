"""Every row the learner ever received, in the order it arrived: what an acknowledgement of durability means.

A checkpoint holds no rows; the journal does. Reading it back in order gives the learner the very experience
it had.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from robot.errors import WireError
from robot.frame_file import Frame, FrameFile, StorageError, read_about
from robot.wire import describe, dtype_from

Rows = NDArray[np.void]


def journal_dtype(path: Path) -> np.dtype[np.void]:
    """Of which rows a journal is. Raises StorageError if it is none."""
    try:
        return dtype_from(msgspec.msgpack.decode(read_about(path))["dtype"])
    except (msgspec.DecodeError, WireError, KeyError, TypeError):
        raise StorageError(f"{path}: expected a journal of rows; it is a file of something else") from None


class Journal:
    """Rows of any number of sessions, one append-only file."""

    def __init__(self, path: Path, dtype: np.dtype[np.void]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.dtype = dtype
        self._file = FrameFile(path, msgspec.msgpack.encode({"dtype": describe(dtype)}))
        self._next: dict[str, int] = {}
        self._durable: dict[str, int] = {}
        self.rows = 0
        """Rows in it."""
        self._unsynced = False
        for frame in self._file.frames():
            self._count(self._session(frame), frame.number, frame.size // dtype.itemsize)
        self.sync(force=True)

    @property
    def cut_bytes(self) -> int:
        """How many bytes of an unfinished or damaged end were cut off on opening."""
        return self._file.cut_bytes

    def next_sequence(self, session: str) -> int:
        """The sequence expected next of a session; 0 for a new one."""
        return self._next.get(session, 0)

    def durable(self, session: str) -> int:
        """All rows of a session below this sequence are on the disk."""
        return self._durable.get(session, 0)

    def sessions(self) -> tuple[str, ...]:
        """Every session that has rows here, in the order they came."""
        return tuple(self._next)

    def append(self, session: str, first_sequence: int, rows: Rows) -> None:
        """Append rows with consecutive sequences. Raises DiskFullError, and then is as before."""
        self._file.append(first_sequence, rows.tobytes(), session.encode())
        self._count(session, first_sequence, len(rows))
        self._unsynced = True

    def replay(self) -> Iterator[tuple[str, Rows]]:
        """All rows in the order they arrived, with their session."""
        for frame in self._file.frames():
            yield self._session(frame), np.frombuffer(self._file.read(frame), self.dtype)

    def keep(self, rows: int) -> None:
        """Forget everything after the first ``rows`` rows. Raises StorageError, and then is as before, if
        they do not end where an ``append`` did."""
        frames = list(self._file.frames())
        ends = np.cumsum([0, *(frame.size // self.dtype.itemsize for frame in frames)])
        kept = int(np.searchsorted(ends, rows))
        if kept == len(ends) or ends[kept] != rows:
            raise StorageError(f"{self._file.path}: expected to keep {rows} rows; appends end at {ends[-5:]}")
        self._file.keep(frames[:kept])
        self._next, self._durable, self.rows = {}, {}, 0
        for frame in frames[:kept]:
            self._count(self._session(frame), frame.number, frame.size // self.dtype.itemsize)
        self.sync(force=True)

    def sync(self, force: bool = False) -> None:
        """Return once everything appended is on the disk; ``durable`` moves up to it."""
        if self._unsynced or force:
            self._file.sync()
            self._durable = dict(self._next)
            self._unsynced = False

    def close(self) -> None:
        """Sync and close."""
        self.sync()
        self._file.close()

    def _session(self, frame: Frame) -> str:
        """Whose rows a frame holds. Raises StorageError for a frame that no journal wrote."""
        try:
            if frame.size % self.dtype.itemsize == 0:
                return frame.tag.decode()
        except UnicodeDecodeError:
            pass
        raise StorageError(
            f"{self._file.path}: {frame.size} bytes of {frame.tag!r} are no session's rows of "
            f"{self.dtype.itemsize} bytes; move the file away"
        )

    def _count(self, session: str, first: int, count: int) -> None:
        self._next[session] = first + count
        self.rows += count
