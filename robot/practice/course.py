"""A course: checkpoints in a file, and the smooth closed curve through them, parametrised by arc length.

The curve is a periodic cubic spline (continuous curvature) through the checkpoints, tabulated at equal arc
lengths so that every look-up is arithmetic. World frame: x east, y north [m]; headings [rad] anticlockwise
from x; lateral offsets [m] and curvature [1/m] positive to the left of the direction of travel.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import tomli_w
from numpy.typing import NDArray

from robot.errors import SpecError, nearest
from robot.layout import Struct
from robot.plain_data import decode_struct
from robot.safety_spec import Site
from robot.spec import OptionValue

Array = NDArray[np.float64]

TABLE_STEP = 0.05
"""Spacing of the table [m]: the sagitta between entries is 0.6 mm on a bend of 0.5 m radius."""

WINDOW = 1.2
"""How far [m] before and after the last known position a projection searches: more than a car at 6 m/s covers
in a policy step (0.3 m), less than half of the shortest way round to a neighbouring stretch of track."""

FEWEST_CHECKPOINTS = 4


class Checkpoint(Struct):
    """A point [m] in the world frame."""

    x: float
    y: float


class CourseFile(Struct):
    """What a course's TOML file holds. ``task`` is ``module:Class``; ``options`` are the task's; ``site``:
    where around it the robot may be."""

    name: str
    task: str
    checkpoints: tuple[Checkpoint, ...]
    start_heading: float
    closed: bool = True
    source: str = ""
    options: dict[str, OptionValue] = msgspec.field(default_factory=dict)
    site: Site = Site()

    def points(self) -> Array:
        """Checkpoints [m], shape (n, 2)."""
        return np.array([(c.x, c.y) for c in self.checkpoints], np.float64)


class Course:
    """The curve of one course. Raises SpecError if the checkpoints do not make a closed curve."""

    def __init__(self, file: CourseFile) -> None:
        if not file.closed:
            raise SpecError(f"course {file.name}: closed = false; only closed courses can be lapped")
        points = file.points()
        if len(points) < FEWEST_CHECKPOINTS or not np.isfinite(points).all():
            raise SpecError(
                f"course {file.name}: {len(points)} checkpoints; at least {FEWEST_CHECKPOINTS} finite ones "
                "are needed"
            )
        if np.hypot(*(np.roll(points, -1, axis=0) - points).T).min() < 1e-3:
            raise SpecError(f"course {file.name}: two neighbouring checkpoints lie less than 1 mm apart")
        self.file = file
        self.name = file.name
        positions, headings, curvatures, self.length = _tabulate(points)
        self._count = len(curvatures)
        self.step = self.length / self._count
        """Arc length between table entries [m]."""
        self._position = np.append(positions, positions[:1])
        self._heading = np.append(headings, headings[0] + _turns(headings) * 2 * math.pi)
        self._curvature = np.append(curvatures, curvatures[:1])
        self._heading_list = self._heading.tolist()
        self._position_list = self._position.tolist()
        self._curvature_list = self._curvature.tolist()
        self.reach = min(max(2, round(WINDOW / self.step)), (self._count - 1) // 2)
        """How many entries a projection walks from its hint at most."""
        self._x, self._y = positions.real.tolist(), positions.imag.tolist()
        self.start = (float(positions[0].real), float(positions[0].imag), file.start_heading)
        """Where a run starts: x, y [m], heading [rad]."""

    def project(self, x: float, y: float, hint: float | None = None) -> tuple[float, float]:
        """Arc length in [0, length) and lateral offset [m] of the nearest point of the curve.

        With ``hint`` [m], the last known arc length, the search walks downhill from there, up to ``WINDOW``,
        so that the answer never jumps to another stretch of the track. Without, it sees the whole curve.
        """
        h = self.step
        at = self._nearest(x, y) if hint is None else self._walk(x, y, int(hint / h) % self._count)
        s, lateral = at * h, 0.0
        for _ in range(2):  # Newton on the along-track error; the table starts it within half a step
            point, heading, curvature = self._at(s)
            ex, ey = x - point.real, y - point.imag
            c, sn = math.cos(heading), math.sin(heading)
            along, lateral = c * ex + sn * ey, c * ey - sn * ex
            s += min(h, max(-h, along / max(0.2, 1.0 - curvature * lateral)))
        s %= self.length
        return (s if s < self.length else 0.0), lateral

    def _nearest(self, x: float, y: float) -> int:
        """The nearest table entry of all."""
        dx, dy = self._position.real[:-1] - x, self._position.imag[:-1] - y
        return int(np.argmin(dx * dx + dy * dy))

    def _walk(self, x: float, y: float, start: int) -> int:
        """The table entry at the foot of the distance's slope, downhill from ``start``."""
        px, py = self._x, self._y
        here = (px[start] - x) ** 2 + (py[start] - y) ** 2
        for direction in (1, -1):
            at = start
            for _ in range(self.reach):
                following = at + direction
                if following == self._count:
                    following = 0
                there = (px[following] - x) ** 2 + (py[following] - y) ** 2
                if there >= here:
                    break
                at, here = following, there
            if at != start:
                return at % self._count
        return start

    def _at(self, s: float) -> tuple[complex, float, float]:
        # A remainder of a float just below 0 can be the length itself; the clamp then leaves f = 1.
        at = s % self.length / self.step
        k = min(int(at), self._count - 1)
        f = at - k
        p, a, c = self._position_list, self._heading_list, self._curvature_list
        return (
            p[k] + f * (p[k + 1] - p[k]),
            a[k] + f * (a[k + 1] - a[k]),
            c[k] + f * (c[k + 1] - c[k]),
        )

    def point(self, s: float) -> tuple[float, float]:
        """x, y [m] at arc length ``s`` [m], any real number."""
        position = self._at(s)[0]
        return position.real, position.imag

    def heading(self, s: float) -> float:
        """Direction of travel [rad] in (-pi, pi]."""
        return math.remainder(self._at(s)[1], 2 * math.pi)

    def curvature(self, s: float) -> float:
        """Curvature [1/m], positive to the left."""
        return float(self._at(s)[2])

    def points(self, s: Array) -> NDArray[np.complex128]:
        """x + iy [m] at arc lengths ``s`` [m], any shape."""
        at = np.mod(s, self.length) / self.step
        i = np.minimum(at.astype(np.intp), self._count - 1)
        low = self._position[i]
        return np.asarray(low + (at - i) * (self._position[i + 1] - low), np.complex128)

    def preview(
        self, s: float, distances: Sequence[float], x: float, y: float, heading: float
    ) -> list[float]:
        """The points ``distances`` [m] on from ``s``, seen from a pose: forward, left [m] of each in turn."""
        c, sn = math.cos(heading), math.sin(heading)
        px, py, n = self._x, self._y, self._count
        seen = []
        for distance in distances:
            at = (s + distance) % self.length / self.step
            k = min(int(at), n - 1)
            f, m = at - k, k + 1 - n
            dx = px[k] + f * (px[m] - px[k]) - x
            dy = py[k] + f * (py[m] - py[k]) - y
            seen.append(c * dx + sn * dy)
            seen.append(c * dy - sn * dx)
        return seen

    def advance(self, before: float, after: float) -> float:
        """Signed arc length [m] from ``before`` to ``after``, the short way round."""
        return math.remainder(after - before, self.length)

    def headings(self) -> Array:
        """Directions of travel [rad] at the table's entries and at the first again, unwrapped, (n + 1,)."""
        return self._heading.copy()

    def table(self) -> tuple[Array, Array, Array, Array]:
        """Arc length [m], x, y [m] and curvature [1/m] at equal steps, each shape (n,)."""
        n = self._count
        return (
            np.arange(n, dtype=np.float64) * self.step,
            self._position.real[:n].copy(),
            self._position.imag[:n].copy(),
            self._curvature[:n].copy(),
        )


