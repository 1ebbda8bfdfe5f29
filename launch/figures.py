"""The pictures of a run's report, each a function from arrays to a PNG."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

Floats = NDArray[np.float64]

INK, SOFT, GRID = "#1d2433", "#6b7485", "#e3e7ee"
BLUE, ORANGE, RED, GREEN, PURPLE = "#2f6fde", "#e8853b", "#d64550", "#2e9e6b", "#8458c9"
COLOURS = (BLUE, SOFT, RED, GREEN, PURPLE)
SPEED_MAP = "plasma"

STYLE: dict[str, Any] = {
    "font.size": 9.5,
    "font.family": "DejaVu Sans",
    "text.color": INK,
    "axes.edgecolor": SOFT,
    "axes.labelcolor": SOFT,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "legend.frameon": False,
    "figure.facecolor": "white",
    "savefig.dpi": 130,
}


def _figure(width: float, height: float) -> Figure:
    with mpl.rc_context(STYLE):
        return Figure(figsize=(width, height), layout="constrained")


def _legend(axis: Any) -> None:
    """What the axis shows, if it shows anything: of nothing matplotlib makes a legend with a warning."""
    if axis.get_legend_handles_labels()[0]:
        axis.legend()


def png(figure: Figure) -> bytes:
    """The figure as a PNG file's bytes."""
    buffer = io.BytesIO()
    # No date or version in the file: the same run makes the same bytes.
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def course_map(
    line: Floats, walls: Sequence[Floats], paths: Sequence[tuple[str, Floats, Floats]], unit: str
) -> bytes:
    """The course from above. ``paths``: title, points [m] shape (n, 2) with NaN rows where it breaks off, and
    speeds shape (n,); one panel each, on one colour scale."""
    with mpl.rc_context(STYLE):
        edge = np.vstack((line, *walls))
        low, high = edge.min(axis=0) - 0.2, edge.max(axis=0) + 0.2
        shape = float((high - low)[1] / (high - low)[0])
        columns = 1 if shape < 0.45 else 2
        rows = -(-len(paths) // columns)
        figure = _figure(10.0, rows * (8.6 / columns * shape + 0.55) + 0.3)
        fastest = max((float(np.nanmax(s)) for _, _, s in paths if np.isfinite(s).any()), default=1.0)
        axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).ravel()
        shown = None
        for axis in axes[len(paths) :]:
            axis.set_axis_off()
        for axis, (title, points, speed) in zip(axes, paths, strict=False):
            for wall in walls:
                axis.plot(wall[:, 0], wall[:, 1], color=SOFT, linewidth=1.6, zorder=1)
            closed = np.vstack((line, line[:1]))
            axis.plot(closed[:, 0], closed[:, 1], color=SOFT, linewidth=0.7, linestyle=(0, (5, 5)), zorder=1)
            shown = _coloured(axis, points, speed, fastest)
            axis.plot(*line[0], marker="|", markersize=12, markeredgewidth=2, color=INK, zorder=3)
            axis.set_title(title)
            axis.set_aspect("equal")
            axis.set_xlim(low[0], high[0])
            axis.set_ylim(low[1], high[1])
            axis.grid(visible=False)
            axis.set_ylabel("y [m]")
        for axis in axes[-columns:]:
            axis.set_xlabel("x [m]")
        if shown is not None:
            figure.colorbar(shown, ax=list(axes), label=f"speed [{unit}]", shrink=0.8, pad=0.01, aspect=40)
        return png(figure)


def _coloured(axis: Any, points: Floats, speeds: Floats, fastest: float) -> LineCollection:
    pairs = np.stack((points[:-1], points[1:]), axis=1)
    # A jump is a robot that was put back by hand, not a path.
    whole = np.isfinite(pairs).all(axis=(1, 2)) & (np.hypot(*(points[1:] - points[:-1]).T) < 0.5)
    drawn = int(whole.sum())
    lines = LineCollection(
        list(pairs[whole]),
        cmap=SPEED_MAP,
        linewidths=2.4 if drawn < 3000 else 0.6,
        alpha=float(np.clip(15_000 / max(drawn, 1), 0.3, 1.0)),
        zorder=2,
        rasterized=True,
    )
    lines.set_clim(0.0, fastest)
    lines.set_array(speeds[:-1][whole])
    axis.add_collection(lines)
    return lines


