"""Faults on a serial line, as windows in time: what a bad cable, a busy hub or a dying device does."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import numpy as np

from robot.spec import Struct

Kind = Literal["drop", "corrupt", "delay", "duplicate", "freeze", "unplug"]


class Fault(Struct):
    """One kind of fault from ``start_s`` to ``end_s`` of device time; it hits a frame with ``probability``.

    ``to``: the direction hit, ``host`` (what the device sends) or ``device`` (what it is sent). ``freeze``
    repeats the frames of the window's beginning, as a hung sensor does; ``unplug`` takes the port away.
    ``delay_s`` is the extra time of ``delay``.
    """

    kind: Kind
    start_s: float = 0.0
    end_s: float = 1e9  # for good; JSON knows no infinity
    probability: float = 1.0
    delay_s: float = 0.0
    to: Literal["host", "device"] = "host"


class FaultPlan:
    """Applies faults to frames, reproducibly from its generator. ``counts``: frames hit, by kind."""

    def __init__(self, rng: np.random.Generator, faults: Iterable[Fault] = ()) -> None:
        self._rng = rng
        self._faults: tuple[Fault, ...] = tuple(faults)
        self._frozen: dict[object, bytes] = {}
        self.counts: dict[str, int] = {}

    @property
    def faults(self) -> tuple[Fault, ...]:
        return self._faults

    def set(self, faults: Iterable[Fault]) -> None:
        """Replace all faults, while the device runs."""
        self._faults = tuple(faults)
        self._frozen.clear()

    def add(self, fault: Fault) -> None:
        self._faults += (fault,)

    def unplugged(self, now_ns: int) -> bool:
        """Whether the port is gone at this time."""
        return any(f.kind == "unplug" and f.start_s * 1e9 <= now_ns < f.end_s * 1e9 for f in self._faults)

    def apply(
        self, frame: bytes, now_ns: int, to: str = "host", key: object = None
    ) -> list[tuple[bytes, int]]:
        """What becomes of a frame: (bytes, extra delay [ns]) in order; nothing if it is dropped. ``key``
        tells kinds of frames apart, so that each freezes at its own content."""
        if not self._faults:
            return [(frame, 0)]
        delay, copies = 0, 1
        for fault in self._faults:
            if fault.to != to or fault.kind == "unplug":
                continue
            if not fault.start_s * 1e9 <= now_ns < fault.end_s * 1e9:
                if fault.kind == "freeze" and now_ns >= fault.end_s * 1e9:
                    self._frozen.pop((fault, key), None)
                continue
            if fault.probability < 1.0 and self._rng.random() >= fault.probability:
                continue
            self.counts[fault.kind] = self.counts.get(fault.kind, 0) + 1
            if fault.kind == "drop":
                return []
            if fault.kind == "corrupt":
                frame = self._flip(frame)
            elif fault.kind == "delay":
                delay += round(fault.delay_s * 1e9)
            elif fault.kind == "duplicate":
                copies = 2
            elif fault.kind == "freeze":
                frame = self._frozen.setdefault((fault, key), frame)
        return [(frame, delay)] * copies

    def _flip(self, frame: bytes) -> bytes:
        """One to three bits of the frame flipped."""
        damaged = bytearray(frame)
        for bit in self._rng.choice(
            len(frame) * 8, size=min(int(self._rng.integers(1, 4)), 8), replace=False
        ):
            damaged[bit // 8] ^= 1 << bit % 8
        return bytes(damaged)
