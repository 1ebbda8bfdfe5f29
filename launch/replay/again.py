"""``sandlot replay LOG --on ROBOT``: a recorded drive's commands once more, under full safety, and how far
what comes of them is the same."""

from __future__ import annotations

import json
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

import tomli_w
from rich.console import Console
from rich.table import Table

from launch import catalogue
from launch.conduct import conduct, run_fast
from launch.installed import need
from launch.manifest import Manifest, Setup
from launch.options.replay import ReplayOptions
from launch.replay.changes import read_recording
from launch.replay.repetition import Repetition, repetition
from launch.replay.stretch import Stretch, choose, stretches
from launch.session import Session, create_session
from robot.errors import SandlotError
from robot.log_reader import Log, read_log
from robot.plain_data import decode_struct, differences
from robot.recorder import EVENTS, TICKS
from robot.spec import load_spec

ARMING_MIN = 0.5
"""Besides the drive itself: for somebody to put the robot down and to enable it [min]."""
ENDS = ("replay_ends", "replay_cut", "replay_waits")


def replay_on(options: ReplayOptions) -> int:
    """0 if all of it was sent once more; 1 if something ended it early. Raises SandlotError if it cannot
    begin."""
    robot = options.on or ""
    if options.fast and options.hardware:
        raise SandlotError("--fast runs on simulated time and cannot drive hardware; leave one out")
    if not options.hardware:
        need("mujoco")
    log, spec = read_recording(Path(options.log))
    lines = differences(load_spec(catalogue.find("robots", robot)).contract(), spec.contract())
    if lines:
        shown = "\n  ".join(line.replace("ours", robot).replace("theirs", "the log") for line in lines[:10])
        raise SandlotError(f"{robot} is another robot than the one that was recorded:\n  {shown}")
    stretch = choose(stretches(spec, log.ticks), options.stretch)
    session = _session(options, log, stretch)
    tape = stretch.tape(options.seconds)
    tape.save(session.tape)
    x, y, yaw = stretch.start
    print(
        f"{len(tape.times_ns)} commands, {tape.seconds:.1f} s, from x {x:.2f} m, y {y:.2f} m, yaw {yaw:.2f}"
    )
    if options.hardware:
        print("put the robot there, press p, and enable motion; it drives by itself, and sees nothing")
    if options.fast:
        ending = run_fast(session, options.view)
    else:
        ending = conduct(session, options.view, with_learner=False)
    if ending.error is not None:
        raise ending.error
    again = read_log(session.directory, [TICKS, EVENTS])
    found = repetition(spec, stretch.ticks, again.ticks)
    told = [e.event for e in again.events if e.event.kind in ENDS]
    whole = bool(told) and told[-1].kind == "replay_ends"
    why = told[-1].text if told else ending.reason
    show(Console(stderr=options.json), found, f"{'all of it' if whole else 'cut off'}: {why}")
    picture = options.png or session.directory / "replay.png"
    from launch.replay.repetition_picture import draw

    picture.write_bytes(draw(spec, found))
    print(f"{picture} written; log in {session.directory}", file=sys.stderr)
    if options.json:
        print(json.dumps({"run": str(session.directory), "whole": whole, "why": why, **figures(found)}))
    return 0 if whole else 1


def _session(options: ReplayOptions, log: Log, stretch: Stretch) -> Session:
    """On the course that was recorded, whatever its file says now."""
    manifest = decode_struct(tomllib.loads(log.metadata.get("manifest", "")), Manifest, options.log)
    setup = Setup(
        demonstration_laps=0, update_ratio=0, evaluate_every=0, start=stretch.start, reduced=options.reduced
    )
    seconds = min(stretch.seconds, options.seconds or stretch.seconds)
    with tempfile.TemporaryDirectory() as folder:
        course = Path(folder) / f"{manifest.course_name}.toml"
        course.write_text(tomli_w.dumps(manifest.course))
        return create_session(
            options.on or manifest.robot,
            str(course),
            role="replay",
            runs=options.runs,
            twin=not options.hardware,
            fast=options.fast,
            seed=options.seed,
            minutes=ARMING_MIN + seconds / 60.0,
            world=options.world or (manifest.world if Path(manifest.world).is_file() else None),
            setup=setup,
            surrogate=options.surrogate,
        )


def show(console: Console, found: Repetition, ending: str) -> None:
    """For a person."""
    table = Table(box=None, pad_edge=False)
    table.add_column("signal")
    for column in ("rms", "at most", "after", "it moves by", ""):
        table.add_column(column, justify="right")
    for signal in found.signals:
        if signal.known:
            numbers = (f"{signal.rms:.3g}", f"{signal.most:.3g}", f"{found.time_s[signal.at]:.1f} s")
            table.add_row(signal.name, *numbers, f"{signal.swing:.3g}", signal.unit)
    console.print(table)
    then, now = found.altered
    console.print(
        f"{ending}; {found.time_s[-1]:.1f} s compared, commands at most {found.jitter_s * 1e3:.0f} ms off "
        f"their time; safety changed {then} ticks then, {now} now",
        highlight=False,
        markup=False,
    )


def figures(found: Repetition) -> dict[str, Any]:
    """For a program: differences of each signal, in its unit."""
    return {
        "seconds": float(found.time_s[-1]),
        "command_jitter_s": found.jitter_s,
        "altered_ticks": {"recorded": found.altered[0], "repeated": found.altered[1]},
        "signals": {
            signal.name: {"rms": signal.rms, "max": signal.most, "swing": signal.swing, "unit": signal.unit}
            for signal in found.signals
            if signal.known
        },
    }
