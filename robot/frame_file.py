"""An append-only file of checksummed frames that survives a cut at any byte.

Opening scans it and cuts off whatever is not a whole frame; what ``append`` returned is in the page cache
(survives the process), what ``sync`` returned is on the disk (survives the battery).
"""

from __future__ import annotations

import errno
import os
import shutil
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from robot.errors import SandlotError

_MAGIC: Final = b"SANDLOT FRAMES 1\n"
_ABOUT: Final = struct.Struct("<II")  # length, CRC-32 of what the file is about
_HEADER: Final = struct.Struct(
    "<2sHIQI"
)  # mark, tag length, payload length, number, CRC-32 of all but itself
_CHECKED: Final = struct.Struct("<2sHIQ")
_MARK: Final = b"\xf5f"
_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class StorageError(SandlotError):
    """A file cannot be read, written, or belongs to something else."""


class DiskFullError(StorageError):
    """There is no room left; what was written before is whole."""


@dataclass(frozen=True, slots=True)
class Frame:
    """Where a frame's payload lies, and its number and tag."""

    offset: int
    size: int
    number: int
    tag: bytes


class FrameFile:
    """``about`` names the content (such as a dtype); a file about something else is refused."""

    def __init__(self, path: Path, about: bytes) -> None:
        self.path = path
        self.cut_bytes = 0
        """How many bytes of an unfinished or damaged tail were cut off on opening."""
        start = _MAGIC + _ABOUT.pack(len(about), zlib.crc32(about)) + about
        self._start = self._size = len(start)
        try:
            self._file = path.open("a+b", buffering=0)
            found = os.pread(self._file.fileno(), len(start), 0)
        except OSError as error:
            raise explain(path, error) from error
        if found == start:
            self._cut()
        elif len(found) < len(start) and start.startswith(found):
            self._size = 0
            self._truncate(0)  # the process died while making it
            self._write(start)
            self.sync()
            sync_directory(path.parent)
        else:
            self._file.close()
            raise StorageError(
                f"{path} was made for another session, task or version; move it away or start a new session"
            )

    @property
    def size(self) -> int:
        """Bytes written."""
        return self._size

    def append(self, number: int, payload: bytes, tag: bytes = b"") -> Frame:
        """Append a frame. Raises DiskFullError, after which the file is as it was before."""
        checked = _CHECKED.pack(_MARK, len(tag), len(payload), number)
        crc = zlib.crc32(payload, zlib.crc32(tag, zlib.crc32(checked)))
        offset = self._size + _HEADER.size + len(tag)
        self._write(b"".join((checked, crc.to_bytes(4, "little"), tag, payload)))
        return Frame(offset, len(payload), number, tag)

    def frames(self) -> Iterator[Frame]:
        """All whole frames in order, looked up in the file: a log of months is not kept in memory."""
        position = self._start
        with self.path.open("rb", buffering=1 << 20) as file:
            length = file.seek(0, os.SEEK_END)
            file.seek(position)
            while (frame := _next(file, position, length)) is not None:
                yield frame
                position = frame.offset + frame.size

    def read(self, frame: Frame) -> bytes:
        """A frame's payload."""
        data = os.pread(self._file.fileno(), frame.size, frame.offset)
        if len(data) != frame.size:
            raise StorageError(f"{self.path} became shorter while in use; nothing else may write to it")
        return data

    def keep(self, frames: Sequence[Frame]) -> None:
        """Cut off everything after ``frames``, the file's first ones."""
        self._size = frames[-1].offset + frames[-1].size if frames else self._start
        self._truncate(self._size)

    def sync(self) -> None:
        """Return once everything appended is on the disk."""
        try:
            os.fdatasync(self._file.fileno())
        except OSError as error:
            raise explain(self.path, error) from error

    def close(self) -> None:
        self._file.close()

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._file.fileno(), view) :]
        except OSError as error:
            self._truncate(self._size)
            raise explain(self.path, error) from error
        self._size += len(data)

    def _truncate(self, size: int) -> None:
        os.ftruncate(self._file.fileno(), size)

    def _cut(self) -> None:
        for frame in self.frames():
            self._size = frame.offset + frame.size
        self.cut_bytes = os.fstat(self._file.fileno()).st_size - self._size
        if self.cut_bytes:
            self._truncate(self._size)


def read_about(path: Path) -> bytes:
    """What a file says its content is. Raises StorageError if it is no file of frames."""
    try:
        with path.open("rb") as file:
            magic, header = file.read(len(_MAGIC)), file.read(_ABOUT.size)
            if magic == _MAGIC and len(header) == _ABOUT.size:
                length, crc = _ABOUT.unpack(header)
                about = file.read(length)
                if len(about) == length and zlib.crc32(about) == crc:
                    return about
    except OSError as error:
        raise explain(path, error) from error
    raise StorageError(f"{path}: expected a file of frames, such as a journal; its beginning is of none")


def _next(file: BinaryIO, position: int, length: int) -> Frame | None:
    """The whole and sound frame at ``position``, or None."""
    header = file.read(_HEADER.size)
    if len(header) < _HEADER.size:
        return None
    mark, tag_size, size, number, crc = _HEADER.unpack(header)
    offset = position + _HEADER.size + tag_size
    if mark != _MARK or offset + size > length:
        return None
    body = file.read(tag_size + size)
    if zlib.crc32(body, zlib.crc32(header[: _CHECKED.size])) != crc:
        return None
    return Frame(offset, size, number, body[:tag_size])


def write_atomically(path: Path, data: bytes, mode: int = 0o644, sync: bool = True) -> None:
    """Replace a file's content: a reader sees the old or the new one, whole; with ``sync`` also after a power
    cut. Raises DiskFullError or StorageError."""
    temporary = path.with_name(f".{path.name}.partial")
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
            file.write(data)
            file.flush()
            if sync:
                os.fsync(file.fileno())
        temporary.replace(path)
        if sync:
            sync_directory(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise explain(path, error) from error


def sync_directory(directory: Path) -> None:
    """Make names in a folder durable."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def made_whole(into: Path) -> Iterator[Path]:
    """An empty folder that replaces ``into`` once it has been filled: what is killed or fails meanwhile
    leaves nothing that could be taken for it."""
    partial = into.with_name(f".{into.name}.partial")
    for leftover in (partial, into):
        shutil.rmtree(leftover, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    partial.replace(into)


def explain(path: Path, error: OSError) -> StorageError:
    """An operating system's error as DiskFullError or StorageError."""
    if error.errno in _FULL:
        return DiskFullError(f"no room left to write {path}: {error.strerror}; free some space on that disk")
    return StorageError(f"cannot use {path}: {error.strerror}")
