"""The end of a session: how it ended, where everything is, and the report."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import msgspec

from launch.clearance import begun_with
from launch.conductor import Ending
from launch.evaluation import Evaluation, evaluate
from launch.installed import installing
from launch.results import add_result, results_file
from launch.run_data import RunData
from launch.session import Session, shown
from launch.session_view import bench_note
from robot.frame_file import write_atomically
from robot.plain_data import sha256

WATCHED = ("practice", "onboard", "run")
"""Roles of sessions whose drives are held against the calibration at their end."""


def finish(
    session: Session, ending: Ending, with_report: bool, as_json: bool, results: Path | None = None
) -> int:
    """Say how it ended and where everything is; make the report. ``results``: the folder where what a policy
    did on a robot is added, for who asks later whether the twin knew."""
    policies = sorted(session.policies.glob("*.onnx"))
    if policies:
        write_atomically(session.directory / "policy.onnx", policies[-1].read_bytes())
    print(f"session ended: {ending.reason}{bench_note(session)}")
    if not ending.standstill:
        print("the guardian did not confirm a standstill; the drive's own timeout stops the robot")
    summary: dict[str, object] = {"run": str(session.directory), "ending": ending.reason}
    run = None
    if session.manifest.role == "run" and session.log.exists():
        run = RunData(session)
        judged = evaluate(run)
        summary["evaluation"] = msgspec.to_builtins(judged)
        for line in judged.lines():
            print(f"  {line}")
        if results is not None and (policy := begun_with(session)) is not None:
            print(f"  a row added to {_add_row(session, policy, judged, results)}")
    if session.manifest.role in WATCHED and session.log.exists():
        summary["calibration"] = lines = _watched(session)
        for line in lines:
            print(f"  {line}")
    if with_report and importlib.util.find_spec("matplotlib") is None:
        print(f"no report: matplotlib is not installed here; elsewhere: sandlot report {session.directory}")
    elif with_report and session.log.exists():
        from launch.report import make_report

        summary |= make_report(RunData(session) if run is None else run)
    for label, path in (
        ("run", session.directory),
        ("log", session.log),
        ("policy", session.directory / "policy.onnx"),
        ("report", session.directory / "report.html"),
    ):
        if path.exists():
            print(f"  {label:<7} {shown(path)}")
    if as_json:
        print(json.dumps(summary))
    return 1 if ending.error is not None else 0


def _watched(session: Session) -> list[str]:
    """Whether the drive agrees with the calibration. A robot's own computer need not be able to say."""
    if importlib.util.find_spec("scipy") is None:
        return [f"calibration not checked: scipy is not installed here ({installing('scipy')})"]
    from launch.calibrate.watch import consistency

    return list(consistency(session))


def _add_row(session: Session, policy: bytes, judged: Evaluation, folder: Path) -> Path:
    manifest = session.manifest
    file = results_file(folder, manifest.robot, manifest.surrogate.name)
    course, laps, failures = manifest.course_name, judged.laps, judged.failures
    add_result(file, "robot", course, sha256(policy), laps, failures, session.directory)
    return file
