"""A log rewritten into another file: repaired, or with some of its messages left out or changed.

``rewrite`` never touches its source, and its result is there whole or not at all; ``seal`` closes a log that
was cut off in place, without reading its messages.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Final

from mcap.data_stream import ReadDataStream, RecordBuilder
from mcap.opcode import Opcode
from mcap.records import Channel, DataEnd, Footer, Header, Metadata, Schema
from mcap.writer import CompressionType, Writer

from robot.errors import SandlotError
from robot.frame_file import explain, sync_directory
from robot.mcap_records import MAGIC, RECORD, chunk_data, inside, records, understood
from robot.recorder import METADATA

CHUNK_BYTES: Final = 1 << 20
_HEAD: Final = struct.Struct("<HIQQ")  # channel, sequence, log time, publish time


@dataclass(frozen=True)
class Message:
    """One message of a log. ``sequence``: its position in the ring it came from; times monotonic [ns]."""

    topic: str
    sequence: int
    log_time_ns: int
    publish_time_ns: int
    data: bytes


Edit = Callable[[Message], Message | None]
"""What becomes of a message; None leaves it out."""


def repair(path: Path, out: Path) -> int:
    """Rewrite a cut or damaged log as a whole one with an index; returns how many messages it has.

    Raises SandlotError if ``out`` exists or the file is not a log.
    """
    return rewrite(path, out)


def rewrite(path: Path, out: Path, edit: Edit | None = None, about: Mapping[str, str] | None = None) -> int:
    """Write what ``edit`` leaves of every whole message to a new log, ``about`` into its metadata; returns
    how many messages it has. Raises SandlotError if ``out`` exists or the file is not a log."""
    if out.exists():
        raise SandlotError(f"{out} exists; choose another name for the new log")
    partial = out.with_name(f".{out.name}.partial")
    try:
        with understood(path), path.open("rb") as file, partial.open("wb") as target:
            count = _rewrite(file, path, target, edit, about or {})
            target.flush()
            os.fsync(target.fileno())
        partial.replace(out)
        sync_directory(out.parent)
    except OSError as error:
        raise explain(out, error) from error
    finally:
        partial.unlink(missing_ok=True)
    return count


def messages(path: Path) -> Iterator[Message]:
    """Every whole message of a log, in the order of the file. Raises SandlotError if it is none."""
    topics: dict[int, str] = {}
    with understood(path), path.open("rb") as file:
        for opcode, _, body in records(file, path):
            if opcode == Opcode.CHUNK:
                for kind, inner in inside(chunk_data(body)):
                    if kind == Opcode.CHANNEL:
                        channel = Channel.read(ReadDataStream(BytesIO(inner)))
                        topics[channel.id] = channel.topic
                    elif kind == Opcode.MESSAGE:
                        yield _message(topics, inner)


def _message(topics: Mapping[int, str], inner: bytes) -> Message:
    number, sequence, log_time, publish_time = _HEAD.unpack_from(inner)
    return Message(topics[number], sequence, log_time, publish_time, bytes(inner[_HEAD.size :]))


def _rewrite(
    file: BinaryIO, path: Path, target: BinaryIO, edit: Edit | None, about: Mapping[str, str]
) -> int:
    count = 0
    writer = Writer(target, compression=CompressionType.LZ4, chunk_size=CHUNK_BYTES)
    schemas: dict[int, int] = {0: 0}
    topics: dict[int, str] = {}
    channels: dict[str, int] = {}
    for opcode, _, body in records(file, path):
        stream = ReadDataStream(BytesIO(body))
        if opcode == Opcode.HEADER:
            writer.start(profile=Header.read(stream).profile, library="sandlot")
        elif opcode == Opcode.METADATA:
            metadata = Metadata.read(stream)
            more = about if metadata.name == METADATA else {}
            writer.add_metadata(metadata.name, {**metadata.metadata, **more})
        elif opcode == Opcode.CHUNK:
            for kind, inner in inside(chunk_data(body)):
                if kind == Opcode.SCHEMA:
                    schema = Schema.read(ReadDataStream(BytesIO(inner)))
                    schemas[schema.id] = writer.register_schema(schema.name, schema.encoding, schema.data)
                elif kind == Opcode.CHANNEL:
                    channel = Channel.read(ReadDataStream(BytesIO(inner)))
                    topics[channel.id] = channel.topic
                    channels[channel.topic] = writer.register_channel(
                        channel.topic,
                        channel.message_encoding,
                        schemas[channel.schema_id],
                        channel.metadata,
                    )
                elif kind == Opcode.MESSAGE:
                    message: Message | None = _message(topics, inner)
                    if edit is not None and message is not None:
                        message = edit(message)
                    if message is not None:
                        writer.add_message(
                            channels[message.topic],
                            message.log_time_ns,
                            message.data,
                            message.publish_time_ns,
                            message.sequence,
                        )
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
        for opcode, offset, body in records(file, path):
            if opcode == Opcode.FOOTER and file.read(len(MAGIC)) == MAGIC:
                return 0
            ended = ended or opcode == Opcode.DATA_END
            if not ended:
                end = offset + RECORD.size + len(body)
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
