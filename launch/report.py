"""``sandlot report``: report.html, laps.csv and summary.json from a run's log, in the run's folder.

The page is one file: pictures are inside it, nothing is fetched from anywhere.
"""

from __future__ import annotations

import base64
import html
import json
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from launch import figures
from launch.catalogue import HOME
from launch.options.report import ReportOptions
from launch.run_data import LAST_MINUTES, Lap, RunData
from launch.session import Session, open_session
from robot.messages import Actor

Floats = NDArray[np.float64]
Summary = dict[str, float | int | str | None]

PAGE = (HOME / "report.html").read_text()
REFERENCES = HOME / "references.toml"
"""Lap times [s] of other drivers by course: ``[oval]`` ``pure_pursuit = 6.5``."""


def report(options: ReportOptions) -> int:
    """The command."""
    session = open_session(options.run)
    summary = make_report(RunData(session))
    print(session.directory / "report.html")
    if options.json:
        print(json.dumps(summary))
    return 0


def make_report(run: RunData) -> Summary:
    """Write the three files; returns the summary."""
    session = run.session
    summary = run.summary()
    summary |= {f"{name}_lap_s": value for name, value in references(session).items()}
    run.write_laps(session.directory / "laps.csv")
    (session.directory / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    (session.directory / "report.html").write_text(page(run, summary))
    return summary


def references(session: Session) -> dict[str, float]:
    """Other drivers' lap times on this course."""
    if not REFERENCES.exists():
        return {}
    table = tomllib.loads(REFERENCES.read_text()).get(session.manifest.course_name, {})
    return {str(name): float(value) for name, value in table.items()}


def page(run: RunData, summary: Summary) -> str:
    """The whole page."""
    manifest = run.session.manifest
    sections = [
        ("The course from above", "How it drove, coloured by speed.", course_pictures(run)),
        ("Lap times", "Each dot is a lap without a recovery in it.", lap_pictures(run, summary)),
        ("Practice", "Failures end an episode; recoveries bring the robot back by itself.", practice(run)),
        ("The machine", "How punctual the guardian was, and how steadily it learned.", machine(run)),
    ]
    body = "".join(section(*each) for each in sections if each[2])
    where = f"on surrogate {manifest.surrogate.name}" if manifest.surrogate.name else "on the twin"
    where = where + (", simulated time" if manifest.fast else "") if manifest.twin else "on hardware"
    return (
        PAGE.replace("{{title}}", html.escape(f"{manifest.robot} on {manifest.course_name}"))
        .replace(
            "{{subtitle}}",
            html.escape(
                f"{manifest.created[:16].replace('T', ' ')} UTC, {where}, seed {manifest.seed}{_policy(run)}"
            ),
        )
        .replace("{{cards}}", "".join(cards(summary)))
        .replace("{{body}}", body)
        .replace(
            "{{details}}",
            f"<details><summary>All laps</summary>{lap_table(run.laps)}</details>\n"
            "<details><summary>What this run was made of</summary>"
            f"<table>{details(run)}</table></details>",
        )
    )


def section(title: str, text: str, pictures: Iterable[str]) -> str:
    return (
        f"<section><h2>{html.escape(title)}</h2><p>{html.escape(text)}</p>"
        f"<div class='figures'>{''.join(pictures)}</div></section>"
    )


def cards(summary: Summary) -> Iterable[str]:
    """The figures to see first."""
    minutes = float(summary["practice_min"] or 0.0)
    if summary["bench_override"]:
        yield (
            "<div class='card bad'><div class='label'>bench override</div><div class='value'>REDUCED</div>"
            f"<div class='note'>{html.escape(str(summary['bench_override']))}</div></div>"
        )
    elif float(summary["authority"] or 1.0) < 1.0:
        yield (
            "<div class='card bad'><div class='label'>limits</div><div class='value'>REDUCED</div>"
            f"<div class='note'>{summary['authority']:.0%} of the range, asked for at the start</div></div>"
        )
    rows = (
        ("practice", f"{minutes:.1f} min", f"{summary['laps']} laps by itself"),
        (
            "first lap by itself",
            _or_dash(summary["first_autonomous_lap_min"], "{:.1f} min"),
            "after the start",
        ),
        (
            "best lap",
            _or_dash(summary["best_lap_s"], "{:.2f} s"),
            "demonstration " + _or_dash(summary["demonstration_lap_s"], "{:.2f} s"),
        ),
        (
            f"lap, last {LAST_MINUTES:g} min",
            _or_dash(summary["last_5_min_deterministic_lap_s"], "{:.2f} s"),
            "exploring " + _or_dash(summary["last_5_min_exploring_lap_s"], "{:.2f} s"),
        ),
        (
            "failures",
            f"{summary['failures']}",
            f"{summary['failures_last_5_min']} in the last {LAST_MINUTES:g} min, {summary['assists']} helped",
        ),
        (
            "transitions",
            f"{summary['transitions']}",
            f"{summary['transitions_durable']} durable at the learner, {summary['transitions_lost']} lost",
        ),
        (
            "policies",
            f"{summary['policies']}",
            f"{summary['policies_held']} more held back by the smoke gate",
        ),
    )
    for label, value, note in rows:
        bad = " bad" if label == "transitions" and summary["transitions_lost"] else ""
        yield (
            f"<div class='card{bad}'><div class='label'>{html.escape(label)}</div>"
            f"<div class='value'>{html.escape(value)}</div><div class='note'>{html.escape(note)}</div></div>"
        )


def course_pictures(run: RunData) -> list[str]:
    """All of the policy's driving, its first lap and its fastest."""
    _, x, y, _ = run.session.course.table()
    line = np.column_stack((x, y))
    unit = _speed_unit(run)
    paths: list[tuple[str, Floats, Floats]] = []
    everything = run.driven_by(Actor.POLICY)
    if everything.any():
        positions = np.where(everything[:, None], run.positions, np.nan)
        step = max(1, len(positions) // 60_000)
        paths.append(
            (f"everything the policy drove ({run.minutes:.0f} min)", positions[::step], run.speeds[::step])
        )
    own = [lap for lap in run.laps if lap.autonomous]
    chosen = [("demonstration", lap) for lap in run.laps if lap.driver == "demonstration"][:1]
    if own:
        chosen.append(("first lap by itself", own[0]))
        chosen.append(("fastest lap", min(own, key=lambda lap: lap.time_s)))
    for title, lap in chosen:
        part = run.ticks_of(lap)
        paths.append((f"{title}: {lap.time_s:.2f} s", run.positions[part], run.speeds[part]))
    if not paths:
        paths.append(("all of it", run.positions, run.speeds))
    pictures = [picture(figures.course_map(line, walls(run.session), paths, unit), "course", wide=True)]
    strip = image_strip(run, own)
    return pictures + ([picture(strip, "first and last lap", wide=True)] if strip else [])


def walls(session: Session) -> Sequence[Floats]:
    """The twin's walls, where there is a twin and its world file is still there."""
    if not session.manifest.twin or not session.world.exists():
        return ()
    from sim.world import load_world

    faces = [np.asarray(wall, np.float64)[:, :2] for wall in load_world(session.world).edges()]
    return [np.vstack((face, face[:1])) for face in faces]


def image_strip(run: RunData, own: list[Lap]) -> bytes | None:
    """The first and the last lap by itself, rendered in the twin; None without a twin or a lap."""
    session = run.session
    if not (own and session.manifest.twin and session.world.exists()):
        return None
    from launch.clip import lap_strip

    titled = (("first", own[0]), ("last", own[-1]))
    rows = [(f"{title} lap: {lap.time_s:.2f} s", lap_strip(run, lap)) for title, lap in titled]
    shown = [(title, images) for title, images in rows if images]
    return figures.image_strip(shown) if shown else None


def lap_pictures(run: RunData, summary: Summary) -> list[str]:
    series = []
    for driver in ("demonstration", "exploring policy", "deterministic policy", "person"):
        laps = [lap for lap in run.laps if lap.driver == driver]
        minutes, times = (
            np.array(values) for values in ([p.end_min for p in laps], [p.time_s for p in laps])
        )
        series.append((driver, minutes, times))
    lines = [
        (name.removesuffix("_lap_s").replace("_", " "), summary[name]) for name in summary if name in OTHERS
    ]
    known = [(name, float(value)) for name, value in lines if value is not None]
    return [picture(figures.lap_times(series, known, run.minutes_of("failure")), "lap times", wide=True)]


HELD_SHOWN = 20
"""Reasons of the smoke gate that the page lists; the log has all."""
OTHERS = ("demonstration_lap_s", "pure_pursuit_lap_s")


def practice(run: RunData) -> list[str]:
    failures, recoveries, helped = (run.minutes_of(kind) for kind in ("failure", "recovery", "assist"))
    shown = np.isin(run.log.ticks["actor"], (Actor.SCRIPT, Actor.HUMAN))
    stretch = min(LAST_MINUTES, run.minutes / 2)
    groups = [
        ("demonstration", run.speeds[shown]),
        (f"first {stretch:.1f} min", run.speeds[run.driven_by(Actor.POLICY, 0.0, stretch)]),
        (f"last {stretch:.1f} min", run.speeds[run.driven_by(Actor.POLICY, run.minutes - stretch)]),
    ]
    return [
        picture(figures.troubles(run.minutes, failures, recoveries, helped), "failures and recoveries"),
        picture(figures.speeds(_speed_unit(run), groups), "speeds"),
    ]


def machine(run: RunData) -> list[str]:
    pictures = []
    if not run.session.manifest.fast:
        period_us = 1e6 / run.session.spec.rates.guardian_hz
        pictures.append(picture(figures.lateness(run.lateness_us, period_us), "lateness"))
    points = [(row["elapsed_s"] / 60.0, row["update_ratio"]) for row in run.status if "update_ratio" in row]
    if points:
        minutes, ratio = np.array(points).T
        configured = run.session.learner_config().updates_per_step
        pictures.append(picture(figures.update_ratio(minutes, ratio, configured), "update ratio"))
    return pictures


def picture(png: bytes, alt: str, wide: bool = False) -> str:
    data = base64.b64encode(png).decode()
    kind = "wide" if wide else "half"
    return f"<img class='{kind}' alt='{html.escape(alt)}' src='data:image/png;base64,{data}'>"


def lap_table(laps: Sequence[Lap]) -> str:
    rows = "".join(
        f"<tr><td>{k}</td><td>{lap.end_min:.2f}</td><td>{lap.time_s:.2f}</td>"
        f"<td>{html.escape(lap.driver)}</td><td>{html.escape(lap.detail)}</td></tr>"
        for k, lap in enumerate(laps, 1)
    )
    head = "<tr><th>lap</th><th>ended [min]</th><th>time [s]</th><th>driver</th><th></th></tr>"
    return f"<table>{head}{rows}</table>" if laps else "<p>No lap was completed.</p>"


def details(run: RunData) -> str:
    """What the run was made of."""
    manifest = run.session.manifest
    rows = {
        "run": str(run.session.directory),
        "session": manifest.session,
        "contract": manifest.contract_hash,
        "calibration": manifest.calibration_hash,
        "code": manifest.git_revision or "not a checkout",
        "machine": manifest.machine,
        "versions": ", ".join(f"{name} {version}" for name, version in manifest.versions.items()),
        "log": "complete"
        if run.log.complete
        else f"cut off; {run.log.lost_bytes} bytes at its end are not whole",
    }
    if held := [e.event for e in run.log.events if e.event.kind == "policy_held"]:
        minutes = [(event.time_ns - run.start_ns) / 60e9 for event in held]
        told = [f"{m:.1f} min: {event.text}" for m, event in zip(minutes, held, strict=True)]
        rows["policies held back"] = "; ".join(told[:HELD_SHOWN]) + (" …" if len(told) > HELD_SHOWN else "")
    if surrogate := manifest.surrogate.lines(run.session.spec):
        rows["surrogate"] = "; ".join(surrogate)
    return "".join(f"<tr><th>{html.escape(k)}</th><td>{html.escape(v)}</td></tr>" for k, v in rows.items())


def _policy(run: RunData) -> str:
    """Which policy a session began with, where it did with one."""
    setup = run.session.manifest.setup
    named = [f", {logged.event.text}" for logged in run.log.events if logged.event.kind == "bundle"][:1]
    if not named and setup.policy:
        named = [f", policy {Path(setup.policy).name}"]
    return "".join(named) + (f", BENCH OVERRIDE: {setup.bench_override}" if setup.bench_override else "")


def _speed_unit(run: RunData) -> str:
    spec = run.session.spec
    units = {name: field.unit for field in spec.estimator.state for name in field.element_names()}
    return units[spec.stop.standstill]


def _or_dash(value: float | int | str | None, form: str) -> str:
    return "none" if value is None else form.format(value)
