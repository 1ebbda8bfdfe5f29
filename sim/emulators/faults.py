"""Faults on a serial line, as windows in time: what a bad cable, a busy hub or a dying device does."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Literal

import numpy as np

from robot.layout import Struct

Kind = Literal[
    "drop",
    "corrupt",
    "truncate",
    "noise",
    "delay",
    "duplicate",
    "reorder",
    "replay",
    "freeze",
    "unplug",
    "error",
]
MEMORY = 100
"""How many frames back a replayed one may come from."""


class Fault(Struct):
    """One kind of fault from ``start_s`` to ``end_s`` of device time; it hits a frame with ``probability``.

    ``to``: the direction hit, ``host`` (what the device sends) or ``device`` (what it is sent). ``key``: only
    frames of this kind; ``most``: no more than so many hits (0: any number). ``noise`` puts random bytes
    before a frame, ``reorder`` holds one back until the next has gone, ``replay`` sends an old one of the
    kind just before it, ``freeze`` repeats the frames of the window's beginning, as a hung sensor does;
    ``unplug`` takes the port away and ``error`` makes using it fail (EIO), which opening it again mends.
    ``delay_s`` is the extra time of ``delay``.
    """

    kind: Kind
    start_s: float = 0.0
    end_s: float = 1e9  # for good; JSON knows no infinity
    probability: float = 1.0
    delay_s: float = 0.0
    to: Literal["host", "device"] = "host"
    key: int | str | None = None
    most: int = 0


class FaultPlan:
    """Applies faults to frames, reproducibly from its generator. ``counts``: frames hit (of ``unplug`` and
    ``error``: uses of the port that failed), by kind; ``first_ns``: when each kind first hit.
    ``line_delay_ns``: what every frame to the ``host`` or to the ``device`` takes longer [ns]; that is no
    fault, but what this line is like."""

    def __init__(self, rng: np.random.Generator, faults: Iterable[Fault] = ()) -> None:
        self._rng = rng
        self._faults: tuple[Fault, ...] = tuple(faults)
        self._frozen: dict[object, bytes] = {}
        self._held: dict[object, bytes] = {}
        self._past: dict[object, deque[bytes]] = {}
        self._hits: dict[Fault, int] = {}
        self.line_delay_ns: dict[str, int] = {}
        self.counts: dict[str, int] = {}
        self.first_ns: dict[str, int] = {}

    @property
    def faults(self) -> tuple[Fault, ...]:
        return self._faults

    def set(self, faults: Iterable[Fault]) -> None:
        """Replace all faults, while the device runs."""
        self._faults = tuple(faults)
        for memory in (self._frozen, self._held, self._past, self._hits):
            memory.clear()

    def add(self, fault: Fault) -> None:
        self._faults += (fault,)

    def unplugged(self, now_ns: int) -> bool:
        """Whether the port is gone at this time."""
        return any(f.kind == "unplug" and f.start_s * 1e9 <= now_ns < f.end_s * 1e9 for f in self._faults)

    def fails(self, now_ns: int) -> bool:
        """Whether using the port fails at this time."""
        return any(f.kind == "error" and self._strikes(f, now_ns) for f in self._faults)

    def note(self, kind: str, now_ns: int) -> None:
        """Count a hit."""
        self.counts[kind] = self.counts.get(kind, 0) + 1
        self.first_ns.setdefault(kind, now_ns)

    def apply(
        self, frame: bytes, now_ns: int, to: str = "host", key: object = None
    ) -> list[tuple[bytes, int]]:
        """What becomes of a frame: (bytes, extra delay [ns]) in order; nothing if it is dropped. ``key``
        tells kinds of frames apart, so that each freezes at its own content."""
        delay, copies = self.line_delay_ns.get(to, 0), 1
        if not self._faults:
            return [(frame, delay)]
        before: list[bytes] = []
        after: list[bytes] = []
        for fault in self._faults:
            if fault.to != to or fault.kind in ("unplug", "error"):
                continue
            if fault.key is not None and fault.key != key:
                continue
            if fault.kind == "replay":
                past = self._past.setdefault((fault, key), deque(maxlen=MEMORY))
                past.append(frame)
                if len(past) < 2:
                    continue
            elif fault.kind == "freeze" and now_ns >= fault.end_s * 1e9:
                self._frozen.pop((fault, key), None)
            elif fault.kind == "reorder" and (fault, to) in self._held:
                after.append(self._held.pop((fault, to)))
                continue
            if not self._strikes(fault, now_ns):
                continue
            if fault.kind == "drop":
                return []
            if fault.kind == "corrupt":
                frame = self._flip(frame)
            elif fault.kind == "truncate":
                frame = frame[: int(self._rng.integers(1, max(len(frame), 2)))]
            elif fault.kind == "noise":
                before.append(self._rng.bytes(int(self._rng.integers(1, 40))))
            elif fault.kind == "delay":
                delay += round(fault.delay_s * 1e9)
            elif fault.kind == "duplicate":
                copies = 2
            elif fault.kind == "reorder":
                self._held[fault, to] = frame
                return []
            elif fault.kind == "replay":
                before.append(past[int(self._rng.integers(len(past) - 1))])
            elif fault.kind == "freeze":
                frame = self._frozen.setdefault((fault, key), frame)
        return [(data, delay) for data in (*before, *[frame] * copies, *after)]

    def _strikes(self, fault: Fault, now_ns: int) -> bool:
        """Whether a fault hits now; counted if so."""
        if not fault.start_s * 1e9 <= now_ns < fault.end_s * 1e9:
            return False
        hits = self._hits.get(fault, 0)
        if fault.most and hits >= fault.most:
            return False
        if fault.probability < 1.0 and self._rng.random() >= fault.probability:
            return False
        self._hits[fault] = hits + 1
        self.note(fault.kind, now_ns)
        return True

    def _flip(self, frame: bytes) -> bytes:
        """One to three bits of the frame flipped."""
        damaged = bytearray(frame)
        for bit in self._rng.choice(
            len(frame) * 8, size=min(int(self._rng.integers(1, 4)), 8), replace=False
        ):
            damaged[bit // 8] ^= 1 << bit % 8
        return bytes(damaged)
