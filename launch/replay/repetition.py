"""A drive and the same commands once more: how far what was measured differs, signal by signal."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robot.errors import SandlotError
from robot.messages import Actor
from robot.spec import RobotSpec

Array = NDArray[np.float64]
Rows = NDArray[np.void]


@dataclass(frozen=True)
class Signal:
    """``first`` and ``again`` (n,): as recorded and as repeated, at the same times after the first command.
    An angle goes on beyond a turn."""

    name: str
    unit: str
    first: Array
    again: Array

    @property
    def difference(self) -> Array:
        return self.again - self.first

    @property
    def rms(self) -> float:
        return float(np.sqrt(np.nanmean(np.square(self.difference)))) if self.known else float("nan")

    @property
    def most(self) -> float:
        return float(np.nanmax(np.abs(self.difference))) if self.known else float("nan")

    @property
    def at(self) -> int:
        """Where it differs most."""
        return int(np.nanargmax(np.abs(self.difference))) if self.known else 0

    @property
    def swing(self) -> float:
        """How much the recorded signal moves itself: its standard deviation."""
        return float(np.nanstd(self.first)) if np.isfinite(self.first).any() else float("nan")

    @property
    def known(self) -> bool:
        return bool(np.isfinite(self.difference).any())


@dataclass(frozen=True)
class Repetition:
    """``time_s`` (n,) since the first command; ``signals``: the state's elements, what was sent, and what
    each sensor measured; ``jitter_s``: how much later or earlier than recorded a command came, at most;
    ``altered``: in so many ticks safety changed what was asked for, then and now."""

    time_s: Array
    signals: tuple[Signal, ...]
    jitter_s: float
    altered: tuple[int, int]

    def signal(self, name: str) -> Signal:
        return next(signal for signal in self.signals if signal.name == name)


def repetition(spec: RobotSpec, first: Rows, again: Rows) -> Repetition:
    """``first``: the recorded drive's ticks; ``again``: all of the session that repeated it. Compares as far
    as both go. Raises SandlotError if nothing was repeated."""
    played = np.flatnonzero(again["actor"] == Actor.SCRIPT)
    if len(played) < 2:
        raise SandlotError("nothing was repeated: the robot never drove by the recorded commands")
    again = again[played[0] : played[-1] + 1]
    origin = _commands(first, first["time_ns"][0])
    repeated = _commands(again, again["command"]["time_ns"][0])
    # A command that lasts was sent again; those of a pilot come once each.
    ends = min(_since(first, origin[0])[-1], _since(again, repeated[0])[-1])
    grid = _since(first, origin[0])
    grid = grid[(grid >= 0.0) & (grid <= ends)]
    signals = []
    for name, unit, of_first, of_again in _columns(spec, first, again, origin[0], repeated[0]):
        values = [_at(grid, times, column, unit) for times, column in (of_first, of_again)]
        signals.append(Signal(name, unit, *values))
    due, came = ((ns - ns[0]) * 1e-9 for ns in (origin, repeated))
    due = due[due <= min(ends, came[-1])]
    after = np.clip(np.searchsorted(came, due), 1, len(came) - 1)
    off = np.minimum(np.abs(came[after] - due), np.abs(came[after - 1] - due))
    altered = [
        int(rows["altered"][_since(rows, ns[0]) <= ends].sum())
        for rows, ns in ((first, origin), (again, repeated))
    ]
    return Repetition(grid, tuple(signals), float(off.max()), (altered[0], altered[1]))


def _commands(rows: Rows, since_ns: int) -> NDArray[np.int64]:
    """When each command was published [ns]."""
    times: NDArray[np.int64] = np.unique(rows["command"]["time_ns"])
    return times[times >= since_ns]


def _since(rows: Rows, origin_ns: int) -> Array:
    return np.asarray((rows["time_ns"] - origin_ns) * 1e-9)


Column = tuple[Array, Array]
"""Times [s] and values."""


def _columns(
    spec: RobotSpec, first: Rows, again: Rows, origin_ns: int, repeated_ns: int
) -> list[tuple[str, str, Column, Column]]:
    """Name and unit of each signal, and what both have of it."""
    both, found = ((first, origin_ns), (again, repeated_ns)), []
    units = [field.unit for field in spec.estimator.state for _ in field.element_names()]
    for k, (name, unit) in enumerate(zip(spec.state_layout.names, units, strict=True)):
        one, two = ((_since(rows, ns), rows["state"][:, k]) for rows, ns in both)
        found.append((name, unit, one, two))
    for k, actuator in enumerate(spec.actuators):
        one, two = ((_since(rows, ns), rows["sent"][:, k]) for rows, ns in both)
        found.append((f"sent.{actuator.name}", actuator.unit, one, two))
    for sensor in spec.sensors:
        units = [field.unit for field in sensor.fields for _ in field.element_names()]
        samples = []
        for rows, ns in both:
            measured = rows["measured"][sensor.name]
            _, fresh = np.unique(measured["time_ns"], return_index=True)
            samples.append(((measured["time_ns"][fresh] - ns) * 1e-9, measured["values"][fresh]))
        for k, (name, unit) in enumerate(zip(sensor.layout.names, units, strict=True)):
            one, two = ((times, values[:, k]) for times, values in samples)
            found.append((f"{sensor.name}.{name}", unit, one, two))
    return found


def _at(grid: Array, times: Array, values: Array, unit: str) -> Array:
    """Between the samples before and after each time; an angle the short way round."""
    values = np.asarray(values, np.float64)
    fine = np.isfinite(values)
    if fine.sum() < 2:
        return np.full(len(grid), np.nan)
    times, values = times[fine], values[fine]
    if unit == "rad":
        values = np.unwrap(values)
    return np.interp(grid, times, values, left=np.nan, right=np.nan)
