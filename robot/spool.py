"""Step rows on the robot's disk until the learner says that they are durable on its own."""

from __future__ import annotations

import bisect
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from robot.frame_file import Frame, FrameFile, StorageError, sync_directory
from robot.wire import MAX_COUNT, describe

Rows = NDArray[np.void]

_NAME: Final = re.compile(r"[0-9]{20}\.steps")

SEGMENT_BYTES: Final = 4 << 20
"""A segment is the unit of trimming: 4 MiB is a quarter of an hour of state-only rows at 20 Hz."""


@dataclass(frozen=True, slots=True)
class _Batch:
    first: int
    count: int
    file: FrameFile
    frame: Frame

    @property
    def end(self) -> int:
        """One more than the sequence of its last row."""
        return self.first + self.count


class Spool:
    """Rows by sequence, appended in order, readable from anywhere, trimmed from the front.

    A process killed at any byte loses nothing it appended; a battery pulled loses what was not synced. On
    reopening, ``next_sequence`` says what is there already. Sequences may have gaps (rows lost upstream).
    """

    def __init__(
        self, directory: Path, dtype: np.dtype[np.void], session: str, segment_bytes: int = SEGMENT_BYTES
    ) -> None:
        self.dtype = dtype
        self._directory = directory
        self._segment_bytes = segment_bytes
        self._about = msgspec.msgpack.encode({"session": session, "dtype": describe(dtype)})
        self._files: list[FrameFile] = []
        self._batches: list[_Batch] = []
        self.next_sequence = 0
        """One more than the last row's sequence."""
        self.cut_bytes = 0
        """Bytes of unfinished frames that were cut off on opening."""
        self.written_bytes = 0
        """Bytes of rows appended since then."""
        self._unsynced = False
        directory.mkdir(parents=True, exist_ok=True)
        for path in sorted(directory.glob("*.steps")):
            self._open(path)

    @property
    def first_sequence(self) -> int:
        """The oldest sequence still here; ``next_sequence`` if there is none."""
        return self._batches[0].first if self._batches else self.next_sequence

    def append(self, first_sequence: int, rows: Rows) -> None:
        """Append rows whose sequences are consecutive from ``first_sequence`` on.

        Raises DiskFullError (the spool is then as before) and StorageError for rows it already has.
        """
        if first_sequence < self.next_sequence:
            raise StorageError(
                f"rows from {first_sequence} on are in the spool already (it ends at {self.next_sequence})"
            )
        if not len(rows):
            return
        if not self._files or self._files[-1].size >= self._segment_bytes:
            if self._files:
                self._files[-1].sync()  # so that only the last segment can ever lose its tail
            path = self._directory / f"{first_sequence:020d}.steps"
            self._files.append(FrameFile(path, self._about))
        file = self._files[-1]
        frame = file.append(first_sequence, rows.tobytes())
        self.written_bytes += frame.size
        self._batches.append(_Batch(first_sequence, len(rows), file, frame))
        self.next_sequence = first_sequence + len(rows)
        self._unsynced = True

    def read(self, sequence: int, most: int) -> tuple[int, Rows]:
        """Up to ``most`` rows of consecutive sequences, from the first one at or after ``sequence``.

        Returns that first sequence and the rows, none if there are none.
        """
        at = bisect.bisect_right(self._batches, sequence, key=lambda b: b.first) - 1
        at = max(at, 0)
        if at < len(self._batches) and self._batches[at].end <= sequence:
            at += 1
        if at >= len(self._batches):
            return self.next_sequence, np.empty(0, self.dtype)
        first = max(sequence, self._batches[at].first)
        skip = first - self._batches[at].first
        parts: list[bytes] = []
        have, expected = -skip, self._batches[at].first
        for batch in self._batches[at:]:
            if have >= most or batch.first != expected:
                break
            parts.append(batch.file.read(batch.frame))
            have += batch.count
            expected += batch.count
        rows = np.frombuffer(b"".join(parts), self.dtype)
        return first, rows[skip : skip + most]

    def sync(self) -> None:
        """Return once everything appended is on the disk."""
        if self._unsynced:
            self._files[-1].sync()
            self._unsynced = False

    def trim(self, below: int) -> None:
        """Forget rows below a sequence, whole segments at a time; the newest segment stays."""
        while len(self._files) > 1:
            file = self._files[0]
            kept = bisect.bisect_left(self._batches, int(self._files[1].path.stem), key=lambda b: b.first)
            if kept and self._batches[kept - 1].end > below:
                return
            del self._batches[:kept]
            file.close()
            file.path.unlink(missing_ok=True)
            del self._files[0]
            sync_directory(self._directory)

    def close(self) -> None:
        """Sync and close."""
        self.sync()
        for file in self._files:
            file.close()
        self._files.clear()

    def _open(self, path: Path) -> None:
        if not _NAME.fullmatch(path.name) or int(path.stem) > MAX_COUNT:
            raise StorageError(f"{path} is no spool's file; move it out of the session's folder")
        file = FrameFile(path, self._about)
        self._files.append(file)
        self.cut_bytes += file.cut_bytes
        # Its name is the first sequence it was made for: what is below has been here, even if no row is left.
        self.next_sequence = max(self.next_sequence, int(path.stem))
        for frame in file.frames():
            count, rest = divmod(frame.size, self.dtype.itemsize)
            follows = self.next_sequence <= frame.number <= MAX_COUNT - count
            if rest or not count or not follows:
                raise StorageError(
                    f"{path}: {frame.size} bytes from sequence {frame.number} on are not rows of "
                    f"{self.dtype.itemsize} bytes that follow {self.next_sequence}; move the file away"
                )
            self._batches.append(_Batch(frame.number, count, file, frame))
            self.next_sequence = frame.number + count
