"""Margins over time, a row for each limit, with trips and stops marked."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from launch.replay.comparison import Comparison, runs
from robot.messages import SafetyState

COLOURS = {
    SafetyState.ARMING: "#c9b8e8",
    SafetyState.ACTIVE: "#cfe8cf",
    SafetyState.REDUCED: "#f3e6a8",
    SafetyState.HOLD: "#f5c98b",
    SafetyState.STOP1: "#f0a08a",
    SafetyState.STOP0: "#d9534f",
    SafetyState.FAULT: "#e3b4b2",
    SafetyState.ESTOP: "#b03a36",
}
"""The state as logged, behind every row; white: waiting."""
POINTS = 4000
"""Points drawn of a curve: of more ticks, the least of each stretch."""


def draw(comparison: Comparison, path: Path) -> None:
    """Write a PNG. Raises ModuleNotFoundError without matplotlib."""
    from matplotlib.figure import Figure

    kernel, times = comparison.shown, comparison.times_s
    limits = kernel.spec.safety.limits
    rows = [k for k in range(len(limits)) if np.isfinite(kernel.margins[:, k]).any()]
    figure = Figure(figsize=(11, 1.0 + 0.75 * max(len(rows), 1)), layout="constrained")
    axes = figure.subplots(max(len(rows), 1), 1, sharex=True, squeeze=False)[:, 0]
    states = comparison.ticks["safety_state"]
    stops = [] if comparison.changed is None else [s for s in comparison.changed.spans if s.stops]
    step = max(1, len(times) // POINTS)
    for axis, k in zip(axes, rows, strict=False):
        for state, colour in COLOURS.items():
            for first, last in runs(states == state):
                axis.axvspan(times[first], times[last], color=colour, lw=0)
        margin = np.where(np.isfinite(kernel.margins[:, k]), kernel.margins[:, k], np.nan)
        whole = len(margin) // step * step
        with np.errstate(invalid="ignore"):
            least = np.fmin.reduce(margin[:whole].reshape(-1, step), axis=1)
        axis.plot(times[:whole:step], least, lw=0.7, color="#1f3b66")
        axis.axhline(0.0, color="#b03a36", lw=0.8)
        awake = margin[np.isin(states, [int(s) for s in COLOURS])]
        if np.isfinite(awake).any():
            low, high = min(0.0, np.nanmin(awake)), max(0.0, np.nanmax(awake))
            axis.set_ylim(low - 0.08 * (high - low), high + 0.08 * (high - low) + 1e-9)
        for first, last in runs(kernel.asked[:, k] > 0):
            axis.axvspan(
                times[first], max(times[last], times[first] + 0.01), color="#b03a36", alpha=0.5, lw=0
            )
        for span in stops:
            axis.axvline(times[span.first], color="black", lw=0.8, ls="--")
        limit = limits[k]
        axis.set_ylabel(f"{limit.name}\n[{limit.unit}]", rotation=0, ha="right", va="center", fontsize=7)
        axis.tick_params(labelsize=7)
        axis.margins(x=0)
    axes[-1].set_xlabel(
        "time [s]; behind: state as logged; red: tripped; dashed: a stop that the log has not"
    )
    axes[0].set_title("what is left to each limit", fontsize=9, loc="left")
    figure.savefig(path, dpi=120)
