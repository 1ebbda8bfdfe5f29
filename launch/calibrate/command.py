"""``sandlot calibrate``: a robot measures itself by procedures, and what it found is kept by date."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
from rich.console import Console

from calibration.book import Book, robot_id, stamp
from calibration.drive import Drive, log_hash, read_drive
from calibration.entry import Check, Entry, Finding, Quantity, calibrated, with_unit
from calibration.procedure import CalibrationError, Estimate
from calibration.twin_work import HERE, MOST_CHUNKS, TwinWork
from launch.calibrate.follow import follow
from launch.calibrate.offline import VALID_DAYS, estimate, files_hash, source_of
from launch.calibrate.procedures import PROCEDURES, SUGGESTED, named, names_for
from launch.calibrate.status import compare, status
from launch.calibrated import calibrated_spec, name_of
from launch.catalogue import find
from launch.conduct import conduct, run_fast
from launch.installed import need
from launch.manifest import Setup, git_revision, versions
from launch.options.calibrate import CalibrateOptions
from launch.replay.recording import replayable, robot_of
from launch.session import Session, create_session
from launch.supervisor import SUPERVISOR, python_command
from robot.errors import SandlotError
from robot.log_reader import Log
from robot.spec import RobotSpec, load_spec

FAILED = 3
"""Exit code: it was measured, and is not good enough to be used."""
MOST_CHUNKS_SPREAD = 10 * MOST_CHUNKS
"""Stretches of the logs that are used when many machines replay them."""
SPARE = 2.0
"""How many times as long as its legs a manoeuvre may take before the session ends by itself."""


class CutOffError(SandlotError):
    """Somebody ended a procedure before it was through."""


def calibrate(options: CalibrateOptions) -> int:
    """0 if every procedure passed, ``FAILED`` if one did not."""
    console = Console(stderr=options.json)
    spec = load_spec(find("robots", options.robot))
    if options.surrogate and options.hardware:
        raise SandlotError(
            "--surrogate is in the twin's place and --hardware drives the robot; leave one out"
        )
    if options.drive and not options.suggest:
        raise SandlotError("--drive drives what --suggest suggests; give both")
    if options.suggest:
        need("mujoco")
        from launch.calibrate.suggestions import suggestions

        spec = calibrated_spec(options.robot, options.surrogate)
        best = suggestions(console, spec, options.json and not options.drive)
        return _measure(console, options, [SUGGESTED + best]) if options.drive else 0
    if options.follow:
        if options.procedure == "twin":
            raise SandlotError(
                "an identification takes minutes of a processor: it is not followed while driving"
            )
        if SUPERVISOR in os.environ:  # beside a session, and with it
            from launch.processes import follow_parent

            follow_parent()
        return follow(console, named(options.procedure or ""), options.follow)
    if options.status or options.compare:
        book = Book(_id(spec, options))
        if options.status:
            return status(console, spec, book, options.json)
        offline = options.procedure in VALID_DAYS
        name = (options.procedure or "") if offline else named(options.procedure or "").name
        return compare(console, book, name, options.compare or (), options.json)
    if options.procedure is None:
        raise SandlotError(
            f"say what to calibrate: {', '.join((*names_for(spec), *VALID_DAYS))}, all; or --status"
        )
    every = names_for(spec) if options.procedure == "all" else (options.procedure,)
    if options.ray is not None and "twin" not in every:
        raise SandlotError(
            f"--ray spreads the identification of the twin; {options.procedure} has none, leave it out"
        )
    if options.procedure in VALID_DAYS:
        return _offline(console, options, options.procedure)
    return _measure(console, options, every)


def _measure(console: Console, options: CalibrateOptions, names: Sequence[str]) -> int:
    """Drive what each needs, unless there is a log, and conclude. One of several that fails holds up no
    other, but what builds on it goes by older values, and that is said."""
    failed: list[str] = []
    done = []
    file = load_spec(find("robots", options.robot))
    with identifying(console, options.ray) as work:
        for name in names:
            procedure = named(name, work)
            console.print(f"[bold]{procedure.name}[/] {procedure.about}", highlight=False)
            paths = options.log or (drive(console, options, name),)
            try:
                entry = conclude(console, file, name, paths, work)
            except SandlotError as error:
                if len(names) == 1:
                    raise
                console.print(f"[red]{name}: nothing is concluded:[/] {error}", highlight=False)
            else:
                done.append(msgspec.to_builtins(entry))
                if entry.passed:
                    continue
            failed.append(name)
            if name != names[-1]:
                console.print(
                    f"[yellow]{name} did not pass: where the next ones need it they go by the entry before, "
                    "or by the robot's file[/]",
                    highlight=False,
                )
    if options.json:
        print(json.dumps({"entries": done, "failed": failed}))
    return FAILED if failed else 0


@contextlib.contextmanager
def identifying(console: Console, ray: str | None) -> Iterator[TwinWork]:
    """How the twin is identified: told line by line, here or on the Ray cluster at an address. Raises
    SandlotError if there is none."""

    def tell(line: str) -> None:
        console.print(f"  {line}", highlight=False, style="dim")

    if ray is None:
        yield TwinWork(progress=tell)
        return
    from launch.ray_cluster import RayCluster
    from launch.spread_replays import SpreadReplays, carry_out

    cluster = RayCluster(ray, carry_out)
    try:
        yield TwinWork(progress=tell, replays=SpreadReplays(cluster), most_chunks=MOST_CHUNKS_SPREAD)
    finally:
        cluster.close()


def _id(spec: RobotSpec, options: CalibrateOptions) -> str:
    """Of the robot or the surrogate that is meant."""
    return robot_id(spec.name, name_of(options.surrogate))


def _offline(console: Console, options: CalibrateOptions, name: str) -> int:
    """What a person took or read of the robot, which is otherwise as its entries have it."""
    path, spec = source_of(options), calibrated_spec(options.robot, options.surrogate)
    found = estimate(options, path, spec, Book(_id(spec, options)).current())
    valid = datetime.timedelta(days=VALID_DAYS[name])
    paths = [path] if name != "hand-eye" or options.images is None else [path, options.images]
    hashes, source = (" ".join(map(f, paths)) for f in (files_hash, str))
    entry = entry_of(name, valid, found, hashes, source, _id(spec, options))
    # Beside what was taken, not in it: a folder of pictures is read again the next time.
    keep(console, found, entry, path.resolve().parent)
    if options.json:
        print(json.dumps({"entries": [msgspec.to_builtins(entry)], "failed": [] if entry.passed else [name]}))
    return 0 if entry.passed else FAILED


def conclude(
    console: Console, file: RobotSpec, name: str, paths: Sequence[Path], work: TwinWork = HERE
) -> Entry:
    """Estimate what procedure ``name`` does from logs of the robot with this ``file``, show it, draw it
    beside the first log, and put it into the book, passed or not, of the robot that drove. Raises
    CalibrationError for data from which nothing follows: then nothing is written."""
    logs = [read_drive(path) for path in paths]
    robot = _one_robot(file, [(drive.spec, log) for drive, log in logs])
    known = calibrated(file, [entry for entry in Book(robot).current() if entry.procedure != "twin"])
    procedure = named(name, replace(work, known=known))
    estimate = procedure.estimate(
        [_prepared(procedure.name, drive, log, path) for (drive, log), path in zip(logs, paths, strict=True)]
    )
    hashes, source = (" ".join(map(f, paths)) for f in (log_hash, str))
    valid = datetime.timedelta(days=procedure.valid_days)
    entry = entry_of(procedure.name, valid, estimate, hashes, source, robot)
    keep(console, estimate, entry, paths[0] if paths[0].is_dir() else paths[0].parent)
    return entry


def _prepared(procedure: str, drive: Drive, log: Log, path: Path) -> Drive:
    """With what only one procedure looks at. Only a car's log can be replayed."""
    if procedure == "twin":
        return replayable(drive, log, path)
    if procedure == "clock" and drive.spec.cameras:
        need("cv2")
        from calibration.image_motion import with_pictures

        return with_pictures(drive, path)
    return drive


