"""``sandlot replay LOG --twin``: whether the twin, sent what the robot was sent, does what the robot did."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from launch import catalogue
from launch.options.replay import ReplayOptions
from launch.replay.changes import changed, read_recording
from launch.replay.recording import recording, robot_of, room_of
from robot.errors import SandlotError
from robot.spec import RobotSpec, load_spec
from robot.validation_report import GateResult
from sim.estimate_errors import load_errors
from sim.log_windows import Recording
from sim.validation.targets import targets_of
from sim.validation.twin_validity import (
    QUANTITIES,
    UNITS,
    Divergence,
    Growth,
    divergence,
    growth,
    twin_validity_gate,
    windows_of,
)

DIFFERENT = 3
"""Exit code: the log was read, and the twin is not the robot that wrote it."""


def replay_twin(options: ReplayOptions) -> int:
    """0 if the twin is the robot as far as can be seen, ``DIFFERENT`` if not."""
    path = Path(options.log)
    recorded, spec, _, about = gather([path])
    if options.spec is not None:
        spec = load_spec(catalogue.find("robots", options.spec))
    spec, changes = changed(spec, None, options.set)
    found = compare(spec, recorded)
    told = growth(found)
    gate = twin_validity_gate(told, targets_of(spec), about)
    errors = Console(stderr=True)
    show(Console(stderr=options.json), told, gate, changes)
    if options.png is not None:
        from launch.replay.twin_picture import draw

        options.png.write_bytes(draw(found, told))
        errors.print(f"{options.png} written")
    if options.json:
        print(json.dumps(figures(told, gate, changes)))
    return DIFFERENT if gate.verdict == "fail" else 0


def gather(paths: Sequence[Path]) -> tuple[list[Recording], RobotSpec, str, str]:
    """Logs of one robot, its description in the first, its id (``calibration.book``), and what to call them.
    Raises SandlotError if they are of several."""
    logs = [read_recording(path) for path in paths]
    rooms = [room_of(log, path) for (log, _), path in zip(logs, paths, strict=True)]
    recorded = [recording(spec, log, room) for (log, spec), (room, _) in zip(logs, rooms, strict=True)]
    about = ", ".join(name for _, name in rooms)
    drove = {robot_of(log, spec) for log, spec in logs}
    if len(drove) > 1:
        raise SandlotError(f"{about}: logs of {' and '.join(sorted(drove))}; give those of one robot")
    return recorded, logs[0][1], drove.pop(), about


def compare(spec: RobotSpec, recorded: Sequence[Recording], threads: int = 0) -> Divergence:
    """Replay windows of the logs on the twin of ``spec``. Raises SandlotError if there are none."""
    errors = load_errors(spec)
    return divergence(spec, errors, windows_of(spec, errors, recorded), threads=threads)


def show(console: Console, told: Sequence[Growth], gate: GateResult, changes: Sequence[str]) -> None:
    """For a person."""
    for line in changes:
        console.print(f"changed: {line}", highlight=False, markup=False)
    table = Table(box=None, pad_edge=False)
    for column in ("after", "windows", *(f"{q} [{u}]" for q, u in zip(QUANTITIES, UNITS, strict=True))):
        table.add_column(column.replace("[", r"\["), justify="right")
    for found in told:
        cells = [
            f"{ours:.3g} ({times:.1f} x floor)"
            for ours, times in zip(found.measured, found.ratio, strict=True)
        ]
        table.add_row(f"{found.horizon_s:g} s", str(found.windows), *cells)
    if not told:
        console.print(f"{gate.name} {gate.verdict}: {gate.detail}", highlight=False, markup=False)
        return
    console.print(table)
    colour = "green" if gate.verdict == "pass" else "red"
    what = "the twin is this robot" if gate.verdict == "pass" else "the twin is not this robot"
    least = "" if gate.measured is None else f": at worst {gate.measured:.2f} times the noise floor"
    limit = "" if gate.limit is None else f", at most {gate.limit:g} was expected"
    console.print(f"[{colour}]{gate.name} {gate.verdict}[/] {what}{least}{limit}", highlight=False)


def figures(told: Sequence[Growth], gate: GateResult, changes: Sequence[str]) -> dict[str, Any]:
    """For a program: upper quartiles over windows, in the quantities' units."""
    return {
        "verdict": gate.verdict,
        "worst_ratio": gate.measured,
        "limit": gate.limit,
        "changes": list(changes),
        "horizons": [
            {"seconds": found.horizon_s, "windows": found.windows}
            | {
                name.replace(" ", "_"): {"measured": float(ours), "floor": float(floor), "unit": unit}
                for name, ours, floor, unit in zip(
                    QUANTITIES, found.measured, found.floor, UNITS, strict=True
                )
            }
            for found in told
        ],
    }
