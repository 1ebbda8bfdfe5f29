"""One direction of a serial line: bytes go in at once and come out when a real line has carried them."""

from __future__ import annotations

from collections import deque
from typing import Literal

from robot.layout import Struct

USB_FRAME_NS = 1_000_000  # a full-speed host polls a bulk endpoint once per 1 ms frame (USB 2.0, 5.8)
USB_BYTES_PER_FRAME = 1216  # 19 bulk packets of 64 bytes


class LineDelay(Struct):
    """Everything that goes ``to`` the host or to the device takes ``seconds`` longer than its line does."""

    device: str
    to: Literal["host", "device"]
    seconds: float
    reason: str = ""

    def __post_init__(self) -> None:
        if not self.seconds >= 0:
            raise ValueError(f"a delay of 0 s or more was expected; got {self.seconds}")


class SerialLine:
    """A UART of ``baud`` (8N1: ten bits a byte), or USB (``baud`` 0), polled every millisecond.

    A UART's byte arrives when its stop bit has; bytes follow one another without a gap.
    """

    def __init__(self, baud: int) -> None:
        self._byte_ns = 10e9 / baud if baud else USB_FRAME_NS / USB_BYTES_PER_FRAME
        self._usb = baud == 0
        self._frames: deque[tuple[float, bytes]] = deque()  # (when the first bit starts [ns], bytes)
        self._busy_until = 0.0
        self._taken = 0  # bytes of the first frame that have already come out

    @property
    def pending(self) -> bool:
        return bool(self._frames)

    @property
    def byte_ns(self) -> float:
        """How long a byte takes [ns]."""
        return self._byte_ns

    def send(self, data: bytes, now_ns: int) -> None:
        """Put bytes on the line at ``now_ns``, behind whatever it still carries."""
        if not data:
            return
        start = max(float(now_ns), self._busy_until)
        if self._usb and start > self._busy_until:
            start = float(-(-now_ns // USB_FRAME_NS) * USB_FRAME_NS)
        self._frames.append((start, data))
        self._busy_until = start + len(data) * self._byte_ns

    def take(self, now_ns: int) -> bytes:
        """The bytes that have fully arrived by ``now_ns``."""
        frames = self._frames
        if not frames:
            return b""
        out = bytearray()
        while frames:
            start, data = frames[0]
            if now_ns <= start:
                break
            # Half a nanosecond of grace: the product of a count and a period is not exact.
            arrived = min(int((now_ns - start + 0.5) / self._byte_ns), len(data))
            out += data[self._taken : arrived]
            if arrived < len(data):
                self._taken = max(self._taken, arrived)
                break
            frames.popleft()
            self._taken = 0
        return bytes(out)

    def clear(self) -> None:
        """Lose whatever is under way (the plug was pulled)."""
        self._frames.clear()
        self._taken = 0
        self._busy_until = 0.0
