"""Reads a session's log back as numpy arrays per topic, however it ended: every whole chunk of it."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from mcap.data_stream import ReadDataStream
from mcap.opcode import Opcode
from mcap.records import Channel, Metadata
from numpy.typing import NDArray

from robot.errors import SandlotError, nearest
from robot.image_message import CAMERAS, Frame, decode_frame
from robot.mcap_records import MAGIC, RECORD, chunk_data, records, understood
from robot.messages import Event
from robot.recorder import EVENTS, METADATA, PILOT, STEPS, TICKS
from robot.wire import dtype_from

Rows = NDArray[np.void]

_MESSAGE: Final = struct.Struct("<BQHIQQ")  # opcode, length, channel, sequence, log time, publish time


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
    frames: dict[str, list[Frame]] = field(default_factory=dict)
    """Of each camera, as they came."""
    parts: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    """Of each file, how many step rows are in it, and its metadata."""

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
    logs: list[Log] = []
    for file in _files(path):
        with understood(file):
            logs.append(_read(file, topics))
    readable = [log for log in logs if log.arrays or log.events]
    if not readable:
        raise SandlotError(f"{path} has no whole chunk; nothing was recorded before it was cut off")
    first = readable[0]
    first.parts = [(len(log.arrays.get(STEPS, ())), log.metadata) for log in readable]
    for other in readable[1:]:
        for topic, rows in other.arrays.items():
            # Told the dtype, since numpy packs what it joins: fields would lie elsewhere than they did.
            first.arrays[topic] = np.concatenate([first.arrays[topic], rows], dtype=rows.dtype)
            first.sequences[topic] = np.concatenate([first.sequences[topic], other.sequences[topic]])
        first.events += other.events
        for camera, frames in other.frames.items():
            first.frames.setdefault(camera, []).extend(frames)
        first.event_sequences |= other.event_sequences
    first.complete = all(log.complete for log in logs)
    first.lost_bytes = sum(log.lost_bytes for log in logs)
    return first


def frames_of(path: Path, camera: str) -> Iterator[Frame]:
    """A camera's frames in a run's folder or log file, one chunk of them in memory at a time."""
    topic = [f"{CAMERAS}{camera}"]
    for file in _files(path):
        names: dict[int, Channel] = {}
        with understood(file), file.open("rb") as opened:
            for opcode, _, body in records(opened, file):
                if opcode == Opcode.CHUNK:
                    messages: dict[int, list[bytes]] = {number: [] for number in names}
                    _sort(chunk_data(body), names, messages, topic)
                    for number in names:
                        yield from map(_frame, messages[number])


def _files(path: Path) -> list[Path]:
    """Of a run's folder, or the one file. Raises SandlotError if there is none."""
    if not path.is_dir():
        return [path]
    files = log_files(path)
    if not files:
        raise SandlotError(f"no log.mcap in {path}; is it a run's folder?")
    # A courier that was killed while making its log leaves an empty file.
    return [file for file in files if file.stat().st_size >= len(MAGIC)]


def _read(path: Path, topics: Sequence[str] | None) -> Log:
    messages: dict[int, list[bytes]] = {}
    names: dict[int, Channel] = {}
    metadata: dict[str, str] = {}
    complete, end = False, len(MAGIC)
    with path.open("rb") as file:
        for opcode, offset, body in records(file, path):
            end = offset + RECORD.size + len(body)
            if opcode == Opcode.METADATA:
                record = Metadata.read(ReadDataStream(BytesIO(body)))
                if record.name == METADATA:
                    metadata = dict(record.metadata)
            elif opcode == Opcode.CHUNK:
                _sort(chunk_data(body), names, messages, topics)
            elif opcode == Opcode.FOOTER:
                complete = file.read(len(MAGIC)) == MAGIC
                end += len(MAGIC)
                break
        length = file.seek(0, 2)
    log = Log({}, {}, [], metadata, complete, length - end)
    for number, channel in names.items():
        if channel.topic.startswith(CAMERAS):
            log.frames[channel.topic.removeprefix(CAMERAS)] = [_frame(data) for data in messages[number]]
        elif channel.message_encoding == "cdr":
            _rows(log, channel, b"".join(messages[number]))
        elif channel.topic == EVENTS:
            _events(log, messages[number])
    return log


def _sort(
    data: bytes, names: dict[int, Channel], messages: dict[int, list[bytes]], topics: Sequence[str] | None
) -> None:
    """Put a chunk's messages, whole with their headers, with those of their channel."""
    at, size = 0, len(data)
    while at < size:
        opcode, length = RECORD.unpack_from(data, at)
        stop = at + RECORD.size + length
        if opcode == Opcode.MESSAGE:
            kept = messages.get(int.from_bytes(data[at + 9 : at + 11], "little"))
            if kept is not None:
                kept.append(data[at:stop])
        elif opcode == Opcode.CHANNEL:
            channel = Channel.read(ReadDataStream(BytesIO(data[at + RECORD.size : stop])))
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


def _frame(data: bytes) -> Frame:
    _, _, _, number, received_ns, _ = _MESSAGE.unpack_from(data)
    return decode_frame(data[_MESSAGE.size :], number, received_ns)


def _events(log: Log, messages: list[bytes]) -> None:
    for data in messages:
        plain: dict[str, Any] = msgspec.json.decode(data[_MESSAGE.size :])
        source = plain.pop("source")
        log.events.append(LoggedEvent(source, msgspec.convert(plain, Event)))
        log.event_sequences[source] = _MESSAGE.unpack_from(data)[3]
