"""``sandlot calibrate --status``, ``--compare``: what is known of a robot, since when, what it changes."""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from calibration.book import Book, robot_id
from calibration.entry import calibrated, vector_of
from launch.calibrate.offline import VALID_DAYS
from launch.calibrate.procedures import names_for
from robot.spec import RobotSpec

BY_HAND = "never, by hand"
"""State of what nobody has measured and a robot may do without."""


def status(console: Console, spec: RobotSpec, book: Book, as_json: bool) -> int:
    """0 if every procedure has a valid entry, 1 if one is missing, expired or failed; of those that are done
    by hand (``VALID_DAYS``) none has to be there."""
    now = datetime.datetime.now(datetime.UTC)
    table = Table(box=None, pad_edge=False)
    for column in ("procedure", "state", "of", "until", "what it changes"):
        table.add_column(column, no_wrap=column != "what it changes")
    states: dict[str, str] = {}
    ours = names_for(spec)
    for name in dict.fromkeys((*ours, *VALID_DAYS, *sorted(book.procedures()))):
        history = book.history(name)
        passed = [entry for entry in history if entry.passed]
        state = BY_HAND if name in VALID_DAYS else "missing"
        date = until = effect = ""
        if history and not passed:
            state, date = "failed", history[-1].date
        elif passed:
            entry = passed[-1]
            state = "expired" if entry.expired(now) else "valid"
            if not history[-1].passed:
                state += ", newest failed"
            date, until = entry.date, entry.expires
            effect = "\n".join(
                _effect(spec, q.name, q.value, entry.sigma(row), q.unit)
                for row, q in enumerate(entry.quantities)
            )
        states[name] = state
        colour = "green" if state == "valid" else "yellow" if state.startswith(("valid", BY_HAND)) else "red"
        table.add_row(name, f"[{colour}]{state}[/]", date[:16], until[:10], effect)
    found = calibrated(spec, book.current())
    console.print(table)
    console.print(
        f"calibration {found.calibration_hash()[:12]}"
        + ("" if found != spec else ", as in the robot's file: nothing was measured"),
        highlight=False,
    )
    if found.calibration_hash() != spec.calibration_hash():
        console.print(
            "  Logs under another calibration stay valid; a policy validated under another one passes the "
            "quick gate before it drives (docs/CALIBRATION.md).",
            highlight=False,
        )
    rehearsed = () if "@" in book.robot else Book(robot_id(book.robot, twin=True)).procedures()
    if rehearsed:
        console.print(
            f"rehearsed on the twin, which changes nothing: {', '.join(rehearsed)}", highlight=False
        )
    if as_json:
        values = {name: [v.value, v.sigma] for name, v in found.calibration.items() if v.expires}
        print(
            json.dumps(
                {
                    "robot": book.robot,
                    "procedures": states,
                    "values": values,
                    "calibration_hash": found.calibration_hash(),
                }
            )
        )
    return 0 if set(states.values()) <= {"valid", BY_HAND} else 1


def _effect(spec: RobotSpec, name: str, value: float, sigma: float, unit: str) -> str:
    known, vector = spec.calibration.get(name), vector_of(spec.calibration, name)
    before = f"{known.value:.5g} ± {known.sigma:.2g} → " if known and isinstance(known.value, float) else ""
    if vector is not None:
        before = f"{vector[1][vector[2]]:.5g} → "
    return f"{name} {before}{value:.5g} ± {sigma:.2g} {unit}"


def compare(console: Console, book: Book, procedure: str, days: Sequence[str], as_json: bool) -> int:
    """Two entries of a procedure, number by number. The difference in standard deviations of both, where
    they have them."""
    entries = [book.on(procedure, day) for day in days]
    table = Table(box=None, pad_edge=False)
    for column in ("", *(entry.date[:16] for entry in entries), "difference", "in sigma"):
        table.add_column(column, justify="right" if column else "left", no_wrap=True)
    old, new = (
        {(q.name, q.unit): (q.value, entry.sigma(row)) for row, q in enumerate(entry.quantities)}
        | {(finding.name, finding.unit): (finding.value, finding.sigma) for finding in entry.findings}
        for entry in entries
    )
    for name, unit in old | new:
        values = [entry.get((name, unit)) for entry in (old, new)]
        cells = [_with_sigma(*value) if value else "not measured" for value in values]
        if values[0] and values[1]:
            (was, was_sigma), (now, now_sigma) = values[0], values[1]
            sigma, gap = math.hypot(was_sigma, now_sigma), now - was
            cells += [f"{gap:+.3g}", f"{gap / sigma:+.1f}" if sigma else ""]
        table.add_row(f"{name} [{unit}]".replace("[", r"\["), *cells)
    console.print(table)
    if as_json:
        print(
            json.dumps(
                {
                    entry.date: {name: list(value) for (name, _), value in found.items()}
                    for entry, found in zip(entries, (old, new), strict=True)
                }
            )
        )
    return 0


def _with_sigma(value: float, sigma: float) -> str:
    return f"{value:.5g} ± {sigma:.2g}" if sigma else f"{value:.5g}"
