"""One parameter at a time: at the edges of its range, and outward until the policy fails."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sim.episode_results import EpisodeResults
from sim.randomisation import LEAST, Draws, Parameter
from sim.validation.gates import Cell, endings

Array = NDArray[np.float64]

LIKELY, RARE = (0.05, 0.95), (0.01, 0.99)
"""Percentiles: inside them lie 90 and 98 % of what the calibration or the generic range says."""
STEPS = (2.0, 4.0)
"""How far outward a boundary is searched, in distances of the 99th percentile from the nominal value."""
ROUNDS = 3
"""Bisections of the bracket around a boundary: to an eighth of it."""


@dataclass(frozen=True)
class Point:
    """One parameter, alone, at one value."""

    parameter: Parameter
    value: float

    @property
    def label(self) -> str:
        return f"{self.parameter.name.replace('_', ' ')} {quantity(self.value, self.parameter.unit)}"


@dataclass(frozen=True)
class Boundary:
    """Between ``good`` and ``bad``, the value of a parameter at which a policy that else drives the nominal
    car stops succeeding."""

    parameter: Parameter
    good: float
    bad: float
    how: str

    def words(self) -> str:
        """Such as "crashed below tyre friction 0.61"."""
        side = "below" if self.bad < self.good else "above"
        middle = quantity((self.good + self.bad) / 2, self.parameter.unit)
        return f"{self.how} {side} {self.parameter.name.replace('_', ' ')} {middle}"


def varied(parameters: Sequence[Parameter]) -> list[Parameter]:
    """Those that are uncertain, without the start of an episode, which is where it is by intention."""
    return [p for p in parameters if p.quantile(0.01) != p.quantile(0.99) and not p.name.startswith("start_")]


def points(parameters: Sequence[Parameter], percentiles: Sequence[float]) -> list[Point]:
    """Each parameter at each percentile."""
    return [Point(p, p.quantile(q)) for p in parameters for q in percentiles]


def outward(
    parameters: Sequence[Parameter], possible: Callable[[str, float], bool] = lambda name, value: True
) -> list[list[Point]]:
    """For each parameter and side its edge and points beyond it, the nearest first, as far as a car can be so
    (``possible``: of a parameter's name and value)."""
    found = []
    for p in parameters:
        for edge in (p.quantile(RARE[0]), p.quantile(RARE[1])):
            line = [edge] + [_possible(p, p.value + step * (edge - p.value)) for step in STEPS]
            new = [k == 0 or (v != line[k - 1] and possible(p.name, v)) for k, v in enumerate(line)]
            reach = new.index(False) if False in new else len(line)
            found.append([Point(p, v) for v in line[:reach]])
    return found


def episodes(base: Draws, chosen: Sequence[Point]) -> Draws:
    """All episodes of ``base`` at every point, point by point; the same random numbers at each."""
    each = len(base)
    values: dict[str, Array] = {}
    for k, point in enumerate(chosen):
        column = values.setdefault(
            point.parameter.name, np.tile(base.column(point.parameter.name), len(chosen)).copy()
        )
        column[k * each : (k + 1) * each] = point.value
    changed: Mapping[str, float | Array] = dict(values)
    return base.take(np.tile(np.arange(each), len(chosen))).having(changed)


def split(results: EpisodeResults, labels: Sequence[str]) -> list[Cell]:
    """Results of ``episodes`` back into a cell per point."""
    each = len(results) // len(labels)
    return [
        Cell(
            label,
            EpisodeResults(
                results.rows[k * each : (k + 1) * each], results.parameters, results.limits, results.seed
            ),
        )
        for k, label in enumerate(labels)
    ]


def boundaries(
    drive: Callable[[Draws], EpisodeResults],
    base: Draws,
    lines: Sequence[Sequence[Point]],
    edges: Mapping[str, Cell],
    least: float,
) -> list[Boundary]:
    """Where along each of the ``lines`` (of ``outward``) fewer than ``least`` of the episodes of ``base``
    succeed, by bisection. ``edges``: what came of the lines' first points, by label. All lines are searched
    at once, so it takes ``ROUNDS`` + 1 batches."""
    seen = dict(edges)
    _try(drive, base, [p for line in lines if seen[line[0].label].rate >= least for p in line[1:]], seen)
    brackets = []
    for line in lines:
        good = line[0].parameter.value
        for point in line:
            if seen[point.label].rate < least:
                how = endings(seen[point.label].results).split(", ")[0].partition(" ")[2]
                brackets.append(Boundary(point.parameter, good, point.value, how))
                break
            good = point.value
    for _ in range(ROUNDS):
        middles = [Point(b.parameter, (b.good + b.bad) / 2) for b in brackets]
        _try(drive, base, middles, seen)
        brackets = [
            replace(b, good=m.value) if seen[m.label].rate >= least else replace(b, bad=m.value)
            for b, m in zip(brackets, middles, strict=True)
        ]
    return brackets


def _try(
    drive: Callable[[Draws], EpisodeResults], base: Draws, chosen: Sequence[Point], seen: dict[str, Cell]
) -> None:
    if chosen:
        labels = [point.label for point in chosen]
        seen.update((cell.label, cell) for cell in split(drive(episodes(base, chosen)), labels))


def quantity(value: float, unit: str) -> str:
    """A number with its unit, to three digits."""
    return f"{value:.3g}" if unit in ("", "1") else f"{value:.3g} {unit}"


def _possible(parameter: Parameter, value: float) -> float:
    """Kept to what the quantity can be: of its nominal sign, and shares and delays not below nothing."""
    if parameter.value > 0.0:
        value = max(value, LEAST * parameter.value)
    elif parameter.value == 0.0 and parameter.low is not None and parameter.low >= 0.0:
        value = max(value, 0.0)
    if parameter.name in ("drivetrain_efficiency", "duty_limit"):
        value = min(value, 1.0)
    return value if math.isfinite(value) else parameter.value