def lap_times(
    laps: Sequence[tuple[str, Floats, Floats]], references: Sequence[tuple[str, float]], failures: Floats
) -> bytes:
    """Lap time against practice time. ``laps``: label, practice minutes and lap times [s] of each driver;
    ``references``: label and lap time [s] to compare with; ``failures``: times [min]."""
    colours = {
        "demonstration": (SOFT, "s"),
        "exploring policy": (BLUE, "o"),
        "deterministic policy": (GREEN, "D"),
        "person": (PURPLE, "s"),
    }
    with mpl.rc_context(STYLE):
        figure = _figure(10.0, 3.8)
        axis = figure.subplots()
        for (label, value), style in zip(references, ((0, (6, 3)), (0, (1, 2))), strict=False):
            axis.axhline(value, color=ORANGE, linewidth=1.3, linestyle=style, label=f"{label} {value:.2f} s")
        for label, minutes, times in laps:
            if len(times):
                colour, marker = colours.get(label, (BLUE, "o"))
                axis.plot(minutes, times, marker, markersize=4, color=colour, alpha=0.85, label=label)
        counted = [t for _, _, times in laps for t in times.tolist()] + [value for _, value in references]
        if counted:
            axis.set_ylim(0.9 * min(counted), 1.06 * float(np.percentile(counted, 99)))
        if len(failures):
            low = np.full(len(failures), axis.get_ylim()[0])
            axis.plot(failures, low, "|", markersize=9, color=RED, alpha=0.7, label="failure", clip_on=False)
        axis.set_xlim(left=0)
        axis.set_xlabel("practice time [min]")
        axis.set_ylabel("lap time [s]")
        if axis.get_legend_handles_labels()[0]:
            figure.legend(ncols=6, loc="outside upper center")
        return png(figure)


def troubles(minutes: float, failures: Floats, recoveries: Floats, helped: Floats) -> bytes:
    """Failures and recoveries per minute of practice; each of the three is times [min]."""
    with mpl.rc_context(STYLE):
        figure = _figure(4.9, 2.9)
        axis = figure.subplots()
        edges = np.arange(0.0, max(1.0, np.ceil(minutes)) + 1.0)
        series = ((-0.2, "failures", failures, RED), (0.2, "recoveries", recoveries, ORANGE))
        for offset, label, times, colour in series:
            counts, _ = np.histogram(times, edges)
            axis.bar(edges[:-1] + 0.5 + offset, counts, 0.4, color=colour, label=label)
        if len(helped):
            ground = np.zeros(len(helped))
            axis.plot(helped, ground, "^", color=PURPLE, label="helped by a person", clip_on=False)
        axis.set_xlabel("practice time [min]")
        axis.set_ylabel("per minute")
        axis.set_ylim(bottom=0)
        axis.yaxis.set_major_locator(MaxNLocator(integer=True))
        axis.legend()
        return png(figure)


