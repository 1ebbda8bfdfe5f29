"""Reads a session's log back, however it ended: every whole chunk of it.

``read_log`` gives numpy arrays per topic; ``repair`` rewrites a damaged file with an index; ``seal`` closes
one in place, without reading its messages.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, Final

import lz4.frame  # type: ignore[import-untyped]
import msgspec
import numpy as np
from mcap.data_stream import ReadDataStream, RecordBuilder
from mcap.exceptions import McapError
from mcap.opcode import Opcode
from mcap.records import Channel, Chunk, DataEnd, Footer, Header, Metadata, Schema
from mcap.writer import CompressionType, Writer
from numpy.typing import NDArray

from robot.errors import SandlotError, nearest
from robot.frame_file import sync_directory
from robot.messages import Event
from robot.recorder import EVENTS, METADATA, PILOT, STEPS, TICKS
from robot.wire import dtype_from

Rows = NDArray[np.void]

MAGIC: Final = b"\x89MCAP0\r\n"
_RECORD: Final = struct.Struct("<BQ")
_MESSAGE: Final = struct.Struct("<BQHIQQ")  # opcode, length, channel, sequence, log time, publish time
_MOST: Final = 1 << 28
"""A record longer than this, packed or not, is damage, not data [bytes]."""
_NONSENSE: Final = (RuntimeError, ValueError, KeyError, TypeError, OverflowError, struct.error, McapError)
"""What reading raises on records that are whole, but not what a recorder of ours writes."""


@dataclass(frozen=True)
class LoggedEvent:
    """An event and which process it came from."""

    source: str
    event: Event


@dataclass
class Log:
    """What a log holds: arrays by topic, their positions in the ring they came from, events and metadata."""

    arrays: dict[str, Rows]
    sequences: dict[str, NDArray[np.uint32]]
    events: list[LoggedEvent]
    metadata: dict[str, str]
    complete: bool
    """The file was closed properly: it has its index and footer."""
    lost_bytes: int
    """Bytes at the end that are not a whole record."""
    event_sequences: dict[str, int] = field(default_factory=dict)
    """The last ring position of each source's events."""

    def __getitem__(self, topic: str) -> Rows:
        try:
            return self.arrays[topic]
        except KeyError:
            raise SandlotError(f"the log has no topic {topic!r}; {nearest(topic, self.arrays)}") from None

    @property
    def ticks(self) -> Rows:
        """Guardian ticks, dtype ``tick_dtype``."""
        return self[TICKS]

    @property
    def steps(self) -> Rows:
        """Step rows, dtype ``step_dtype``."""
        return self[STEPS]

    @property
    def pilot(self) -> Rows:
        """Pilot records."""
        return self[PILOT]

    def times(self, kind: str) -> list[int]:
        """Monotonic times of the events of one kind [ns]."""
        return [logged.event.time_ns for logged in self.events if logged.event.kind == kind]


def log_files(directory: Path) -> list[Path]:
    """A run's log files in order: ``log.mcap``, then one more for each restart of the courier."""
    files: list[Path] = []
    while (path := numbered(directory, len(files))).exists():
        files.append(path)
    return files


def numbered(directory: Path, number: int) -> Path:
    """The name of a run's n-th log file."""
    return directory / ("log.mcap" if number == 0 else f"log.{number}.mcap")


def read_log(path: Path, topics: Sequence[str] | None = None) -> Log:
    """Read one log file, or all of a run's folder one after another; ``topics`` restricts what is kept.

    Raises SandlotError if there is no log at all or it has no whole chunk.
    """
    files = log_files(path) if path.is_dir() else [path]
    if not files:
        raise SandlotError(f"no log.mcap in {path}; is it a run's folder?")
    # A courier that was killed while making its log leaves an empty file.
    found = [file for file in files if not (path.is_dir() and file.stat().st_size < len(MAGIC))]
    logs: list[Log] = []
    for file in found:
        with _understood(file):
            logs.append(_read(file, topics))
    readable = [log for log in logs if log.arrays or log.events]
    if not readable:
        raise SandlotError(f"{files[0]} has no whole chunk; nothing was recorded before it was cut off")
    first = readable[0]
    for other in readable[1:]:
        for topic, rows in other.arrays.items():
            first.arrays[topic] = np.concatenate([first.arrays[topic], rows])
            first.sequences[topic] = np.concatenate([first.sequences[topic], other.sequences[topic]])
        first.events += other.events
        first.event_sequences |= other.event_sequences
    first.complete = all(log.complete for log in logs)
    first.lost_bytes = sum(log.lost_bytes for log in logs)
    return first


