"""How twin and log part: some windows from above, and the growth of each error beside the noise floor."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from launch.figures import BLUE, INK, ORANGE, SOFT, STYLE, png
from sim.validation.twin_validity import FEWEST, QUANTITIES, QUARTILE, UNITS, Divergence, Growth

SHOWN = 8
"""Windows drawn from above, taken evenly."""


def draw(found: Divergence, told: Sequence[Growth]) -> bytes:
    """A PNG."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(12.0, 6.2), layout="constrained")
        grid = figure.add_gridspec(2, 3, width_ratios=(1.35, 1.0, 1.0))
        _paths(figure.add_subplot(grid[:, 0]), found)
        for k, (name, unit) in enumerate(zip(QUANTITIES, UNITS, strict=True)):
            axis = figure.add_subplot(grid[k // 2, 1 + k % 2])
            _growth(axis, found, k)
            marks = [(g.horizon_s, g.measured[k], g.ratio[k]) for g in told]
            for x, y, ratio in marks:
                axis.plot(x, y, "o", color=ORANGE, markersize=4)
                axis.annotate(
                    f"{ratio:.1f}x", (x, y), (0, 5), textcoords="offset points", ha="center", color=INK
                )
            axis.set_title(name)
            axis.set_ylabel(f"error [{unit}]")
            axis.set_xlabel("time since the window began [s]")
        figure.axes[1].legend(loc="lower right")
        return png(figure)


def _paths(axis: mpl.axes.Axes, found: Divergence) -> None:
    windows, lead = found.windows, found.windows.lead
    whole = np.flatnonzero(found.windows.known[:, -1])
    rows = whole if len(whole) else np.arange(len(windows))
    for number, row in enumerate(rows[np.linspace(0, len(rows) - 1, min(SHOWN, len(rows))).astype(int)]):
        known = found.windows.known[row]
        logged, twin = windows.states[row, lead:][known], found.replayed[row][known]
        axis.plot(*logged[:, :2].T, color=INK, linewidth=3.0, alpha=0.35, label="log" if not number else None)
        axis.plot(*twin[:, :2].T, color=ORANGE, linewidth=1.3, label="twin" if not number else None)
        axis.plot(*logged[0, :2], "o", color=INK, markersize=4)
    axis.set(title="windows: log and twin, sent the same", xlabel="x [m]", ylabel="y [m]", aspect="equal")
    axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1.06), ncols=2)


def _growth(axis: mpl.axes.Axes, found: Divergence, k: int) -> None:
    """Upper quartile over windows, the middle eighty per cent of them, and the floor."""
    count = found.windows.known.sum(axis=0)
    slots = slice(1, max(int((count >= FEWEST).sum()), 2))
    time, measured, floor = found.time_s[slots], found.measured[:, slots, k], found.floor[:, slots, k]
    low, high = np.nanquantile(measured, (0.1, 0.9), axis=0)
    axis.fill_between(time, low, high, color=BLUE, alpha=0.15, linewidth=0, label="80 % of the windows")
    for values, ink, label in ((measured, BLUE, "twin and log"), (floor, SOFT, "noise floor")):
        axis.plot(time, np.nanquantile(values, QUARTILE, axis=0), color=ink, linewidth=1.8, label=label)
    axis.set_yscale("log")
    axis.set_xlim(0.0, time[-1])
