"""The page of a validation: the verdict, the gates, and pictures of where the policy fails."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from launch import figures, validation_figures
from launch.clip import episode_strip
from launch.margins import span
from launch.report import PAGE, picture, section
from robot.validation_report import GateResult, ValidationReport
from sim.episode_results import EpisodeResults
from sim.rollout import Setting
from sim.validation.examination import DELAYS_S, Findings
from sim.validation.extremes import RARE
from sim.validation.gates import ending_words
from sim.validation.targets import targets_of

Floats = NDArray[np.float64]

REPLAY = "Its log, and those of the other worst ones, beside this page: sandlot replay --safety worst"


def page(report: ValidationReport, findings: Findings, setting: Setting, source: str) -> str:
    """The whole page; nothing in it is fetched from anywhere."""
    body = (
        f"<section><h2>Gates</h2><p>A skipped gate says nothing for or against.</p>{gates(report)}</section>"
    )
    title = f"{'May' if report.verdict == 'pass' else 'May not'} drive {report.robot} on {report.course}"
    return (
        PAGE.replace("{{title}}", html.escape(title))
        .replace(
            "{{subtitle}}",
            html.escape(
                f"{report.gate} gate of {source} in world {report.world}, "
                f"{report.created[:16].replace('T', ' ')} UTC, "
                f"{report.episodes} nominal and as many randomised episodes, seed {report.seed}"
            ),
        )
        .replace("{{cards}}", "".join(cards(report)))
        .replace("{{body}}", body + "".join(sections(findings, setting)))
        .replace("{{details}}", details(report))
    )


def cards(report: ValidationReport) -> Iterable[str]:
    """The verdict, and the figures to see first."""
    why = ", ".join(report.failed()) or "every gate that was tried"
    if advisory := report.advisory():
        why += f"; the twin's word is advisory: {', '.join(advisory)}"
    yield _card("verdict", report.verdict.upper(), why, "good" if report.verdict == "pass" else "bad")
    for name, label, form, scale in (
        ("G3 nominal", "nominal success", "≥ {:.1%}", 1.0),
        ("G4 randomised", "randomised success", "≥ {:.1%}", 1.0),
        ("G4 tail", "worst tenth", "≥ {:.0%}", 1.0),
        ("G6 timing", "latency margin", "{:.0f} ms", 1.0),
        ("G1 ONNX", "inference, p99", "{:.0f} µs", 1e3),
    ):
        gate = next((g for g in report.gates if g.name == name), None)
        if gate is not None and gate.measured is not None and gate.limit is not None:
            note = f"{'at most' if name == 'G1 ONNX' else 'at least'} {form.format(gate.limit * scale)}"
            bad = "bad" if gate.verdict == "fail" else ""
            yield _card(label, form.format(gate.measured * scale), note.replace("≥ ", ""), bad)


def gates(report: ValidationReport) -> str:
    """All gates as a table."""
    head = "<tr><th>gate</th><th></th><th>rule</th><th>measured</th><th>limit</th><th>what it means</th></tr>"
    return f"<table>{head}{''.join(_row(gate) for gate in report.gates)}</table>"


def sections(findings: Findings, setting: Setting) -> Iterable[str]:
    """The pictures, where there is something to show."""
    spread, calm, worst = findings.randomised, findings.nominal, findings.worst
    if spread is None or calm is None:
        return
    if findings.boundaries:
        edges = [
            (b.words(), b.parameter.value, b.parameter.quantile(RARE[0]), b.parameter.quantile(RARE[1]),
             (b.good + b.bad) / 2)
            for b in findings.boundaries
        ]  # fmt: skip
        yield section(
            "Where it fails",
            "One parameter at a time, outward from the calibrated car until most episodes fail.",
            [picture(validation_figures.boundaries(edges), "failure boundaries", wide=True)],
        )
    panels = [
        (name.replace("_", " "), spread.draws.column(name)) for name in validation_figures.telling(spread, 8)
    ]
    scores = np.asarray(spread.rows["score"], np.float64)
    yield section(
        "Success over the parameters",
        "Every randomised episode, over the eight parameters that its return depends on most.",
        [picture(validation_figures.scatter(panels, scores, spread.rows["success"]), "success", wide=True)],
    )
    if worst is not None and worst.trajectories:
        yield section(
            "The worst episodes",
            "Failures first, then the smallest returns; the true path, coloured by speed.",
            [picture(_map(worst, setting), "worst episodes", wide=True)],
        )
        row, path = worst.rows[0], worst.trajectories[0]
        pictures, times = episode_strip(path, setting)
        yield section(
            "How the worst one ended",
            f"Episode {path.number}: {ending_words(row)}. The twin where it truly was, at "
            f"{', '.join(f'{t:.1f}' for t in times)} s. {REPLAY}/episode-{path.number}.mcap",
            [picture(figures.image_strip([(ending_words(row), pictures)]), "the end of it", wide=True)],
        )
    rows = np.concatenate((calm.rows["margin"], spread.rows["margin"]))
    limits = [(limit.name, rows[:, k] / span(limit)) for k, limit in enumerate(setting.spec.safety.limits)]
    shown = [picture(validation_figures.margins(_used(limits)), "margins")]
    if findings.delayed:
        rates = np.array([cell.rate for cell in findings.delayed])
        targets = targets_of(setting.spec)
        image = validation_figures.delays(DELAYS_S, rates, targets.extra_delay, targets.delayed_success)
        shown.append(picture(image, "delays"))
    yield section(
        "Margins",
        "How near the truth came to each safety limit (0: at it, 1: as far as can be), and what delay it "
        "bears.",
        shown,
    )


def details(report: ValidationReport) -> str:
    """What was judged, exactly."""
    rows = {
        "policy, SHA-256": report.policy_sha256,
        "contract": report.contract_hash,
        "calibration": report.calibration_hash,
        "code": report.git_revision or "not a checkout",
        "version": report.sandlot_version,
    }
    body = "".join(f"<tr><th>{k}</th><td>{html.escape(v)}</td></tr>" for k, v in rows.items())
    return f"<details><summary>What was judged</summary><table>{body}</table></details>"


def _card(label: str, value: str, note: str, kind: str = "") -> str:
    return (
        f"<div class='card {kind}'><div class='label'>{label}</div><div class='value'>{value}</div>"
        f"<div class='note'>{html.escape(note)}</div></div>"
    )


def _row(gate: GateResult) -> str:
    measured, limit = ("" if v is None else f"{v:.4g}" for v in (gate.measured, gate.limit))
    cells = (("rule", gate.rule), ("number", measured), ("number", limit), ("", gate.detail))
    rest = "".join(f"<td class='{kind}'>{html.escape(text)}</td>" for kind, text in cells)
    return f"<tr><th>{gate.name}</th><td class='{gate.verdict}'>{gate.verdict}</td>{rest}</tr>"


def _map(worst: EpisodeResults, setting: Setting) -> bytes:
    layout = setting.spec.state_layout
    where, speed = layout["position_world"], layout.index("velocity_body_x")
    faces = [np.asarray(wall, np.float64)[:, :2] for wall in setting.world.edges()]
    course = setting.course.points(np.linspace(0.0, setting.course.length, 300, endpoint=False))
    paths = []
    for row, path in zip(worst.rows, worst.trajectories, strict=True):
        title = f"episode {row['number']}: {ending_words(row)}, return {row['score']:.0f}"
        paths.append((title, path.truth[:, where][:, :2], path.truth[:, speed]))
    line = np.stack((course.real, course.imag), axis=1)
    return figures.course_map(line, [np.vstack((f, f[:1])) for f in faces], paths, "m/s")


def _used(limits: Sequence[tuple[str, Floats]]) -> list[tuple[str, Floats]]:
    """Those that something came nearer to in some episodes than in others."""
    return [(name, shares) for name, shares in limits if np.ptp(shares[np.isfinite(shares)] if
            np.isfinite(shares).any() else np.zeros(1)) > 0.0]  # fmt: skip
