"""Quantities that no sensor reports but a limit needs: rates of change, power, disagreement, excess.

Each signal is computed from elements that come before it in the vector, so that one may build on another.
"""

from __future__ import annotations

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
        self._signals = spec.safety.signals
        self._start = layout.signals.start
        self._of = [
            np.array([self._earlier(layout, signal, name) for name in signal.of], np.intp)
            for signal in self._signals
        ]
        self._scale = [np.array(signal.scale or (1.0,) * len(signal.of)) for signal in self._signals]
        self._memory: Array = np.full((*batch, len(self._signals)), np.nan)
        """What a signal remembers: the low-passed value of a rate, the envelope of an excess."""
        self._last_ns: int | None = None

    def _earlier(self, layout: ElementLayout, signal: Signal, name: str) -> int:
        index = layout.index(name, f"signal {signal.name!r}")
        if index >= layout.index(signal.name, "a signal"):
            raise SpecError(f"signal {signal.name!r} is made of {name!r}, which must be declared before it")
        return index

    def update(self, now_ns: int, elements: Array) -> None:
        """Fill the signals' part of ``elements``, shape (..., n_elements), from the rest of it."""
        dt = 0.0 if self._last_ns is None else max(0, now_ns - self._last_ns) * 1e-9
        self._last_ns = now_ns
        for i, signal in enumerate(self._signals):
            parts = elements[..., self._of[i]] * self._scale[i]
            elements[..., self._start + i] = self._value(i, signal, parts, dt)

    def _value(self, i: int, signal: Signal, parts: Array, dt: float) -> Array:
        if signal.kind == "sum":
            return np.asarray(parts.sum(axis=-1))
        if signal.kind == "product":
            return np.asarray(parts.prod(axis=-1))
        if signal.kind == "norm":
            return np.asarray(np.sqrt(np.square(parts).sum(axis=-1)))
        if signal.kind == "rate":
            return self._rate(i, signal.time_constant_s, parts[..., 0], dt)
        return self._excess(i, signal.decay, parts, dt)

    def _rate(self, i: int, time_constant: float, value: Array, dt: float) -> Array:
        """The derivative of the low-passed value: (value - low-passed) / time constant, with the low-pass
        discretised exactly for a value held over the tick, so that any dt is stable."""
        smooth = self._memory[..., i]
        smooth = np.where(np.isfinite(smooth), smooth, value)
        smooth = value + (smooth - value) * np.exp(-dt / time_constant)
        self._memory[..., i] = smooth
        return np.asarray((value - smooth) / time_constant)

    def _excess(self, i: int, decay: float, parts: Array, dt: float) -> Array:
        """How far the magnitude of the measured value (first part) lies above what was asked for: the
        magnitude of the setpoint (second part), which is let down no faster than the robot can follow."""
        measured, asked = np.abs(parts[..., 0]), np.abs(parts[..., 1])
        envelope = np.fmax(asked, self._memory[..., i] - decay * dt)
        self._memory[..., i] = envelope
        return measured - envelope
