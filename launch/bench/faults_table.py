"""The campaign on the terminal: the table, flat figures, and how far it has got."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from launch.bench.faults_book import Line
from launch.bench.faults_campaign import Task
from launch.bench.faults_cell import Cell
from launch.bench.faults_processes import ACTS, Act
from launch.bench.faults_run import Outcome

EXAMPLES = 3
"""Failing runs that are shown with the command that reproduces them, of each cell and kind."""


def table(title: str, lines: Sequence[Line]) -> Table:
    """A row per cell: response and stop are the worst of all runs against what is allowed; ``p`` is what the
    probability of an escape is below, with 95 % confidence."""
    shown = Table(title=title, title_justify="left", box=None, header_style="bold")
    shown.add_column("cell", no_wrap=True)
    for name in ("runs", "not struck", "escaped", "p <", "response [ms]", "stop [m]"):
        shown.add_column(name, justify="right", no_wrap=name in ("response [ms]", "stop [m]"))
    for line in lines:
        response = distance = ""
        if line.worst is not None:
            response = f"{line.worst.response_ms:.0f}/{line.worst.deadline_ms:.0f}"
        if line.longest is not None:
            distance = f"{line.longest.distance_m:.2f}/{line.longest.bound_m:.2f}"
        shown.add_row(
            line.cell,
            str(line.runs) + (f" (+{line.broken} broken)" if line.broken else ""),
            str(line.not_injected or ""),
            str(line.escapes),
            f"{line.bound:.2g}" if line.runs else "",
            response,
            distance,
            style="red" if line.escapes or line.broken else None,
        )
    return shown


def defects(lines: Sequence[Line]) -> Table:
    """A row per defective robot: in how many runs its cell caught it."""
    shown = Table(title="defective robots, caught in", title_justify="left", box=None, header_style="bold")
    for name in ("cell", "robot", "runs"):
        shown.add_column(name, no_wrap=True)
    for line in lines:
        for robot, (hit, runs) in line.caught.items():
            shown.add_row(line.cell, robot, f"{hit} of {runs}", style="red" if runs and not hit else None)
    return shown


def catalogue(cells: Sequence[Cell]) -> Table:
    """What there is to inject."""
    shown = Table(box=None, header_style="bold")
    shown.add_column("cell", no_wrap=True)
    shown.add_column("what happens")
    for cell in cells:
        shown.add_row(cell.name, cell.summary)
    return shown


def processes(acts: Mapping[str, Act]) -> Table:
    """What can be done to a real session's processes."""
    shown = Table(box=None, show_header=False)
    for name, act in acts.items():
        shown.add_row(name, act.summary)
    return shown


def figures(lines: Sequence[Line]) -> dict[str, float]:
    """One flat object."""
    flat: dict[str, float] = {
        "cells_count": len(lines),
        "runs_count": sum(line.runs for line in lines),
        "not_injected_count": sum(line.not_injected for line in lines),
        "broken_count": sum(line.broken for line in lines),
        "escapes_count": sum(line.escapes for line in lines),
        "defects_count": sum(len(line.caught) for line in lines),
        "defects_uncaught_count": sum(len(line.uncaught) for line in lines),
    }
    for line in lines:
        flat[f"{line.cell}_runs_count"] = line.runs
        flat[f"{line.cell}_escapes_count"] = line.escapes
        flat[f"{line.cell}_escape_bound_ratio"] = line.bound
        if line.worst is not None:
            flat[f"{line.cell}_response_ms"] = round(line.worst.response_ms, 3)
            flat[f"{line.cell}_deadline_ms"] = round(line.worst.deadline_ms, 3)
        if line.longest is not None:
            flat[f"{line.cell}_stop_m"] = round(line.longest.distance_m, 3)
            flat[f"{line.cell}_stop_bound_m"] = round(line.longest.bound_m, 3)
    return flat


def in_full(outcome: Outcome) -> str:
    """One run, on a few lines."""
    command = Task(outcome.cell, outcome.seed, outcome.defect).command()
    if outcome.cell in ACTS:
        command = f"{outcome.cell}, run {outcome.seed} (real time does not repeat itself)"
    return "\n".join(
        [
            f"{outcome.verdict}: {command}",
            f"  {outcome.problems}" if outcome.problems else "  nothing to complain about",
            f"  at {outcome.speed_m_per_s:.2f} m/s; drawn: {outcome.drawn or 'nothing'}; struck "
            f"{outcome.injected} times",
            f"  response {outcome.response_ms:.1f} ms of {outcome.deadline_ms:.1f}, way to standstill "
            f"{outcome.distance_m:.2f} m of {outcome.bound_m:.2f}; ended in {outcome.state}, {outcome.cause}",
        ]
    )


@contextlib.contextmanager
def watching(console: Console) -> Iterator[Callable[[Outcome, int, int], None]]:
    """A progress bar with the time left; failing runs are printed as they come."""
    counts: dict[tuple[str, str], int] = {}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("starting", total=None)

        def show(outcome: Outcome, done: int, total: int) -> None:
            bar.update(task, description=outcome.cell, completed=done, total=total)
            if outcome.defect or outcome.verdict == "passed":
                return
            kind = (outcome.cell, outcome.verdict)
            counts[kind] = counts.get(kind, 0) + 1
            if counts[kind] <= EXAMPLES:
                bar.console.print(in_full(outcome), highlight=False, soft_wrap=True)

        yield show
