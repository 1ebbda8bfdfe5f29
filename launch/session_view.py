"""A session's terminal view, and what a person is told of its limits."""

from __future__ import annotations

import numpy as np
from rich.console import Console

from launch.map import BrailleMap
from launch.session import Session
from launch.view import Header, View, make_view


def session_view(session: Session, kind: str) -> View:
    """``kind``: auto, live, plain or none."""
    manifest = session.manifest
    where = "twin" if manifest.twin else "hardware"
    if manifest.surrogate.name:
        where = f"surrogate {manifest.surrogate.name}"
    spec = session.spec
    units = {name: field.unit for field in spec.estimator.state for name in field.element_names()}
    header = Header(
        title=f"{manifest.robot} on {session.course.name}",
        detail=f"{where}, seed {manifest.seed}{bench_note(session)}",
        folder=str(session.directory),
        speed_unit=units[spec.stop.standstill],
        minutes=manifest.minutes,
        limits=session.limits,
        calibrates=manifest.role == "calibrate",
    )
    _, x, y, _ = session.course.table()
    return make_view(kind, Console(), header, BrailleMap(np.column_stack((x, y))))


def bench_note(session: Session) -> str:
    """That it had less authority than its robot has, and why; empty if it had not."""
    reason = session.manifest.setup.bench_override
    if reason:
        return f", BENCH OVERRIDE at REDUCED limits: {reason}"
    return f", {session.limits}" if session.limits else ""
