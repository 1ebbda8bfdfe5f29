"""An MCAP file's records, as long as they are whole and sound: what a cut or damaged log still holds."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Final

import lz4.frame  # type: ignore[import-untyped]
from mcap.data_stream import ReadDataStream
from mcap.exceptions import McapError
from mcap.opcode import Opcode
from mcap.records import Chunk, Metadata

from robot.errors import SandlotError

MAGIC: Final = b"\x89MCAP0\r\n"
RECORD: Final = struct.Struct("<BQ")  # opcode, length
MOST: Final = 1 << 28
"""A record longer than this, packed or not, is damage, not data [bytes]."""
_NONSENSE: Final = (RuntimeError, ValueError, KeyError, TypeError, OverflowError, struct.error, McapError)
"""What reading raises on records that are whole, but not what a recorder of ours writes."""


@contextmanager
def understood(path: Path) -> Iterator[None]:
    """Whatever reading ``path`` raises within, as a SandlotError."""
    try:
        yield
    except _NONSENSE as error:
        raise SandlotError(
            f"{path} holds records that no recorder of this version wrote ({type(error).__name__}: {error}); "
            "read it with the version that did"
        ) from None


def records(file: BinaryIO, path: Path) -> Iterator[tuple[int, int, bytes]]:
    """Opcode, offset and body of every whole and sound record, until the first that is not."""
    if file.read(len(MAGIC)) != MAGIC:
        raise SandlotError(f"{path} is not an MCAP file")
    while True:
        offset = file.tell()
        head = file.read(RECORD.size)
        if len(head) < RECORD.size:
            return
        opcode, length = RECORD.unpack(head)
        if opcode == 0 or length > MOST:
            return
        body = file.read(length)
        if len(body) < length or not _sound(opcode, body):
            return
        yield opcode, offset, body


def _sound(opcode: int, body: bytes) -> bool:
    try:
        if opcode == Opcode.CHUNK:
            chunk_data(body)
        elif opcode == Opcode.METADATA:
            Metadata.read(ReadDataStream(BytesIO(body)))
    except (RuntimeError, ValueError, struct.error, McapError):
        return False
    return True


def chunk_data(body: bytes) -> bytes:
    """A chunk's content. Raises ValueError, RuntimeError or struct.error if it is damaged."""
    chunk = Chunk.read(ReadDataStream(BytesIO(body)))
    if chunk.uncompressed_size > MOST:
        raise ValueError(f"a chunk of {chunk.uncompressed_size} bytes")
    if chunk.compression == "lz4":
        # Never more than is announced: a few bytes can unpack to gigabytes.
        decompressor = lz4.frame.LZ4FrameDecompressor()
        data: bytes = decompressor.decompress(chunk.data, chunk.uncompressed_size + 1)
    elif chunk.compression == "":
        data = chunk.data
    else:
        raise ValueError(f"chunks compressed with {chunk.compression!r} are not ours")
    if len(data) != chunk.uncompressed_size or zlib.crc32(data) != chunk.uncompressed_crc:
        raise ValueError("a chunk's checksum differs")
    return data


def inside(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(data):
        opcode, length = RECORD.unpack_from(data, at)
        at += RECORD.size
        yield opcode, data[at : at + length]
        at += length
