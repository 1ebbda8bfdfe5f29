"""Quantities that no sensor reports but a limit needs: rates of change, power, disagreement, excess.

Each signal is computed from elements that come before it in the vector, so that one may build on another.
Those that do not build on each other are computed together: a call of numpy costs much the same for one
number as for ten.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from robot.errors import SpecError
from robot.safety.elements import ElementLayout
from robot.safety_spec import Signal
from robot.spec import RobotSpec

Array = NDArray[np.float64]


class Signals:
    """Computes the spec's signals in place, for one robot or a batch (``batch``: the leading shape)."""

    def __init__(self, spec: RobotSpec, layout: ElementLayout, batch: tuple[int, ...] = ()) -> None:
        levels: list[dict[tuple[str, int], list[Signal]]] = []
        depth: dict[str, int] = {}
        for signal in spec.safety.signals:
            for name in signal.of:
                _earlier(layout, signal, name)
            depth[signal.name] = level = max(depth.get(name, -1) for name in signal.of) + 1
            if level == len(levels):
                levels.append({})
            levels[level].setdefault((signal.kind, len(signal.of)), []).append(signal)
        self._groups = [_Group(alike, layout, batch) for level in levels for alike in level.values()]
        self._last_ns: int | None = None

    def update(self, now_ns: int, elements: Array) -> None:
        """Fill the signals' part of ``elements``, shape (..., n_elements), from the rest of it."""
        dt = 0.0 if self._last_ns is None else max(0, now_ns - self._last_ns) * 1e-9
        self._last_ns = now_ns
        for group in self._groups:
            parts = elements.take(group.of, axis=-1)
            parts *= group.scale
            elements[..., group.places] = group.values(parts, dt)


class _Group:
    """Signals of one kind that are made of as many parts each and not of each other. ``of``, ``scale``: their
    parts, shape (n, n_parts); ``places``: where they go, shape (n,)."""

    def __init__(self, signals: Sequence[Signal], layout: ElementLayout, batch: tuple[int, ...]) -> None:
        self._kind = signals[0].kind
        self.of = np.array([[layout.names.index(name) for name in s.of] for s in signals], np.intp)
        self.scale = np.array([s.scale or (1.0,) * len(s.of) for s in signals])
        self.places = np.array([layout.names.index(s.name) for s in signals], np.intp)
        self._time_constant = np.array([s.time_constant_s for s in signals])
        self._decay = np.array([s.decay for s in signals])
        self._memory: Array = np.full((*batch, len(signals)), np.nan)
        """What a signal remembers: the low-passed value of a rate, the envelope of an excess."""

    def values(self, parts: Array, dt: float) -> Array:
        """The signals now, shape (..., n), from their scaled parts, shape (..., n, n_parts)."""
        if self._kind == "sum":
            return np.asarray(np.add.reduce(parts, axis=-1))
        if self._kind == "product":
            return np.asarray(np.multiply.reduce(parts, axis=-1))
        if self._kind == "norm":
            return np.asarray(np.sqrt(np.add.reduce(np.square(parts), axis=-1)))
        if self._kind == "rate":
            return self._rates(parts[..., 0], dt)
        return self._excesses(parts[..., 0], parts[..., 1], dt)

    def _rates(self, value: Array, dt: float) -> Array:
        """The derivative of the low-passed value: (value - low-passed) / time constant, with the low-pass
        discretised exactly for a value held over the tick, so that any dt is stable."""
        smooth = self._memory
        np.copyto(smooth, value, where=~np.isfinite(smooth))
        smooth -= value
        smooth *= np.exp(-dt / self._time_constant)
        smooth += value
        return np.asarray((value - smooth) / self._time_constant)

    def _excesses(self, measured: Array, asked: Array, dt: float) -> Array:
        """How far the magnitude of the measured value lies above what was asked for: the magnitude of the
        setpoint, which is let down no faster than the robot can follow."""
        envelope = self._memory
        envelope -= self._decay * dt
        np.fmax(np.abs(asked), envelope, out=envelope)
        return np.abs(measured) - envelope


def _earlier(layout: ElementLayout, signal: Signal, name: str) -> int:
    index = layout.index(name, f"signal {signal.name!r}")
    if index >= layout.index(signal.name, "a signal"):
        raise SpecError(f"signal {signal.name!r} is made of {name!r}, which must be declared before it")
    return index
