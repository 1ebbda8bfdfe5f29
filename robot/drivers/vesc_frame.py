"""VESC frames: a start byte (2: one length byte, 3: two), the length, the payload, its CRC-16/XMODEM and the
stop byte 3; numbers are big endian. Source: comm/packet.c of the public VESC firmware 6.
"""

from __future__ import annotations

from binascii import crc_hqx
from collections.abc import Callable

from robot.errors import WireError

MAX_PAYLOAD = 512  # bytes; PACKET_MAX_PL_LEN of the firmware
OVERHEAD = 5  # bytes a frame of up to 255 payload bytes adds
_STOP = 3
_LONG_FROM = 255  # a two-byte length below this is malformed (packet.c)


def frame(payload: bytes) -> bytes:
    """A payload of 1 to 512 bytes as a frame. Raises WireError for any other length."""
    size = len(payload)
    if not 0 < size <= MAX_PAYLOAD:
        raise WireError(f"a VESC payload has 1 to {MAX_PAYLOAD} bytes; got {size}")
    head = bytes((2, size)) if size < 256 else bytes((3, size >> 8, size & 255))
    return head + payload + crc_hqx(payload, 0).to_bytes(2, "big") + b"\x03"


class FrameParser:
    """Finds frames in a byte stream, whatever lies between them.

    ``count`` is called with the name of what was wrong: ``bad_crc``, ``bad_stop``, ``oversize``, ``garbage``
    (once for a run of bytes that start no frame). A frame that fails is searched again from its second byte,
    and what is found wrong inside it is not counted a second time.
    """

    def __init__(self, count: Callable[[str], object], max_payload: int = MAX_PAYLOAD) -> None:
        self._count = count
        self._max = max_payload
        self._buffer = bytearray()
        self._suspect = 0  # bytes of the buffer that belong to a frame already counted as bad

    @property
    def pending(self) -> int:
        """How many bytes wait for the rest of their frame."""
        return len(self._buffer)

    def reset(self) -> None:
        """Forget a partial frame (after a reconnection)."""
        self._buffer.clear()
        self._suspect = 0

    def give_up(self) -> list[bytes]:
        """The rest of the pending frame is not coming: drop its first byte and look at what follows it."""
        if not self._buffer:
            return []
        del self._buffer[:1]
        self._suspect = len(self._buffer)
        return self.feed(b"")

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes; return the payloads of the frames that are now complete, in order. Never raises."""
        buffer = self._buffer
        buffer += data
        found: list[bytes] = []
        at, end = 0, len(buffer)
        while at < end:
            start = buffer[at]
            if start == 2:
                head = 2
            elif start == 3:
                head = 3
            else:
                next_start = at + 1
                while next_start < end and buffer[next_start] not in (2, 3):
                    next_start += 1
                self._wrong("garbage", at, 0)
                at = next_start
                continue
            if end - at < head:
                break
            size = buffer[at + 1] if head == 2 else buffer[at + 1] << 8 | buffer[at + 2]
            if size == 0 or (head == 3 and size < _LONG_FROM):
                self._wrong("garbage", at, head)
                at += 1
                continue
            if size > self._max:
                self._wrong("oversize", at, head)
                at += 1
                continue
            total = head + size + 3
            if end - at < total:
                break
            if buffer[at + total - 1] != _STOP:
                self._wrong("bad_stop", at, total)
                at += 1
                continue
            payload = bytes(buffer[at + head : at + head + size])
            if crc_hqx(payload, 0) != buffer[at + total - 3] << 8 | buffer[at + total - 2]:
                self._wrong("bad_crc", at, total)
                at += 1
                continue
            found.append(payload)
            at += total
        del buffer[:at]
        self._suspect = max(0, self._suspect - at)
        return found

    def _wrong(self, name: str, at: int, length: int) -> None:
        if at >= self._suspect:
            self._count(name)
            self._suspect = at + length