def _turns(headings: Array) -> int:
    """How often the curve turns round on itself: +1 anticlockwise, -1 clockwise."""
    closing = math.remainder(float(headings[0] - headings[-1]), 2 * math.pi)
    return round((float(headings[-1] - headings[0]) + closing) / (2 * math.pi))


def _tabulate(points: Array) -> tuple[NDArray[np.complex128], Array, Array, float]:
    """Positions, unwrapped headings, curvatures at equal arc lengths of the periodic spline; its length."""
    z = points[:, 0] + 1j * points[:, 1]
    following = np.roll(z, -1)
    h = np.abs(following - z)
    before = np.roll(h, 1)
    slope = (following - z) / h
    n = len(z)
    matrix = np.zeros((n, n))
    rows = np.arange(n)
    matrix[rows, rows] = 2.0 * (h + before)
    matrix[rows, (rows + 1) % n] += h
    matrix[rows, (rows - 1) % n] += before
    second = np.linalg.solve(matrix, 6.0 * (slope - np.roll(slope, 1)))
    knots = np.concatenate(([0.0], np.cumsum(h)))

    def evaluate(u: Array) -> tuple[NDArray[np.complex128], NDArray[np.complex128], NDArray[np.complex128]]:
        i = np.clip(np.searchsorted(knots, u, side="right") - 1, 0, n - 1)
        j = (i + 1) % n
        t, width, m0, m1 = u - knots[i], h[i], second[i], second[j]
        linear = slope[i] - width * (2.0 * m0 + m1) / 6.0
        cubic = (m1 - m0) / (6.0 * width)
        value = z[i] + t * (linear + t * (0.5 * m0 + t * cubic))
        return value, linear + t * (m0 + 3.0 * t * cubic), m0 + 6.0 * t * cubic

    fine = np.linspace(0.0, knots[-1], max(400, math.ceil(knots[-1] / 0.005)) + 1)
    speed = np.abs(evaluate(fine)[1])
    arc = np.concatenate(([0.0], np.cumsum(0.5 * (speed[1:] + speed[:-1]) * np.diff(fine))))
    length = float(arc[-1])
    count = max(16, math.ceil(length / TABLE_STEP))
    u = np.interp(np.arange(count) * (length / count), arc, fine)
    value, first, bend = evaluate(u)
    curvature = (first.real * bend.imag - first.imag * bend.real) / np.abs(first) ** 3
    return value, np.unwrap(np.angle(first)), curvature, length


def load_course(path: Path) -> Course:
    """Read a course. Raises SpecError: absent (with the nearest names), not TOML, or which key is wrong."""
    try:
        plain: dict[str, Any] = tomllib.loads(path.read_text())
    except FileNotFoundError:
        known = sorted(p.stem for p in path.parent.glob("*.toml"))
        raise SpecError(f"no course {path.stem!r} in {path.parent}; {nearest(path.stem, known)}") from None
    except tomllib.TOMLDecodeError as error:
        raise SpecError(f"{path}: not valid TOML: {error}") from None
    return Course(decode_struct(plain, CourseFile, str(path)))


def save_course(course: Course, path: Path) -> None:
    """Write the course file so that ``load_course`` gives the same course."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(tomli_w.dumps(msgspec.to_builtins(course.file)))
