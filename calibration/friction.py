"""Tyre friction on a floor, from pulling the car with locked wheels or from tilting a board of that floor.

A level pull F that keeps the car sliding, or breaks it away, is F = mu m g; on a board it slides when
rise / run = mu. Both may be given, of breaking away and of sliding: the twin's tyres are Coulomb's and know
one number, so how far the two lie apart is part of the number's uncertainty.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from calibration.confidence import student_over_normal
from calibration.entry import Check, Finding, Quantity
from calibration.procedure import Array, CalibrationError, Estimate, Panel, Series
from robot.layout import Struct
from robot.spec import RobotSpec
from sim.car import GRAVITY

FEWEST = 5
"""Readings of one kind without which nothing is said."""
MOST_ERROR, MOST_APART = 0.05, 0.05
"""Accepted (reference, Friction): of the coefficient [1], 95 %; drag and board apart [1]."""
MOST_OFF, TIMES_USUAL = 0.1, 5.0
"""A reading so far from its kind's median [1], and so many times as far as is usual, is a mistake."""
RULER_SIGMA = 0.002
"""Of rise and run [m]."""
USUAL = (0.2, 1.8)
"""Rubber on anything from wet tiles to clean asphalt [1]; outside, something was not read as was meant."""

Motion = Literal["breakaway", "sliding"]
ABOUT = (
    "Lock the wheels of the car (a strap through the rims: the motor's brake lets one wheel turn against "
    "another), ready to drive otherwise, on the floor to be driven on. Pull level with a spring scale, at "
    "the height of the hubs, or tilt a board with that floor on it until the car slides."
)


class Drag(Struct):
    """``force`` [N] of a level pull: when the car broke away, or what kept it sliding."""

    force: float
    motion: Motion = "sliding"


class Incline(Struct):
    """``rise`` over ``run`` [m] of the board on which it broke away, or went on sliding once nudged."""

    rise: float
    run: float
    motion: Motion = "breakaway"


class FrictionReadings(Struct):
    """``surface``: on what, for a person. ``mass`` [kg]: as weighed then; None: the calibration's.
    ``scale_share``: accuracy of the spring scale, one standard deviation, of its reading [1]."""

    surface: str
    drags: tuple[Drag, ...] = ()
    inclines: tuple[Incline, ...] = ()
    mass: float | None = None
    scale_share: float = 0.01


@dataclass(frozen=True)
class Kind:
    """Readings with one tool of one motion: coefficients ``values`` [1], shape (n,); ``shared``: standard
    deviation of what all readings with that tool are off alike, of them [1]."""

    tool: str
    motion: Motion
    values: Array
    shared: float

    @property
    def name(self) -> str:
        return f"{self.tool} {self.motion}"

    @property
    def mean(self) -> float:
        return float(self.values.mean())

    @property
    def scatter(self) -> float:
        """Standard deviation of the mean by how readings differ [1]; a normal interval of it is as wide as
        Student's."""
        n = len(self.values)
        return student_over_normal(n - 1) * float(self.values.std(ddof=1)) / math.sqrt(n)

    @property
    def sigma(self) -> float:
        """Of the mean [1]."""
        return math.hypot(self.scatter, self.shared * self.mean)


def estimate(spec: RobotSpec, readings: FrictionReadings) -> Estimate:
    """Raises CalibrationError with what to do if the readings will not do."""
    kinds = kinds_of(spec, readings)
    if not kinds:
        raise CalibrationError(
            "no readings: [[drags]] with force, or [[inclines]] with rise and run, were expected"
        )
    for kind in kinds:
        _require_plausible(kind)
    by_motion = {m: some for m in ("breakaway", "sliding") if (some := [k for k in kinds if k.motion == m])}
    found = [combined(some) for some in by_motion.values()]
    means = [mean for mean, _ in found]
    value, gap = float(np.mean(means)), float(np.ptp(means))
    random = spread([(kind, weight / len(means)) for _, some in found for kind, weight in some])
    # One number for both motions: true is anything between them, and a uniform's standard deviation.
    sigma = math.hypot(random, gap / math.sqrt(12.0))
    half = math.hypot(1.96 * random, gap / 2.0)
    apart = max((_beyond(*some) for some in by_motion.values() if len(some) == 2), default=0.0)
    numbers = np.arange(sum(len(k.values) for k in kinds), dtype=np.float64) + 1.0
    starts = np.cumsum([0, *(len(k.values) for k in kinds)])
    missing = [m for m in ("breakaway", "sliding") if m not in by_motion]
    return Estimate(
        method=f"{', '.join(f'{len(k.values)} {k.name}' for k in kinds)} on {readings.surface}",
        quantities=(Quantity("tyre_friction", "1", value),),
        covariance=np.array([[sigma**2]]),
        checks=(
            Check("coefficient, 95 %, from breaking away to sliding", "1", half, MOST_ERROR),
            Check("drag and board apart, beyond two standard deviations", "1", apart, MOST_APART),
        ),
        findings=tuple(Finding(k.name.replace(" ", "_"), "1", k.mean, k.sigma) for k in kinds),
        panels=(
            Panel(
                f"friction on {readings.surface}",
                "reading",
                "coefficient",
                (
                    *(
                        Series(k.name, numbers[first : first + len(k.values)], k.values)
                        for k, first in zip(kinds, starts.tolist(), strict=False)
                    ),
                    Series(f"{value:.3f}", numbers[[0, -1]], np.array([value, value]), "line"),
                ),
            ),
        ),
        frozen=tuple(f"friction in {m}: no such readings" for m in missing),
    )


