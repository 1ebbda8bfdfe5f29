"""CRSF frames, as radio receivers send them: address, length of the rest, type, payload, check byte.

Source: TBS, CRSF protocol, revision 7 (2017): frame structure, 0x14 link statistics, 0x16 RC channels packed.
A UART of 420,000 baud, 8N1, not inverted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

ADDRESS = 0xC8
CHANNELS = 16
RC_CHANNELS, LINK_STATISTICS = 0x16, 0x14
CHANNELS_SIZE = 22  # bytes: 16 channels of 11 bits, the least significant bit first
LINK_SIZE = 10
LINK_QUALITY = 2  # which byte of the link statistics is the uplink's quality [%]
LOWEST, HIGHEST = 172, 1811  # what a channel counts at 988 and 2012 us
MAX_LENGTH = 62  # bytes after the length: type, payload, check byte


def _table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = (byte << 1 ^ 0xD5) & 255 if byte & 128 else byte << 1
        table.append(byte)
    return tuple(table)


_CRC = _table()


def crc8(data: bytes | bytearray | memoryview) -> int:
    """CRC-8/DVB-S2 (polynomial 0xD5) over type and payload."""
    crc = 0
    for byte in data:
        crc = _CRC[crc ^ byte]
    return crc


def frame(kind: int, payload: bytes) -> bytes:
    """One frame of a receiver."""
    body = bytes((kind,)) + payload
    return bytes((ADDRESS, len(body) + 1)) + body + bytes((crc8(body),))


def pack_channels(counts: Sequence[int]) -> bytes:
    """16 counts of 0 to 2047 as the payload of RC_CHANNELS."""
    whole = sum((count & 2047) << 11 * k for k, count in enumerate(counts))
    return whole.to_bytes(CHANNELS_SIZE, "little")


def unpack_channels(payload: bytes) -> list[int]:
    """The 16 counts of an RC_CHANNELS payload."""
    whole = int.from_bytes(payload[:CHANNELS_SIZE], "little")
    return [whole >> 11 * k & 2047 for k in range(CHANNELS)]


def level(count: int) -> float:
    """A channel's count as -1 (988 us) to 1 (2012 us), a little beyond where the transmitter's ends are."""
    return (2 * count - (LOWEST + HIGHEST)) / (HIGHEST - LOWEST)


def count(level: float) -> int:
    """The inverse of ``level``, for whoever sends."""
    return min(max(round((level * (HIGHEST - LOWEST) + LOWEST + HIGHEST) / 2), 0), 2047)


class CrsfParser:
    """Finds frames in a byte stream. ``count`` is called with what was wrong: ``bad_crc``, ``garbage`` (once
    for a run of bytes that start no frame)."""

    def __init__(self, count: Callable[[str], object]) -> None:
        self._count = count
        self._buffer = bytearray()
        self._in_garbage = False

    def reset(self) -> None:
        self._buffer.clear()
        self._in_garbage = False

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Take bytes; return (type, payload) of each whole frame, in order. Never raises."""
        buffer = self._buffer
        buffer += data
        found: list[tuple[int, bytes]] = []
        at, end = 0, len(buffer)
        while end - at >= 2:
            length = buffer[at + 1]
            if buffer[at] != ADDRESS or not 2 <= length <= MAX_LENGTH:
                if not self._in_garbage:
                    self._count("garbage")
                self._in_garbage = True
                at += 1
                continue
            if end - at < length + 2:
                break
            body = bytes(buffer[at + 2 : at + 1 + length])
            if crc8(body) != buffer[at + 1 + length]:
                self._count("bad_crc")
                at += 1
                self._in_garbage = True  # what follows it is part of it, and counted already
                continue
            self._in_garbage = False
            found.append((body[0], body[1:]))
            at += length + 2
        del buffer[:at]
        return found
