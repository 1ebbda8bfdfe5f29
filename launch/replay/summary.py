"""A comparison as text for a person and as one flat object for a program."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from launch.replay.comparison import Comparison, Kernel, Span, Trip

Array = NDArray[np.float64]

BARS = " ▁▂▃▄▅▆▇█"
BINS = 12
MOST = 20
"""Rows of a table that are shown; --json has them all."""


def show(console: Console, comparison: Comparison, changes: Sequence[str]) -> None:
    """Everything, for a person."""
    times, kernel = comparison.times_s, comparison.shown
    console.print(
        f"{len(times):,} ticks, {times[-1] / 60:.1f} min, {int(comparison.driving.sum()):,} driving"
    )
    if comparison.gaps:
        console.print(
            f"{comparison.gaps} gaps: timers begin anew after each; {int(comparison.unsure.sum()):,} ticks "
            "that follow are not judged"
        )
    for line in changes:
        console.print(f"changed: {escape(line)}", highlight=False)
    own = sure(comparison, comparison.logged)
    if own:
        console.print(f"[bold red]the log does not replay: {_count(own)}[/] (by its own description)")
        _spans(console, comparison, own)
    else:
        console.print("[green]by its own description every verdict is the logged one[/]")
    if comparison.changed is not None:
        spans = sure(comparison, comparison.changed)
        if spans:
            console.print(f"with the change, {_count(spans)}")
            _spans(console, comparison, spans)
            _first(console, comparison, spans)
        else:
            console.print("with the change, every verdict would have been the same")
    _trips(console, comparison)
    _margins(console, comparison, kernel)


def figures(comparison: Comparison, changes: Sequence[str]) -> dict[str, Any]:
    """Everything, for a program. Times in seconds since the log's first tick."""
    times = comparison.times_s
    shown = comparison.shown

    def at(span: Span | Trip) -> dict[str, float]:
        return {"start_s": round(float(times[span.first]), 4), "end_s": round(float(times[span.last]), 4)}

    def told(spans: Sequence[Span]) -> list[dict[str, Any]]:
        return [
            at(span)
            | {
                "logged": span.states[0].name,
                "replayed": span.states[1].name,
                "logged_request": span.requests[0].name,
                "replayed_request": span.requests[1].name,
                "why": span.why,
                "fields": list(span.what),
            }
            for span in spans
        ]

    own = sure(comparison, comparison.logged)
    other = [] if comparison.changed is None else sure(comparison, comparison.changed)
    stops = [span for span in other if span.stops]
    driving = comparison.driving
    return {
        "ticks": len(times),
        "seconds": round(float(times[-1]), 3),
        "gaps": comparison.gaps,
        "identical": not own,
        "unchanged": not other,
        "changes": list(changes),
        "differences": told(own or other),
        "first_stop_s": round(float(times[stops[0].first]), 4) if stops else None,
        "stops_more": len(stops),
        "trips": [{"limit": trip.limit} | at(trip) for trip in shown.trips()],
        "margins": {
            limit.name: _least(times, shown.margins[:, k], driving)
            for k, limit in enumerate(shown.spec.safety.limits)
        },
    }


def sure(comparison: Comparison, kernel: Kernel) -> list[Span]:
    """The differences that do not merely follow a gap in the log."""
    return [span for span in kernel.spans if not comparison.unsure[span.first]]


def _count(spans: Sequence[Span]) -> str:
    ticks = sum(span.last - span.first + 1 for span in spans)
    return f"{ticks:,} ticks differ, in {len(spans):,} places"