def keep(console: Console, estimate: Estimate, entry: Entry, folder: Path) -> None:
    """Show an entry, draw it into ``folder``, and put it into its robot's book, passed or not."""
    show(console, estimate, entry)
    try:
        from launch.calibrate.picture import draw
    except ModuleNotFoundError:
        console.print("  no picture: matplotlib is not installed here", highlight=False)
    else:
        picture = folder / f"{entry.procedure}.png"
        picture.write_bytes(draw(estimate.panels, f"{entry.procedure} of {entry.robot}, {entry.date}"))
        console.print(f"  picture {picture}", highlight=False)
    console.print(f"  entry   {Book(entry.robot).add(entry)}", highlight=False)


def _one_robot(file: RobotSpec, logs: Sequence[tuple[RobotSpec, Log]]) -> str:
    """The id of the robot, twin or surrogate that drove, as the logs have it. Raises CalibrationError if they
    are of several, of one that was calibrated between them, or not of the robot with this ``file``."""
    for spec, _ in logs:
        if spec.name != file.name:
            raise CalibrationError(
                f"the log is of a {spec.name}; calibrate that one, or give a log of a {file.name}"
            )
    found = {robot_of(log, spec) for spec, log in logs}
    if len(found) > 1:
        raise CalibrationError(f"the logs are of {' and '.join(sorted(found))}; give those of one robot")
    calibrations = {spec.calibration_hash()[:12] for spec, _ in logs}
    if len(calibrations) > 1:
        raise CalibrationError(
            f"the robot was calibrated between the logs, and sent commands by {len(calibrations)} "
            f"calibrations ({', '.join(sorted(calibrations))}); give those of one"
        )
    return found.pop()


