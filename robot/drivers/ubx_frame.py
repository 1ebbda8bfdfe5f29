"""UBX frames in a byte stream: 0xB5 0x62, class, id, length (little endian), payload, two check bytes.

Source: u-blox ZED-F9P interface description UBX-22008968, section 3.2.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate

SYNC = b"\xb5\x62"
OVERHEAD = 8  # bytes a frame adds to its payload
MAX_PAYLOAD = 1024  # bytes; longer than any message a driver here asks for


def checksum(data: bytes | bytearray | memoryview) -> tuple[int, int]:
    """The two check bytes over class, id, length and payload (8-bit Fletcher)."""
    return sum(data) & 255, sum(accumulate(data)) & 255


class UbxParser:
    """Finds UBX frames, whatever lies between them (NMEA sentences, RTCM, noise).

    ``count`` is called with the name of what was wrong: ``bad_checksum``, ``oversize``, ``garbage`` (once for
    a run of bytes that belong to no frame).
    """

    def __init__(self, count: Callable[[str], object], max_payload: int = MAX_PAYLOAD) -> None:
        self._count = count
        self._max = max_payload
        self._buffer = bytearray()
        self._in_garbage = False

    @property
    def pending(self) -> int:
        """How many bytes wait for the rest of their frame."""
        return len(self._buffer)

    def reset(self) -> None:
        """Forget a partial frame (after a reconnection)."""
        self._buffer.clear()
        self._in_garbage = False

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes; return whole frames, checked, in order. Never raises."""
        buffer = self._buffer
        buffer += data
        found: list[bytes] = []
        at, end = 0, len(buffer)
        while True:
            start = buffer.find(SYNC, at)
            if start < 0:
                # A last 0xB5 may be the first half of what comes next.
                start = end - 1 if end > at and buffer[-1] == SYNC[0] else end
            if start > at:
                if not self._in_garbage:
                    self._count("garbage")
                self._in_garbage = True
            at = start
            if end - at < 6:
                break
            size = buffer[at + 4] | buffer[at + 5] << 8
            if size > self._max:
                self._skip("oversize")
                at += 2
                continue
            total = size + OVERHEAD
            if end - at < total:
                break
            frame = bytes(buffer[at : at + total])
            if checksum(frame[2:-2]) != (frame[-2], frame[-1]):
                self._skip("bad_checksum")
                at += 2
                continue
            found.append(frame)
            self._in_garbage = False
            at += total
        del buffer[:at]
        return found

    def _skip(self, name: str) -> None:
        if not self._in_garbage:
            self._count(name)
        self._in_garbage = True  # what follows is the rest of the same bad frame