def _spans(console: Console, comparison: Comparison, spans: Sequence[Span]) -> None:
    table = Table(box=None, pad_edge=False)
    for name in ("at s", "for s", "logged", "replayed", "because"):
        table.add_column(name, justify="right" if name.endswith(" s") else "left")
    times = comparison.times_s
    for span in spans[:MOST]:
        states = [
            f"{state.name}, asked {request.name.lower()}"
            for state, request in zip(span.states, span.requests, strict=True)
        ]
        why = span.why or ", ".join(span.what)
        table.add_row(f"{times[span.first]:.2f}", f"{times[span.last] - times[span.first]:.2f}", *states, why)
    console.print(table)
    if len(spans) > MOST:
        console.print(f"… and {len(spans) - MOST:,} more; --json has all")


def _first(console: Console, comparison: Comparison, spans: Sequence[Span]) -> None:
    times = comparison.times_s
    stops = [span for span in spans if span.stops]
    if stops:
        span = stops[0]
        console.print(
            f"[bold]first stop that the log has not: {times[span.first]:.2f} s, {span.states[0].name} -> "
            f"{span.states[1].name}: {span.why}[/]; {len(stops)} such in all"
        )
    avoided = [span for span in spans if span.drives]
    if avoided:
        console.print(f"stops of the log that would not have been: {len(avoided)}")


def _trips(console: Console, comparison: Comparison) -> None:
    """How often each limit tripped, as logged and as changed; those that never did in one line."""
    times = comparison.times_s
    kernels = [comparison.logged] + ([] if comparison.changed is None else [comparison.changed])
    found = [kernel.trips() for kernel in kernels]
    names = list(dict.fromkeys(limit.name for kernel in kernels for limit in kernel.spec.safety.limits))
    tripped = [name for name in names if any(trip.limit == name for trips in found for trip in trips)]
    if not tripped:
        console.print(f"no limit tripped, of {len(names)}")
        return
    table = Table(title="limits that tripped", title_justify="left", box=None, pad_edge=False)
    for column in ("limit", *(("logged", "changed")[: len(kernels)])):
        table.add_column(column)
    for name in tripped:
        cells = []
        for trips in found:
            mine = [trip for trip in trips if trip.limit == name]
            cells.append(f"{len(mine)} times, first at {times[mine[0].first]:.2f} s" if mine else "never")
        table.add_row(name, *cells)
    console.print(table)


def _margins(console: Console, comparison: Comparison, kernel: Kernel) -> None:
    """What was left to each limit while the robot drove."""
    times, driving = comparison.times_s, comparison.driving
    table = Table(title="margins while driving", title_justify="left", box=None, pad_edge=False)
    for column in ("limit", "least", "at s", "1 %", "median", "unit", "least to most"):
        right = column in ("least", "at s", "1 %", "median")
        table.add_column(column, justify="right" if right else "left", no_wrap=column != "limit")
    for k, limit in enumerate(kernel.spec.safety.limits):
        margin = kernel.margins[driving, k]
        seen = margin[np.isfinite(margin)]
        if not seen.size:
            table.add_row(limit.name, "-", "-", "-", "-", limit.unit, "not seen")
            continue
        least = _least(times, kernel.margins[:, k], driving)
        one, half = np.percentile(seen, (1, 50))
        style = "red" if least["least"] < 0 else None
        table.add_row(
            limit.name,
            f"{least['least']:.3g}",
            f"{least['at_s']:.2f}",
            f"{one:.3g}",
            f"{half:.3g}",
            limit.unit,
            histogram(seen),
            style=style,
        )
    console.print(table)


def histogram(values: Array) -> str:
    """A line of bars: how often each twelfth of the values' range occurs."""
    counts, _ = np.histogram(values, BINS)
    heights = np.ceil(counts / max(int(counts.max()), 1) * (len(BARS) - 1)).astype(int)
    return "".join(BARS[height] for height in heights)


def _least(times: Array, margin: Array, driving: NDArray[np.bool_]) -> dict[str, Any]:
    seen = np.flatnonzero(driving & np.isfinite(margin))
    if not seen.size:
        return {"least": None, "at_s": None}
    at = int(seen[np.argmin(margin[seen])])
    return {"least": float(margin[at]), "at_s": round(float(times[at]), 4)}