def entry_of(
    procedure: str, valid: datetime.timedelta, estimate: Estimate, sha256: str, source: str, robot: str
) -> Entry:
    """Dated now, in Python's own numbers."""
    now = datetime.datetime.now(datetime.UTC)
    return Entry(
        procedure=procedure,
        robot=robot,
        date=stamp(now),
        expires=stamp(now + valid),
        method=estimate.method,
        software=git_revision() or versions().get("sandlot", ""),
        log_sha256=sha256,
        source=source,
        quantities=tuple(Quantity(q.name, q.unit, float(q.value)) for q in estimate.quantities),
        covariance=tuple(tuple(row) for row in np.asarray(estimate.covariance).tolist()),
        checks=tuple(
            Check(c.rule, c.unit, float(c.measured), float(c.limit), c.least) for c in estimate.checks
        ),
        findings=tuple(Finding(f.name, f.unit, float(f.value), float(f.sigma)) for f in estimate.findings),
        frozen=estimate.frozen,
    )


def show(console: Console, estimate: Estimate, entry: Entry) -> None:
    """For a person: residuals, values, rules."""

    def say(line: str) -> None:
        console.print(f"  {line}", highlight=False, markup=False)

    for line in estimate.lines:
        say(line)
    for row, quantity in enumerate(entry.quantities):
        say(with_unit(f"{quantity.name} = {quantity.value:.6g} ± {entry.sigma(row):.2g}", quantity.unit))
    for finding in entry.findings:
        around = f" ± {finding.sigma:.2g}" if finding.sigma else ""
        say(f"({with_unit(f'{finding.name} {finding.value:.5g}{around}', finding.unit)})")
    for what in entry.frozen:
        say(f"not told by these data: {what}")
    for check in entry.checks:
        verdict = "[green]pass[/]" if check.passed else "[red]fail[/]"
        bound = "at least" if check.least else "at most"
        measured = with_unit(f"{check.measured:.3g}", check.unit)
        console.print(f"  {verdict} {check.rule}: {measured}, {bound} {check.limit:g}", highlight=False)


def drive(console: Console, options: CalibrateOptions, name: str) -> Path:
    """Let the robot do what the procedure needs; the run's folder. Raises CutOffError if it was cut off."""
    procedure = named(name)
    if not options.hardware:
        need("mujoco")
    spec = load_spec(find("robots", options.robot))
    minutes = SPARE * sum(leg.seconds for leg in procedure.legs(spec)) / 60.0 + 0.5
    session = create_session(
        options.robot,
        options.course,
        role="calibrate",
        runs=options.runs,
        twin=not options.hardware,
        fast=not (options.hardware or options.realtime),
        seed=options.seed,
        minutes=minutes,
        surrogate=options.surrogate,
        setup=Setup(demonstration_laps=0, update_ratio=0, evaluate_every=0, procedure=name),
    )
    _require_free(session)
    if session.manifest.fast:
        ending = run_fast(session, options.view)
    else:
        followed = name in PROCEDURES and name != "twin" and options.view != "none"
        told = ("calibrate", options.robot, name, "--follow", str(session.directory))
        ending = conduct(
            session,
            options.view,
            with_learner=False,
            beside=python_command("sandlot", *told) if followed else (),
        )
    if ending.error is not None:
        raise ending.error
    if ending.interrupted:  # and what else was asked for does not move the robot either
        raise CutOffError(
            f"{procedure.name} was {ending.reason}: nothing is concluded from part of it; what was recorded "
            f"is in {session.directory}"
        )
    if not session.log.exists():
        raise SandlotError(f"{session.directory}: nothing was recorded ({ending.reason})")
    return session.directory


def _require_free(session: Session) -> None:
    """Calibration moves the robot at REDUCED limits only; whoever changes that meets this."""
    safety = session.spec.safety
    if safety.authority > safety.reduced_scale:
        raise SandlotError(f"{session.spec.name} would be calibrated at authority {safety.authority:g}")