def kinds_of(spec: RobotSpec, readings: FrictionReadings) -> list[Kind]:
    """Readings by method and motion. Raises CalibrationError for numbers that cannot be."""
    mass = spec.scalar("mass") if readings.mass is None else readings.mass
    if not mass > 0.0 or not all(d.force > 0.0 for d in readings.drags):
        raise CalibrationError("mass [kg] and every force [N] must be positive")
    if not all(i.rise > 0.0 and i.run > 0.0 for i in readings.inclines):
        raise CalibrationError("rise and run [m] of every board must be positive; run is along the floor")
    weighed = 0.0 if readings.mass is not None else spec.calibration["mass"].sigma / mass
    found = []
    motions: tuple[Motion, ...] = ("breakaway", "sliding")
    for motion in motions:
        drags = np.array([d.force / mass / GRAVITY for d in readings.drags if d.motion == motion])
        boards = [i for i in readings.inclines if i.motion == motion]
        slopes = np.array([i.rise / i.run for i in boards])
        ruler = max((RULER_SIGMA * math.hypot(1.0 / i.rise, 1.0 / i.run) for i in boards), default=0.0)
        shared = math.hypot(readings.scale_share, weighed)
        found += [Kind("drag", motion, drags, shared)] if len(drags) else []
        found += [Kind("incline", motion, slopes, ruler)] if len(boards) else []
    return found


def combined(kinds: Sequence[Kind]) -> tuple[float, list[tuple[Kind, float]]]:
    """Mean of a motion's tools, weighted by their variances [1], and by how much the error of each counts
    [1]: more where they disagree (Birge's ratio)."""
    means, sigmas = (np.array([getattr(k, name) for k in kinds]) for name in ("mean", "sigma"))
    weights = 1.0 / sigmas**2
    mean = float((weights * means).sum() / weights.sum())
    birge = math.sqrt(float((weights * (means - mean) ** 2).sum()) / max(len(kinds) - 1, 1))
    counts = max(birge, 1.0) * weights / weights.sum()
    return mean, list(zip(kinds, counts.tolist(), strict=True))


def spread(counts: Sequence[tuple[Kind, float]]) -> float:
    """Standard deviation of a sum of means [1], each of which counts so much. What readings with one tool are
    off alike adds up, whatever the motion."""
    alike = dict.fromkeys((kind.tool for kind, _ in counts), 0.0)
    for kind, count in counts:
        alike[kind.tool] += count * kind.shared * kind.mean
    return math.hypot(*(count * kind.scatter for kind, count in counts), *alike.values())


def _beyond(one: Kind, other: Kind) -> float:
    """How far two methods lie apart, beyond two standard deviations [1]."""
    return max(abs(one.mean - other.mean) - 2.0 * math.hypot(one.sigma, other.sigma), 0.0)


def _require_plausible(kind: Kind) -> None:
    """Raise CalibrationError for too few readings, a mistaken one, or a coefficient that no tyre has."""
    if len(kind.values) < FEWEST:
        raise CalibrationError(f"{len(kind.values)} readings of {kind.name}; {FEWEST} or more were expected")
    off = np.abs(kind.values - np.median(kind.values))
    worst = int(np.argmax(off))
    if off[worst] > MOST_OFF and off[worst] > TIMES_USUAL * float(np.median(off)):
        raise CalibrationError(
            f"reading {worst + 1} of {kind.name} is {kind.values[worst]:.2f}, {np.median(kind.values):.2f} "
            "is usual: a wheel turned, the pull was not level, or it was not typed as read; take it again"
        )
    if not USUAL[0] < kind.mean < USUAL[1]:
        raise CalibrationError(
            f"{kind.name} gives {kind.mean:.2f}, tyres have {USUAL[0]:g} to {USUAL[1]:g}: is the force in N "
            "(a scale that shows kg: times 9.81), were all wheels locked, is run what lies along the floor?"
        )
