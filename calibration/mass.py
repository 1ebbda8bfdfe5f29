"""Mass and centre of mass of a car on four scales, level and with its front wheels raised.

Level, the scales' sums and moments give mass and centre of mass in the plane. Raised by H at a wheelbase L,
the car leans by the angle whose sine is H / L. Its wheels roll, so that scales push straight up, below the
hubs, and moments about the front ones give what the rear axle carries of the weight, by the height h - r of
the centre of mass above the hubs: front_axle / L + (h - r) / L tan(lean). A car that is twisted between its
scales loads two opposite corners more and the others less, which changes none of this.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from calibration.confidence import student_over_normal
from calibration.entry import Check, Finding, Quantity
from calibration.procedure import Array, CalibrationError, Estimate, Panel, Series
from robot.layout import Struct
from robot.spec import RobotSpec

FEWEST = 3
"""Readings level, and raised: each time the car is lifted off and set down again."""
MOST_MASS_ERROR, MOST_PLACE_ERROR = 0.01, 0.005
"""Accepted (reference, Mass/COM), 95 %: of the mass [1], of each coordinate [m]."""
MOST_OFF = 0.01
"""A reading whose sum is off the median by more [1] is a mistake."""
LEAST_LEAN, MOST_LEAN = 0.2, 0.8
"""Of the height raised to the wheelbase [1]: less, and a gram is a millimetre; more, and the car slips."""
HEIGHT_SIGMA = 0.001
"""Of the blocks' height [m]: a ruler's."""
ABOUT = (
    "Set the car, ready to drive, on four scales of one level height, wheels free to roll and suspension "
    "blocked, several times; then with the front wheels on blocks of a known height upon their scales."
)
CORNERS = ("front_left", "front_right", "rear_left", "rear_right")


class Corners(Struct):
    """What the scales under the wheels show [kg]; ``height`` [m] of the front wheels above the rear ones."""

    front_left: float
    front_right: float
    rear_left: float
    rear_right: float
    height: float = 0.0


class MassReadings(Struct):
    """``level`` and ``raised`` readings; ``scale_sigma`` [kg]: how far off each scale may be, the same each
    time, and how far all of them are off alike."""

    level: tuple[Corners, ...]
    raised: tuple[Corners, ...]
    scale_sigma: float = 0.002


def estimate(spec: RobotSpec, readings: MassReadings) -> Estimate:
    """Raises CalibrationError with what to do if the readings will not do."""
    level, raised = (rows_of(rows) for rows in (readings.level, readings.raised))
    known = np.array([spec.scalar(name) for name in ("wheelbase", "track_width", "wheel_radius")])
    require_sound(level, raised, float(known[0]))
    found = solve(level, raised, known)
    covariance = spread(level, lambda rows: solve(rows, raised, known))
    covariance += spread(raised, lambda rows: solve(level, rows, known))
    sigmas = [spec.calibration[name].sigma for name in ("wheelbase", "track_width", "wheel_radius")]
    for off in np.diag(sigmas):
        covariance += _outer(solve(level, raised, known + off) - found)
    for scale in readings.scale_sigma * np.eye(5)[:4]:
        covariance += _outer(solve(level + scale, raised + scale, known) - found)
    covariance += _outer(solve(level + readings.scale_sigma, raised + readings.scale_sigma, known) - found)
    covariance += _outer(solve(level, raised + HEIGHT_SIGMA * np.eye(5)[4], known) - found)
    half = 1.96 * np.sqrt(np.diag(covariance))
    names = ("mass", "front_axle", "rear_axle", "centre_of_mass_height")
    kept = [0, 1, 2, 4]
    sums = np.concatenate((level[:, :4].sum(axis=1), raised[:, :4].sum(axis=1)))
    tilt = tangent(raised, float(known[0]))
    share = raised[:, 2:4].sum(axis=1) / raised[:, :4].sum(axis=1)
    reach = np.array([0.0, tilt.max()])
    line = (found[1] + (found[4] - known[2]) * reach) / known[0]
    return Estimate(
        method=f"four scales, {len(level)} times level and {len(raised)} times raised",
        quantities=tuple(
            Quantity(name, "kg" if name == "mass" else "m", float(found[k]))
            for name, k in zip(names, kept, strict=True)
        ),
        covariance=covariance[np.ix_(kept, kept)],
        checks=(
            Check("mass, 95 %, of it", "1", float(half[0] / found[0]), MOST_MASS_ERROR),
            Check("centre of mass along, 95 %", "m", float(half[1]), MOST_PLACE_ERROR),
            Check("centre of mass across, 95 %", "m", float(half[3]), MOST_PLACE_ERROR),
            Check("centre of mass up, 95 %", "m", float(half[4]), MOST_PLACE_ERROR),
        ),
        findings=(
            Finding("centre_of_mass_left", "m", float(found[3]), float(half[3] / 1.96)),
            Finding("weight_on_the_front", "1", float(found[2] / known[0])),
            Finding("cross_weight", "1", float((level[:, 1] + level[:, 2]).sum() / level[:, :4].sum())),
        ),
        panels=(
            Panel(
                "sum of the scales",
                "reading",
                "kg",
                (Series("level, then raised", np.arange(len(sums), dtype=np.float64) + 1.0, sums),),
            ),
            Panel(
                "weight on the rear axle",
                "tangent of the lean",
                "share",
                (Series("raised", tilt, share), Series("as found", reach, line, "line")),
            ),
        ),
        frozen=("yaw_inertia: a weight at rest does not tell it",),
    )


def rows_of(readings: tuple[Corners, ...]) -> Array:
    """Corners [kg] and height [m], shape (n, 5)."""
    return np.array([[getattr(r, name) for name in (*CORNERS, "height")] for r in readings]).reshape(-1, 5)


def tangent(raised: Array, wheelbase: float) -> Array:
    """Of the car's lean [1], shape (n,)."""
    sine = raised[:, 4] / wheelbase
    return np.asarray(sine / np.sqrt(1.0 - sine**2))


