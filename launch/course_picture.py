"""A course as it came out of a drive: what was driven, the lap that was taken, and the course from above."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from launch.figures import BLUE, GRID, INK, ORANGE, SOFT, STYLE, png
from robot.practice.course import Course

Array = NDArray[np.float64]


def draw(course: Course, driven: Sequence[Array], lap: Array) -> bytes:
    """A PNG. ``driven``: every drive of the run, ``lap``: the one that was taken; positions [m], (n, 2)."""
    _, x, y, _ = course.table()
    points = course.file.points()
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7.5, 3.9), layout="constrained")
        axis = figure.add_subplot()
        for k, piece in enumerate(driven):
            axis.plot(*piece.T, color=SOFT, alpha=0.35, linewidth=1.0, label=None if k else "driven")
        axis.plot(*lap.T, color=ORANGE, linewidth=3.0, alpha=0.5, label="the lap")
        axis.plot(np.append(x, x[0]), np.append(y, y[0]), color=BLUE, linewidth=1.6, label="the course")
        axis.plot(*points.T, "o", color=BLUE, markersize=4, label=f"{len(points)} checkpoints")
        where, heading = course.start[:2], course.start[2]
        axis.annotate(
            "",
            (where[0] + 0.8 * np.cos(heading), where[1] + 0.8 * np.sin(heading)),
            where,
            arrowprops={"arrowstyle": "-|>", "color": INK, "linewidth": 2.0},
        )
        axis.plot(*where, "s", color=INK, markersize=6, label="start")
        axis.set(xlabel="x [m]", ylabel="y [m]", aspect="equal")
        axis.set_title(f"{course.name}: {course.length:.1f} m")
        axis.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
        axis.grid(color=GRID)
        return png(figure)
