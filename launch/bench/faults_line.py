"""A serial line with an ear on it: which frames went in, which came out, and what a lying device makes of
them."""

from __future__ import annotations

from collections.abc import Callable

from robot.drivers.vesc_frame import FrameParser
from sim.emulators.faults import FaultPlan

Passed = tuple[int, bytes]
"""When [ns of device time], and the payload."""


class TappedLine(FaultPlan):
    """Faults as in ``FaultPlan``, and beyond them: ``lie`` may replace a frame on its way (or drop it: None)
    given (frame, direction, key). ``said``, ``obeyed``: payloads that the host sent and those that reached
    the device, faults applied; ``told``: those that the device sent."""

    _ear = False

    def listen(self) -> None:
        """Note from now on what passes."""
        self._ear = True
        self.lie: Callable[[bytes, str, object], bytes | None] | None = None
        self.lies = 0
        self.said: list[Passed] = []
        self.obeyed: list[Passed] = []
        self.told: list[Passed] = []
        self._sent, self._arrived = FrameParser(_ignore), FrameParser(_ignore)
        self._reported = FrameParser(_ignore)

    def apply(
        self, frame: bytes, now_ns: int, to: str = "host", key: object = None
    ) -> list[tuple[bytes, int]]:
        if not self._ear:
            return super().apply(frame, now_ns, to, key)
        into, out = (self._sent, self.said) if to == "device" else (self._reported, self.told)
        out += [(now_ns, payload) for payload in into.feed(frame)]
        if self.lie is not None:
            told = self.lie(frame, to, key)
            if told != frame:
                self.lies += 1
                self.note("lie", now_ns)
            if told is None:
                return []
            frame = told
        passed = super().apply(frame, now_ns, to, key)
        if to == "device":
            for data, delay in passed:
                self.obeyed += [(now_ns + delay, payload) for payload in self._arrived.feed(data)]
        return passed


def _ignore(name: str) -> None:
    """A bad frame is the receiver's to complain about."""