def repair(path: Path, out: Path) -> int:
    """Rewrite a cut or damaged log as a whole one with an index; returns how many messages it has.

    Raises SandlotError if ``out`` exists or the file is not a log.
    """
    if out.exists():
        raise SandlotError(f"{out} exists; choose another name for the repaired log")
    try:
        with _understood(path), path.open("rb") as file, out.open("wb") as target:
            return _rewrite(file, path, target)
    except SandlotError:
        out.unlink(missing_ok=True)
        raise


def _rewrite(file: BinaryIO, path: Path, target: BinaryIO) -> int:
    count = 0
    writer = Writer(target, compression=CompressionType.LZ4, chunk_size=1 << 20)
    schemas: dict[int, int] = {0: 0}
    channels: dict[int, int] = {}
    for opcode, _, body in _records(file, path):
        stream = ReadDataStream(BytesIO(body))
        if opcode == Opcode.HEADER:
            writer.start(profile=Header.read(stream).profile, library="sandlot")
        elif opcode == Opcode.METADATA:
            metadata = Metadata.read(stream)
            writer.add_metadata(metadata.name, metadata.metadata)
        elif opcode == Opcode.CHUNK:
            for kind, inner in _inside(_chunk_data(body)):
                if kind == Opcode.SCHEMA:
                    schema = Schema.read(ReadDataStream(BytesIO(inner)))
                    schemas[schema.id] = writer.register_schema(schema.name, schema.encoding, schema.data)
                elif kind == Opcode.CHANNEL:
                    channel = Channel.read(ReadDataStream(BytesIO(inner)))
                    channels[channel.id] = writer.register_channel(
                        channel.topic,
                        channel.message_encoding,
                        schemas[channel.schema_id],
                        channel.metadata,
                    )
                elif kind == Opcode.MESSAGE:
                    number, sequence, log_time, publish_time = struct.unpack_from("<HIQQ", inner)
                    writer.add_message(channels[number], log_time, inner[22:], publish_time, sequence)
                    count += 1
    writer.finish()
    return count


def seal(path: Path) -> int:
    """Close a log that was cut off, in place: drop the unfinished tail and write the end of file.

    It then opens everywhere, without an index. Returns how many bytes were dropped. A complete file is left
    alone.
    """
    with path.open("r+b") as file:
        end, ended = len(MAGIC), False
        for opcode, offset, body in _records(file, path):
            if opcode == Opcode.FOOTER and file.read(len(MAGIC)) == MAGIC:
                return 0
            ended = ended or opcode == Opcode.DATA_END
            if not ended:
                end = offset + _RECORD.size + len(body)
        length = file.seek(0, 2)
        builder = RecordBuilder()
        DataEnd(data_section_crc=0).write(builder)
        Footer(summary_start=0, summary_offset_start=0, summary_crc=0).write(builder)
        file.seek(end)
        file.truncate()
        file.write(builder.end() + MAGIC)
        file.flush()
    sync_directory(path.parent)
    return length - end


def _read(path: Path, topics: Sequence[str] | None) -> Log:
    messages: dict[int, list[bytes]] = {}
    names: dict[int, Channel] = {}
    metadata: dict[str, str] = {}
    complete, end = False, len(MAGIC)
    with path.open("rb") as file:
        for opcode, offset, body in _records(file, path):
            end = offset + _RECORD.size + len(body)
            if opcode == Opcode.METADATA:
                record = Metadata.read(ReadDataStream(BytesIO(body)))
                if record.name == METADATA:
                    metadata = dict(record.metadata)
            elif opcode == Opcode.CHUNK:
                _sort(_chunk_data(body), names, messages, topics)
            elif opcode == Opcode.FOOTER:
                complete = file.read(len(MAGIC)) == MAGIC
                end += len(MAGIC)
                break
        length = file.seek(0, 2)
    log = Log({}, {}, [], metadata, complete, length - end)
    for number, channel in names.items():
        data = b"".join(messages[number])
        if channel.message_encoding == "cdr":
            _rows(log, channel, data)
        elif channel.topic == EVENTS:
            _events(log, messages[number])
    return log


