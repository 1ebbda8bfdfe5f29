"""The pictures of a validation, each a function from arrays to a PNG."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy import stats

from launch.figures import BLUE, GREEN, INK, ORANGE, RED, SOFT, STYLE, png
from sim.episode_results import EpisodeResults

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


def telling(results: EpisodeResults, count: int) -> list[str]:
    """The drawn parameters with the strongest rank correlation (Spearman's) with the return, strongest
    first."""
    scores = results.rows["score"]
    strength = []
    for name in results.parameters:
        values = results.draws.column(name)
        if np.ptp(values) > 0.0 and np.ptp(scores) > 0.0:
            strength.append((abs(float(stats.spearmanr(values, scores).statistic)), name))
    return [name for _, name in sorted(strength, reverse=True)[:count]]


def scatter(panels: Sequence[tuple[str, Floats]], scores: Floats, success: Flags) -> bytes:
    """Returns over each of some parameters, a dot per episode; failures on top."""
    columns = 4
    rows = max(1, -(-len(panels) // columns))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10.0, 2.4 * rows + 0.3), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
        for axis in axes[len(panels) :]:
            axis.set_axis_off()
        for axis, (name, values) in zip(axes, panels, strict=False):
            axis.plot(values[success], scores[success], "o", markersize=2.6, color=GREEN, alpha=0.5)
            axis.plot(values[~success], scores[~success], "x", markersize=4.5, color=RED)
            axis.set_xlabel(name)
            axis.locator_params(axis="x", nbins=4)
        for axis in axes[::columns]:
            axis.set_ylabel("return")
        axes[0].plot([], [], "o", color=GREEN, markersize=4, label=f"succeeded ({int(success.sum())})")
        axes[0].plot([], [], "x", color=RED, markersize=5, label=f"failed ({int((~success).sum())})")
        figure.legend(ncols=2, loc="outside upper right")
        return png(figure)


def boundaries(edges: Sequence[tuple[str, float, float, float, float]]) -> bytes:
    """Failure boundaries: what, nominal value, 1st and 99th percentile, and where it fails. Each in distances
    from the nominal value to the percentile on its side."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10.0, 0.34 * len(edges) + 1.0), layout="constrained")
        axis = figure.subplots()
        places = []
        for _, middle, low, high, at in edges:
            edge = high if (at > middle) == (high > middle) else low
            places.append(abs(at - middle) / max(abs(edge - middle), 1e-12))
        order = np.argsort(places)[::-1]
        for row, k in enumerate(order.tolist()):
            inside = places[k] < 1.0
            axis.plot([0.0, places[k]], [row, row], color=SOFT, linewidth=1.2)
            axis.plot(places[k], row, "o", color=RED if inside else BLUE, markersize=6)
        axis.axvspan(0.0, 1.0, color=ORANGE, alpha=0.12, linewidth=0)
        axis.text(0.5, len(edges) - 0.4, "98 % of the cars", color=SOFT, ha="center", va="bottom", fontsize=8)
        axis.set_yticks(range(len(edges)), [edges[k][0] for k in order.tolist()])
        axis.set_xlim(left=0.0)
        axis.set_ylim(-0.7, len(edges) + 0.2)
        axis.set_xlabel("from the calibrated car (0) to the 1st or 99th percentile (1) and beyond")
        axis.tick_params(axis="y", labelcolor=INK)
        return png(figure)


def margins(limits: Sequence[tuple[str, Floats]]) -> bytes:
    """The least margin of every episode to each safety limit, as a share of the largest possible; the nearest
    limit on top."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(4.9, 0.26 * len(limits) + 1.0), layout="constrained")
        axis = figure.subplots()
        least = [float(np.nanmin(shares)) for _, shares in limits]
        for row, k in enumerate(np.argsort(least)[::-1].tolist()):
            shares = np.clip(limits[k][1], -0.2, 1.2)
            axis.plot(shares, np.full(len(shares), row), "|", color=BLUE, alpha=0.15, markersize=8)
            colour = RED if least[k] < 0.0 else INK
            axis.plot(np.clip(least[k], -0.2, 1.2), row, "o", color=colour, markersize=4)
        axis.axvline(0.0, color=RED, linewidth=1.2)
        axis.set_yticks(range(len(limits)), [limits[k][0] for k in np.argsort(least)[::-1].tolist()])
        axis.set_xlabel("least margin of each episode (dot: of all)")
        return png(figure)


def delays(delay_s: Floats, rates: Floats, borne: float, least: float) -> bytes:
    """Success over extra delay of the observations [s], with what must be borne."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(4.9, 3.4), layout="constrained")
        axis = figure.subplots()
        axis.axvspan(0.0, borne * 1e3, ymin=0.0, color=ORANGE, alpha=0.12, linewidth=0)
        axis.axhline(least, color=ORANGE, linewidth=1.2, linestyle=(0, (6, 3)), label=f"at least {least:.0%}")
        axis.plot(delay_s * 1e3, rates, "o-", color=BLUE, linewidth=1.6, markersize=4, label="succeeded")
        axis.set_ylim(-0.03, 1.05)
        axis.set_xlim(left=0.0)
        axis.set_xlabel("extra delay [ms]; shaded: must be borne")
        axis.set_ylabel("share of episodes")
        axis.legend(loc="lower left")
        return png(figure)
