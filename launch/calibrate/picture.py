"""An estimate's panels as a PNG."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
from matplotlib.figure import Figure

from calibration.procedure import Panel
from launch.figures import BLUE, GREEN, INK, ORANGE, PURPLE, RED, STYLE, png

POINTS, LINES = (BLUE, ORANGE, GREEN, PURPLE), (INK, RED, GREEN, PURPLE)
ACROSS = 3


def draw(panels: Sequence[Panel], title: str) -> bytes:
    """A PNG of them, side by side."""
    with mpl.rc_context(STYLE):
        across = min(ACROSS, len(panels))
        down = -(-len(panels) // across)
        figure = Figure(figsize=(4.6 * across, 3.4 * down + 0.4), layout="constrained")
        figure.suptitle(title, x=0.01, ha="left", fontsize=11)
        axes = figure.subplots(down, across, squeeze=False).ravel()
        for axis in axes[len(panels) :]:
            axis.set_visible(False)
        for axis, panel in zip(axes, panels, strict=False):
            counts = {"points": 0, "line": 0}
            for series in panel.series:
                number = counts[series.kind]
                counts[series.kind] += 1
                if series.kind == "points":
                    ink = POINTS[number % len(POINTS)]
                    axis.plot(series.x, series.y, "o", color=ink, markersize=4, label=series.label)
                else:
                    ink = LINES[number % len(LINES)]
                    axis.plot(series.x, series.y, color=ink, linewidth=1.4, label=series.label)
            axis.set(title=panel.title, xlabel=panel.x_label, ylabel=panel.y_label)
            if len(panel.series) > 1:
                axis.legend(fontsize=8)
        return png(figure)
