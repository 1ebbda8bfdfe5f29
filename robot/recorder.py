"""The session's log: an MCAP file that opens in Foxglove and can be read however it ended.

Every chunk that was flushed is whole; what the disk does not take stays in memory and the file remains valid
up to the last flush.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from mcap.writer import CompressionType, Writer
from numpy.typing import NDArray

from robot.contract import TaskContract, step_dtype
from robot.frame_file import explain, sync_directory
from robot.image_message import CAMERAS, SCHEMA, SCHEMA_NAME, Frame
from robot.log_schema import Names, RecordSchema, step_names, tick_names
from robot.messages import PILOT_DTYPE, Event, tick_dtype
from robot.spec import RobotSpec
from robot.wire import describe

Rows = NDArray[np.void]

TICKS: Final = "/ticks"
STEPS: Final = "/steps"
PILOT: Final = "/pilot"
EVENTS: Final = "/events"
METADATA: Final = "sandlot"

CHUNK_BYTES: Final = 4 << 20
"""Chunks are closed by time (``flush``); this bounds one in between."""

EVENT_SCHEMA: Final = {
    "type": "object",
    "properties": {
        "time_ns": {"type": "integer", "description": "monotonic time [ns]"},
        "source": {"type": "string"},
        "kind": {"type": "string"},
        "value": {"type": "number"},
        "text": {"type": "string"},
    },
    "required": ["time_ns", "source", "kind", "value", "text"],
}


class Recorder:
    """Writes one MCAP file. Channel sequence numbers are the records' positions in their rings."""

    def __init__(
        self, path: Path, spec: RobotSpec, contract: TaskContract, about: Mapping[str, str] | None = None
    ) -> None:
        """``about``: further plain text for the metadata, such as the manifest. Raises StorageError."""
        self.path = path
        self._output = _Output(path)
        self._writer = Writer(
            self._output,
            chunk_size=CHUNK_BYTES,
            compression=CompressionType.LZ4,
        )
        self._writer.start(profile="ros2", library="sandlot")
        self._schemas: dict[str, RecordSchema] = {}
        self._channels: dict[str, int] = {}
        self._register(TICKS, "Tick", tick_dtype(spec), tick_names(spec))
        self._register(STEPS, "Step", step_dtype(contract), step_names(contract))
        self._register(PILOT, "Pilot", PILOT_DTYPE, {})
        events = self._writer.register_schema(
            "sandlot.Event", "jsonschema", msgspec.json.encode(EVENT_SCHEMA)
        )
        self._channels[EVENTS] = self._writer.register_channel(EVENTS, "json", events)
        dtypes = {topic: describe(schema.dtype) for topic, schema in self._schemas.items()}
        self._writer.add_metadata(
            METADATA,
            {
                "spec": msgspec.json.encode(spec).decode(),
                "contract": msgspec.json.encode(contract).decode(),
                "contract_hash": contract.hash(),
                "calibration_hash": spec.calibration_hash(),
                "dtypes": msgspec.json.encode(dtypes).decode(),
                **(about or {}),
            },
        )
        self._output.commit()

    @property
    def bytes(self) -> int:
        """Bytes in the file."""
        return self._output.committed

    @property
    def pending(self) -> bool:
        """Whether a finished chunk waits in memory, because the disk was full."""
        return self._output.pending > 0

    def rows(self, topic: str, first: int, rows: Rows) -> None:
        """Add records of a topic; ``first`` is the position of the first one in its ring."""
        channel = self._channels[topic]
        times = rows["time_ns"].tolist()
        for k, data in enumerate(self._schemas[topic].encode(rows)):
            time_ns = max(times[k], 0)
            self._writer.add_message(channel, time_ns, data, time_ns, (first + k) & 0xFFFFFFFF)

    def frame(self, frame: Frame) -> None:
        """Add a camera's frame, as the camera encoded it."""
        topic = f"{CAMERAS}{frame.camera}"
        if topic not in self._channels:
            number = self._writer.register_schema(SCHEMA_NAME, "ros2msg", SCHEMA.encode())
            self._channels[topic] = self._writer.register_channel(topic, "cdr", number)
        self._writer.add_message(
            self._channels[topic],
            max(frame.received_ns, 0),
            frame.encode(),
            max(frame.captured_ns, 0),
            frame.number & 0xFFFFFFFF,
        )

    def event(self, source: str, event: Event, sequence: int = 0) -> None:
        """Add an event; ``source`` says which process it came from."""
        data = msgspec.json.encode(
            {
                "time_ns": event.time_ns,
                "source": source,
                "kind": event.kind,
                "value": event.value,
                "text": event.text,
            }
        )
        time_ns = max(event.time_ns, 0)
        self._writer.add_message(self._channels[EVENTS], time_ns, data, time_ns, sequence & 0xFFFFFFFF)

    def flush(self) -> None:
        """Close the chunk and hand it to the operating system: a kill from here on does not lose it.

        Raises DiskFullError: the file is then as it was before, the chunk waits for the next flush.
        """
        self._writer.flush()
        self._output.commit()

    def sync(self) -> None:
        """Return once everything flushed is on the disk."""
        self._output.sync()

    def close(self) -> None:
        """Write the index and close. Raises DiskFullError; what was flushed stays readable."""
        try:
            self._writer.finish()
            self._output.commit()
            self._output.sync()
        finally:
            self._output.close()

    def _register(self, topic: str, name: str, dtype: np.dtype[np.void], names: Names) -> None:
        schema = RecordSchema(dtype, names)
        number = self._writer.register_schema(f"sandlot_msgs/msg/{name}", "ros2msg", schema.text.encode())
        described = msgspec.json.encode(describe(dtype)).decode()
        self._channels[topic] = self._writer.register_channel(topic, "cdr", number, {"dtype": described})
        self._schemas[topic] = schema


class _Output:
    """What the MCAP writer writes to: memory first, then the file, all of it or nothing."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._pending = bytearray()
        self.committed = 0
        try:
            self._handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
            sync_directory(path.parent)
        except OSError as error:
            raise explain(path, error) from error

    @property
    def pending(self) -> int:
        return len(self._pending)

    def write(self, data: Any) -> int:
        self._pending += data
        return len(data)

    def tell(self) -> int:
        return self.committed + len(self._pending)

    def flush(self) -> None:
        """Nothing yet: ``commit`` does."""

    def commit(self) -> None:
        view = memoryview(bytes(self._pending))
        try:
            while view:
                view = view[os.write(self._handle, view) :]
        except OSError as error:
            os.ftruncate(self._handle, self.committed)
            os.lseek(self._handle, self.committed, os.SEEK_SET)
            raise explain(self._path, error) from error
        self.committed += len(self._pending)
        self._pending.clear()

    def sync(self) -> None:
        try:
            os.fdatasync(self._handle)
        except OSError as error:
            raise explain(self._path, error) from error

    def close(self) -> None:
        os.close(self._handle)