@contextmanager
def _understood(path: Path) -> Iterator[None]:
    try:
        yield
    except _NONSENSE as error:
        raise SandlotError(
            f"{path} holds records that no recorder of this version wrote ({type(error).__name__}: {error}); "
            "read it with the version that did"
        ) from None


def _sort(
    data: bytes, names: dict[int, Channel], messages: dict[int, list[bytes]], topics: Sequence[str] | None
) -> None:
    """Put a chunk's messages, whole with their headers, with those of their channel."""
    at, size = 0, len(data)
    while at < size:
        opcode, length = _RECORD.unpack_from(data, at)
        stop = at + _RECORD.size + length
        if opcode == Opcode.MESSAGE:
            kept = messages.get(int.from_bytes(data[at + 9 : at + 11], "little"))
            if kept is not None:
                kept.append(data[at:stop])
        elif opcode == Opcode.CHANNEL:
            channel = Channel.read(ReadDataStream(BytesIO(data[at + _RECORD.size : stop])))
            if topics is None or channel.topic in topics:
                names[channel.id] = channel
                messages.setdefault(channel.id, [])
        at = stop


def _rows(log: Log, channel: Channel, data: bytes) -> None:
    """Every message of such a channel has the same size, so all of them are one array."""
    dtype = dtype_from(msgspec.json.decode(channel.metadata["dtype"]))
    packed = np.dtype(
        {
            "names": ["sequence", "row"],
            "formats": ["<u4", dtype],
            "offsets": [11, _MESSAGE.size + 4],
            "itemsize": _MESSAGE.size + 4 + dtype.itemsize,
        }
    )
    framed = np.frombuffer(data, packed)
    log.arrays[channel.topic] = framed["row"].copy()
    log.sequences[channel.topic] = framed["sequence"].copy()


def _events(log: Log, messages: list[bytes]) -> None:
    for data in messages:
        plain: dict[str, Any] = msgspec.json.decode(data[_MESSAGE.size :])
        source = plain.pop("source")
        log.events.append(LoggedEvent(source, msgspec.convert(plain, Event)))
        log.event_sequences[source] = _MESSAGE.unpack_from(data)[3]


def _records(file: BinaryIO, path: Path) -> Iterator[tuple[int, int, bytes]]:
    """Opcode, offset and body of every whole and sound record, until the first that is not."""
    if file.read(len(MAGIC)) != MAGIC:
        raise SandlotError(f"{path} is not an MCAP file")
    while True:
        offset = file.tell()
        head = file.read(_RECORD.size)
        if len(head) < _RECORD.size:
            return
        opcode, length = _RECORD.unpack(head)
        if opcode == 0 or length > _MOST:
            return
        body = file.read(length)
        if len(body) < length or not _sound(opcode, body):
            return
        yield opcode, offset, body


def _sound(opcode: int, body: bytes) -> bool:
    try:
        if opcode == Opcode.CHUNK:
            _chunk_data(body)
        elif opcode == Opcode.METADATA:
            Metadata.read(ReadDataStream(BytesIO(body)))
    except (RuntimeError, ValueError, struct.error, McapError):
        return False
    return True


def _chunk_data(body: bytes) -> bytes:
    """A chunk's content. Raises ValueError, RuntimeError or struct.error if it is damaged."""
    chunk = Chunk.read(ReadDataStream(BytesIO(body)))
    if chunk.uncompressed_size > _MOST:
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


def _inside(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(data):
        opcode, length = _RECORD.unpack_from(data, at)
        at += _RECORD.size
        yield opcode, data[at : at + length]
        at += length
