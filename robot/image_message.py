"""A camera's frame in the log: a ROS 2 ``sensor_msgs/msg/CompressedImage``, which Foxglove and Rerun show.

The picture stays as the camera encoded it. Its stamp is when it was taken; the log's own time is when it
arrived here; its sequence is the camera's own count, so that a frame that never came is seen to be missing.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from robot.errors import WireError
from robot.log_schema import CDR_HEADER

CAMERAS: Final = "/camera/"
"""Of the topics with frames: ``/camera/NAME``."""
SCHEMA_NAME: Final = "sensor_msgs/msg/CompressedImage"
SCHEMA: Final = f"""std_msgs/Header header
string format
uint8[] data
{"=" * 80}
MSG: std_msgs/Header
builtin_interfaces/Time stamp
string frame_id
{"=" * 80}
MSG: builtin_interfaces/Time
int32 sec
uint32 nanosec
"""
"""As ROS 2 has it (common_interfaces, Humble)."""
_STAMP: Final = struct.Struct("<iI")
_LENGTH: Final = struct.Struct("<I")


@dataclass(frozen=True)
class Frame:
    """``number``: the camera's own count; ``captured_ns``, ``received_ns``: when it was exposed and when it
    was here, both monotonic [ns]; ``format``: ``jpeg`` or ``png``; ``data``: the encoded picture."""

    camera: str
    number: int
    captured_ns: int
    received_ns: int
    format: str
    data: bytes

    def encode(self) -> bytes:
        """The message's bytes (CDR: every length at a multiple of four, strings end in a zero)."""
        seconds, rest = divmod(self.captured_ns, 10**9)
        parts = _STAMP.pack(seconds, rest)
        for text in (self.camera, self.format):
            parts += b"\0" * (-len(parts) % 4) + _LENGTH.pack(len(text.encode()) + 1) + text.encode() + b"\0"
        return b"".join(
            (CDR_HEADER, parts, b"\0" * (-len(parts) % 4), _LENGTH.pack(len(self.data)), self.data)
        )


def decode_frame(message: bytes, number: int, received_ns: int) -> Frame:
    """A frame from its message. Raises WireError if it is none."""
    body = memoryview(message)[len(CDR_HEADER) :]
    try:
        if message[: len(CDR_HEADER)] != CDR_HEADER:
            raise ValueError("no little-endian CDR")
        seconds, rest = _STAMP.unpack_from(body)
        at, texts = _STAMP.size, []
        for _ in range(2):
            data, at = _sized(body, at)
            texts.append(bytes(data[:-1]).decode())
        data, at = _sized(body, at)
        if at != len(body):
            raise ValueError(f"{len(body) - at} bytes follow it")
    except (struct.error, ValueError) as error:
        raise WireError(f"expected a camera's frame of {len(message)} bytes; it is none: {error}") from None
    return Frame(texts[0], number, seconds * 10**9 + rest, received_ns, texts[1], bytes(data))


def _sized(body: memoryview, at: int) -> tuple[memoryview, int]:
    at += -at % 4
    (length,) = _LENGTH.unpack_from(body, at)
    stop = at + _LENGTH.size + length
    if stop > len(body):
        raise ValueError(f"{length} bytes were announced, {len(body) - at - _LENGTH.size} are there")
    return body[at + _LENGTH.size : stop], stop
