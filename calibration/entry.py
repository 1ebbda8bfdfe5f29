"""What one run of a procedure found: values and covariance, where they come from, how long they hold."""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from robot.layout import Struct
from robot.spec import Calibration, Correlation, RobotSpec
from robot.utc import utc

Array = NDArray[np.float64]

AXES = ("x", "y", "z")
"""How the elements of a vector are told apart in a quantity's name."""


class Quantity(Struct):
    """A value that takes the place of the robot file's: the name of one of its calibration values, with _x,
    _y or _z behind it an element of one that is a vector, or of a parameter of the twin
    (``sim.car.CarParameters``)."""

    name: str
    unit: str
    value: float


class Finding(Struct):
    """Something measured on the way that nothing is computed with, for a person; ``sigma`` 0: not stated."""

    name: str
    unit: str
    value: float
    sigma: float = 0.0


class Check(Struct):
    """A rule of acceptance: ``measured`` [``unit``] is at most (or, if ``least``, at least) ``limit``."""

    rule: str
    unit: str
    measured: float
    limit: float
    least: bool = False

    @property
    def passed(self) -> bool:
        """Not a number has not passed."""
        return self.measured >= self.limit if self.least else self.measured <= self.limit


class Entry(Struct):
    """``covariance`` of ``quantities`` in their units, shape (n, n). ``robot``: its id, as the folder of its
    entries is called. ``date``, ``expires``: UTC, ISO 8601. ``software``: the revision that computed it;
    ``log_sha256``: of the raw data; ``source``: where they lay. ``frozen``: what the data could not tell, for
    a person."""

    procedure: str
    robot: str
    date: str
    expires: str
    method: str
    software: str
    log_sha256: str
    source: str
    quantities: tuple[Quantity, ...]
    covariance: tuple[tuple[float, ...], ...]
    checks: tuple[Check, ...]
    findings: tuple[Finding, ...] = ()
    frozen: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        n = len(self.quantities)
        if len(self.covariance) != n or any(len(row) != n for row in self.covariance):
            raise ValueError(f"{n} quantities need a covariance of {n} x {n}; got {self.covariance}")
        if any(not math.isfinite(q.value) for q in self.quantities):
            raise ValueError(f"a quantity is not finite: {self.quantities}")
        utc(self.expires)

    @property
    def passed(self) -> bool:
        return all(check.passed for check in self.checks)

    def expired(self, now: datetime.datetime) -> bool:
        return now >= utc(self.expires)

    def sigma(self, row: int) -> float:
        """Standard deviation of one quantity, in its unit."""
        return math.sqrt(max(self.covariance[row][row], 0.0))

    def correlation(self) -> Array:
        """Of the quantities, shape (n, n)."""
        covariance = np.array(self.covariance, np.float64).reshape(len(self.quantities), -1)
        scale = np.sqrt(np.diag(covariance))
        scale[scale == 0.0] = 1.0
        found: Array = covariance / np.outer(scale, scale)
        np.fill_diagonal(found, 1.0)
        return found


def with_unit(value: str, unit: str) -> str:
    """For a person, to whom a pure number needs no unit."""
    return value if unit == "1" else f"{value} {unit}"


def vector_of(values: Mapping[str, Calibration], name: str) -> tuple[str, tuple[float, ...], int] | None:
    """The vector that a name with _x, _y or _z is an element of, what it is now, and which element; None if
    it is a name of its own."""
    stem, _, axis = name.rpartition("_")
    if name in values or stem not in values or axis not in AXES:
        return None
    elements = values[stem].value
    return (stem, elements, AXES.index(axis)) if isinstance(elements, tuple) and len(elements) == 3 else None


def calibrated(spec: RobotSpec, entries: Sequence[Entry]) -> RobotSpec:
    """The robot with these entries' values in place of its file's, where they passed; of two that measured
    the same quantity the newer one counts. Values that have expired still are the best ones known: whoever
    arms the robot asks for their date. The calibration's hash follows from the values."""
    values = dict(spec.calibration)
    owner: dict[str, Entry] = {}
    for entry in sorted((e for e in entries if e.passed), key=lambda e: e.date):
        for row, quantity in enumerate(entry.quantities):
            name, sigma = quantity.name, entry.sigma(row)
            value: float | tuple[float, ...] = quantity.value
            vector = vector_of(values, name)
            if vector is not None:
                # Its standard deviation is that of the worst of the elements that were measured together.
                name, elements, at = vector
                value = (*elements[:at], quantity.value, *elements[at + 1 :])
                sigma = max(sigma, values[name].sigma if values[name].date == entry.date else 0.0)
            values[name] = Calibration(
                value=value,
                unit=quantity.unit,
                source=f"sandlot calibrate {entry.procedure}: {entry.method}",
                sigma=sigma,
                date=entry.date,
                expires=entry.expires,
            )
            owner[quantity.name] = entry
    found = list(spec.correlations)
    for entry in {id(e): e for e in owner.values()}.values():
        rows = [
            r
            for r, q in enumerate(entry.quantities)
            if owner[q.name] is entry and entry.sigma(r) > 0.0 and vector_of(values, q.name) is None
        ]
        if len(rows) > 1:
            matrix = entry.correlation()[np.ix_(rows, rows)]
            names = tuple(entry.quantities[r].name for r in rows)
            found.append(Correlation(names, tuple(tuple(row) for row in matrix.tolist())))
    return msgspec.structs.replace(spec, calibration=values, correlations=tuple(found))