def speeds(unit: str, groups: Sequence[tuple[str, Floats]]) -> bytes:
    """How fast it drove: a density per group of samples."""
    with mpl.rc_context(STYLE):
        figure = _figure(4.9, 2.9)
        axis = figure.subplots()
        samples = [values for _, values in groups if len(values)]
        top = max((float(np.percentile(v, 99.9)) for v in samples), default=1.0)
        low = min((float(np.percentile(v, 0.1)) for v in samples), default=0.0)
        edges = np.linspace(min(0.0, low), max(top, 0.1), 60)
        highest: list[float] = []
        for (label, values), colour in zip(groups, (SOFT, BLUE, GREEN), strict=False):
            if len(values):
                heights, _ = np.histogram(values, edges, density=True)
                mean = f"{label} (mean {values.mean():.2f})"
                axis.stairs(heights, edges, fill=True, alpha=0.25, color=colour)
                axis.stairs(heights, edges, color=colour, linewidth=1.4, label=mean)
                highest.append(heights.max())
        if highest:
            # A driver of constant speed would press everybody else's distribution into the ground.
            axis.set_ylim(0, min(max(highest), 3.0 * sorted(highest)[len(highest) // 2]) * 1.05)
        axis.set_xlabel(f"speed [{unit}]")
        axis.set_ylabel("density")
        axis.set_yticks([])
        _legend(axis)
        return png(figure)


def lateness(late_us: Floats, period_us: float) -> bytes:
    """How late the guardian's ticks began after they were due [us], with the period for scale."""
    with mpl.rc_context(STYLE):
        figure = _figure(4.9, 2.9)
        axis = figure.subplots()
        values = np.maximum(late_us, 1.0)
        edges = np.geomspace(1.0, max(2.0 * period_us, float(values.max(initial=1.0)) * 1.1), 70)
        axis.hist(values, edges.tolist(), color=BLUE, alpha=0.85)
        for share, name in ((50, "p50"), (99, "p99"), (99.9, "p99.9")):
            at = float(np.percentile(values, share)) if len(values) else 1.0
            axis.axvline(at, color=INK, linewidth=0.8)
            axis.annotate(f"{name} {at:.0f}", (at, 1), xycoords=("data", "axes fraction"), rotation=90,
                          ha="right", va="top", fontsize=7.5, color=INK)  # fmt: skip
        axis.axvline(period_us, color=RED, linewidth=1.2, linestyle=(0, (4, 3)), label="one period")
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.set_xlabel("lateness [us]")
        axis.set_ylabel("ticks")
        axis.legend(loc="center right")
        return png(figure)


def update_ratio(minutes: Floats, ratio: Floats, target: float | None) -> bytes:
    """Gradient updates per environment step over practice time, beside the configured ratio."""
    with mpl.rc_context(STYLE):
        figure = _figure(4.9, 2.9)
        axis = figure.subplots()
        axis.plot(minutes, ratio, color=BLUE, linewidth=1.6, label="held")
        if target is not None:
            label = f"configured {target:g}"
            axis.axhline(target, color=ORANGE, linewidth=1.2, linestyle=(0, (6, 3)), label=label)
        axis.set_xlabel("practice time [min]")
        axis.set_ylabel("updates per step")
        axis.set_ylim(bottom=0)
        axis.legend(loc="lower right")
        return png(figure)


def learning_curve(title: str, steps: Floats, means: Floats, deviations: Floats) -> bytes:
    """Evaluations' mean return, with one standard deviation of their episodes, over environment steps."""
    with mpl.rc_context(STYLE):
        figure = _figure(6.4, 3.6)
        axis = figure.subplots()
        low, high = means - deviations, means + deviations
        axis.fill_between(steps, low, high, color=BLUE, alpha=0.15, linewidth=0)
        axis.plot(steps, means, color=BLUE, linewidth=1.6, marker="o", markersize=3)
        axis.set_title(title)
        axis.set_xlim(left=0)
        axis.set_xlabel("steps")
        axis.set_ylabel("return of the deterministic policy")
        return png(figure)


def curves(
    title: str,
    groups: Sequence[tuple[str, Sequence[Floats]]],
    lines: Sequence[tuple[str, float]],
    labels: tuple[str, str],
) -> bytes:
    """Lines over one axis, each (n, 2), a colour for each group and a line for each of its runs; ``lines``
    to compare with, dashed and named at their end."""
    return panels(title, labels[0], [Panel(labels[1], groups, lines)])


class Panel(NamedTuple):
    """One axis of ``panels``."""

    label: str
    groups: Sequence[tuple[str, Sequence[Floats]]]
    lines: Sequence[tuple[str, float]] = ()


def panels(title: str, label: str, parts: Sequence[Panel]) -> bytes:
    """``curves`` above each other; groups that are called as those above are not named again."""
    with mpl.rc_context(STYLE):
        figure = _figure(6.4, 4.2 + 2.1 * (len(parts) - 1))
        axes = figure.subplots(len(parts), squeeze=False, sharex=True)[:, 0]
        named: list[str] = []
        for axis, part in zip(axes, parts, strict=True):
            for (name, runs), colour in zip(part.groups, COLOURS, strict=False):
                for k, run in enumerate(runs):
                    axis.plot(*run.T, color=colour, linewidth=1.4, alpha=0.8, label="" if k else name)
            for name, value in part.lines:
                axis.axhline(value, color=ORANGE, linewidth=1.2, linestyle=(0, (6, 3)))
                beside = axis.get_yaxis_transform()  # named where they end: several look alike
                axis.text(1.01, value, name, transform=beside, color=ORANGE, va="center", fontsize="small")
            axis.set_ylabel(part.label)
            names = [name for name, _ in part.groups]
            if names != named:
                _legend(axis)
            named = names
        axes[0].set_title(title)
        axes[-1].set_xlabel(label)
        return png(figure)


class Dots(NamedTuple):
    """One axis of ``dots``. ``from_zero``: it begins there; ``log``: it is logarithmic, and does not."""

    label: str
    groups: Sequence[tuple[str, Floats]]
    lines: Sequence[tuple[str, float]] = ()
    from_zero: bool = True
    log: bool = False


def dots(title: str, parts: Sequence[Dots]) -> bytes:
    """A column of dots for each group, one per run (NaN: none), with their mean; ``lines`` to compare with,
    dashed. Axes above each other, of the same groups in the same order."""
    with mpl.rc_context(STYLE):
        figure = _figure(6.4, 3.6 + 1.9 * (len(parts) - 1))
        axes = figure.subplots(len(parts), squeeze=False, sharex=True)[:, 0]
        for axis, part in zip(axes, parts, strict=True):
            axis.set_yscale("log" if part.log else "linear")
            for k, (_, every) in enumerate(part.groups):
                values = every[np.isfinite(every)]
                axis.plot([k] * len(values), values, "o", color=BLUE, markersize=5, alpha=0.5)
                if len(values):
                    axis.plot([k - 0.2, k + 0.2], [values.mean()] * 2, color=INK, linewidth=1.6)
            for (name, value), colour in zip(part.lines, (ORANGE, GREEN, PURPLE), strict=False):
                axis.axhline(value, color=colour, linewidth=1.2, linestyle=(0, (6, 3)), label=name)
            if part.from_zero and not part.log:
                axis.set_ylim(bottom=-0.03 * axis.get_ylim()[1])
            axis.set_ylabel(part.label)
            _legend(axis)
        names = [name.replace(" ", "\n", 1) for name, _ in parts[0].groups]
        axes[-1].set_xticks(range(len(names)), names)
        axes[0].set_title(title)
        return png(figure)


def image_strip(rows: Sequence[tuple[str, Sequence[NDArray[np.uint8]]]]) -> bytes:
    """Pictures in driving order, one row per title; each picture shape (height, width, 3)."""
    with mpl.rc_context(STYLE):
        columns = max(len(images) for _, images in rows)
        figure = _figure(10.0, 10.0 / columns * len(rows) * _aspect(rows) + 0.35 * len(rows))
        axes = figure.subplots(len(rows), columns, squeeze=False)
        for line, (title, images) in zip(axes, rows, strict=True):
            for k, axis in enumerate(line):
                axis.set_axis_off()
                if k < len(images):
                    axis.imshow(images[k], interpolation="nearest")
                if k == 0:
                    axis.set_title(title)
        return png(figure)


def _aspect(rows: Sequence[tuple[str, Sequence[NDArray[np.uint8]]]]) -> float:
    for _, images in rows:
        for image in images:
            return float(image.shape[0] / image.shape[1])
    return 1.0