def solve(level: Array, raised: Array, known: Array) -> Array:
    """Mass [kg]; centre of mass behind the front axle, before the rear one, left of the middle and above the
    floor [m]; shape (5,). ``known``: wheelbase, track width, wheel radius [m]."""
    wheelbase, track, radius = known.tolist()
    fl, fr, rl, rr = level[:, :4].mean(axis=0).tolist()
    mass = fl + fr + rl + rr
    rear = (rl + rr) / mass
    shares = raised[:, 2:4].sum(axis=1) / raised[:, :4].sum(axis=1)
    above = float(np.mean((shares - rear) * wheelbase / tangent(raised, wheelbase)))
    left = 0.5 * track * (fl + rl - fr - rr) / mass
    return np.array([mass, wheelbase * rear, wheelbase * (1.0 - rear), left, radius + above])


def spread(rows: Array, solution: Callable[[Array], Array]) -> Array:
    """Covariance of a solution by leaving out each reading, as wide as Student's."""
    n = len(rows)
    without = np.array([solution(np.delete(rows, k, axis=0)) for k in range(n)])
    gaps = without - without.mean(axis=0)
    wide = student_over_normal(n - 1) ** 2
    return np.asarray(wide * (n - 1) / n * gaps.T @ gaps)


def require_sound(level: Array, raised: Array, wheelbase: float) -> None:
    """Raise CalibrationError with what to do if the readings will not do."""
    for what, rows in (("level", level), ("raised", raised)):
        if len(rows) < FEWEST:
            raise CalibrationError(f"{len(rows)} readings {what}; at least {FEWEST} were expected")
        if not (rows[:, :4] > 0.0).all():
            raise CalibrationError(f"a scale shows nothing in a reading {what}: a wheel was not on it")
    if (level[:, 4] != 0.0).any():
        raise CalibrationError("a level reading has a height; it belongs under [[raised]]")
    lean = raised[:, 4] / wheelbase
    if lean.min() < LEAST_LEAN or lean.max() > MOST_LEAN:
        raise CalibrationError(
            f"raised by {raised[:, 4].min():g} to {raised[:, 4].max():g} m; {LEAST_LEAN * wheelbase:.3f} to "
            f"{MOST_LEAN * wheelbase:.3f} m were expected of a wheelbase of {wheelbase:g} m"
        )
    sums = np.concatenate((level[:, :4].sum(axis=1), raised[:, :4].sum(axis=1)))
    off = np.abs(sums / np.median(sums) - 1.0)
    worst = int(np.argmax(off))
    if off[worst] > MOST_OFF:
        number, what = (worst + 1, "level") if worst < len(level) else (worst + 1 - len(level), "raised")
        raise CalibrationError(
            f"reading {number} {what} sums to {sums[worst]:.3f} kg, {np.median(sums):.3f} kg is usual: a "
            "wheel beside its scale, blocks that were not tared, or a number not typed as read; weigh again"
        )


def _outer(row: Array) -> Array:
    return np.outer(row, row)
