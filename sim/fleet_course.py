"""``robot.practice.course.Course`` for many positions at once: the same table, the same walk, the same Newton
steps. A robot's own pilot projects one position a step, for which plain floats are several times as fast."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from robot.practice.course import Course
from sim.plant import Array


class FleetCourse:
    """Arrays of shape (n,), [m] and [rad], as ``Course`` has them."""

    def __init__(self, course: Course) -> None:
        self.length, self.step = course.length, course.step
        _, self._x, self._y, curvature = course.table()
        self._count, self._reach = len(self._x), course.reach
        self._position = np.append(self._x + 1j * self._y, self._x[0] + 1j * self._y[0])
        self._heading = course.headings()
        self._curvature = np.append(curvature, curvature[0])

    def project(self, x: Array, y: Array, hint: Array | None = None) -> tuple[Array, Array]:
        """Arc lengths in [0, length) and lateral offsets of the nearest points of the curve; ``hint``: the
        last known arc lengths, from which the search walks downhill."""
        h = self.step
        if hint is None:
            at = ((self._x - x[:, None]) ** 2 + (self._y - y[:, None]) ** 2).argmin(axis=1)
        else:
            at = self._walk(x, y, (hint / h).astype(np.intp) % self._count)
        s, lateral = at * h, np.zeros(len(x))
        for _ in range(2):
            point, heading, curvature = self._at(s)
            ex, ey = x - point.real, y - point.imag
            c, sn = np.cos(heading), np.sin(heading)
            along, lateral = c * ex + sn * ey, c * ey - sn * ex
            s = s + np.minimum(h, np.maximum(-h, along / np.maximum(0.2, 1.0 - curvature * lateral)))
        s = np.mod(s, self.length)
        return np.where(s < self.length, s, 0.0), lateral

    def _walk(self, x: Array, y: Array, start: NDArray[np.intp]) -> NDArray[np.intp]:
        found, foot = start.copy(), self._square(x, y, start)
        moved = np.zeros(len(x), bool)
        for direction in (1, -1):
            at, here, going = start, foot, ~moved
            for _ in range(self._reach):
                following = (at + direction) % self._count
                there = self._square(x, y, following)
                going = going & (there < here)
                if not going.any():
                    break
                at, here = np.where(going, following, at), np.where(going, there, here)
            found = np.where(moved, found, at)
            moved |= found != start
        return found

    def _square(self, x: Array, y: Array, at: NDArray[np.intp]) -> Array:
        return np.asarray((self._x[at] - x) ** 2 + (self._y[at] - y) ** 2)

    def _at(self, s: Array) -> tuple[NDArray[np.complex128], Array, Array]:
        at = np.mod(s, self.length) / self.step
        k = np.minimum(at.astype(np.intp), self._count - 1)
        f = at - k
        p, a, c = self._position, self._heading, self._curvature
        return (
            p[k] + f * (p[k + 1] - p[k]),
            a[k] + f * (a[k + 1] - a[k]),
            c[k] + f * (c[k + 1] - c[k]),
        )

    def heading(self, s: Array) -> Array:
        """Direction of travel at arc lengths ``s``, unwrapped along the curve."""
        return self._at(s)[1]

    def advance(self, before: Array, after: Array) -> Array:
        """Signed arc length from ``before`` to ``after``, the short way round."""
        change = after - before
        return np.asarray(change - self.length * np.rint(change / self.length))

    def preview(self, s: Array, distances: Sequence[float], x: Array, y: Array, heading: Array) -> Array:
        """The points ``distances`` on from ``s``, seen from a pose: forward, left of each in turn, shape
        (n, 2 * len(distances))."""
        seen = self._at(s[:, None] + np.array(distances))[0] - (x + 1j * y)[:, None]
        c, sn = np.cos(heading)[:, None], np.sin(heading)[:, None]
        turned = np.stack((c * seen.real + sn * seen.imag, c * seen.imag - sn * seen.real), axis=-1)
        return turned.reshape(len(s), -1)
