"""``sandlot practice``, ``onboard`` and ``learner``: which processes a session has, and its end."""

from __future__ import annotations

import contextlib
import datetime
import importlib.util
import json
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import msgspec
import numpy as np
from rich.console import Console

from launch import catalogue
from launch.attendance import AttendingOperator, Warn
from launch.bundle import policy_of
from launch.calibrated import calibrated_spec
from launch.conductor import PERIOD_NS, VIEW_NS, Conductor, Ending, EventLog, StopSignals
from launch.installed import need
from launch.manifest import Setup
from launch.map import BrailleMap
from launch.notes import SessionNotes
from launch.operator import AbsentOperator, HeldKeyOperator, Operator, SimulatedOperator, StartLine
from launch.options.learner import LearnerOptions
from launch.options.onboard import OnboardOptions, OperatorOptions
from launch.options.practice import PracticeOptions
from launch.processes import wired_estops
from launch.replay.placing import PlacingOperator
from launch.session import Session, create_session, open_session, shown
from launch.smoke_gate import unavailable
from launch.snapshot import Reader, Snapshot
from launch.status_log import FILE as STATUS
from launch.status_log import StatusLog
from launch.supervisor import Plan, Supervisor, always, python_command
from launch.view import Header, View, make_view
from learners.lagrangian import parse_constraint
from learners.range_growth import parse_growth
from robot.board import Board
from robot.clock import MonotonicClock
from robot.errors import SandlotError
from robot.practice.course import load_course
from robot.teleop.note_line import Notes
from robot.teleop.terminal import Terminal

STARTING_S = 30.0
"""A process that is not ready by then never will be, even on a Pi that imports for the first time [s]."""
OPERATOR_PRIORITY = 20
"""SCHED_FIFO priority of whoever renews the permission: below every process that drives or stops."""
DRAINING_S = 30.0
"""How long the courier may take to hand over what is left, and the learner to write its checkpoint [s]."""

# One thread each in every numerical library: their workers spin, and the guardian needs the core.
SINGLE_THREADED = (
    ("OMP_NUM_THREADS", "1"),
    ("OPENBLAS_NUM_THREADS", "1"),
    ("MKL_NUM_THREADS", "1"),
    ("OMP_WAIT_POLICY", "PASSIVE"),
    ("PYTHONUNBUFFERED", "1"),
)


WATCHED = ("practice", "onboard", "run")
"""Roles of sessions whose drives are held against the calibration at their end."""


def practise(options: PracticeOptions) -> int:
    """A whole session on this machine."""
    if options.fast and options.hardware:
        raise SandlotError(
            "--fast runs on simulated time and cannot drive hardware; leave one of the two out"
        )
    if options.surrogate and options.hardware:
        raise SandlotError(
            "--surrogate takes the twin's place and --hardware drives the robot; leave one out"
        )
    if options.attended and (options.fast or options.hardware):
        raise SandlotError(
            "--attended puts a person beside the twin in real time; leave out --fast, and on hardware there "
            "is a person anyway"
        )
    if options.minutes < 0 or (options.fast and options.minutes == 0):
        raise SandlotError(
            f"--minutes {options.minutes:g}: more than 0 was expected (0, for no limit, not with --fast)"
        )
    if options.demo and options.resume is not None:
        raise SandlotError("--resume goes on with a learner that has its prior data; leave --demo out")
    need("torch", "onnx", *(() if options.hardware else ("mujoco",)))
    laps = options.demonstration_laps
    if laps is None:
        laps = 0 if options.demo else Setup().demonstration_laps
    setup = Setup(
        address=f"127.0.0.1:{free_ports()}",
        demonstration_laps=laps,
        update_ratio=options.update_ratio,
        held_out=options.held_out,
        device=options.device,
        smoke_gate=_smoke_gate(options),
        constraints=tuple(map(parse_constraint, options.cost)),
        growth=parse_growth(options.grow),
        policy="" if options.policy is None else str(policy_of(options.policy).resolve()),
        initial=_path(options.initial, "initial"),
        resume=_path(options.resume, "resume"),
        bench_override=options.bench_override,
        teleop=_device(options),
    )
    session = create_session(
        options.robot,
        options.course,
        role="practice",
        runs=options.runs,
        twin=not options.hardware,
        fast=options.fast,
        attended=options.attended,
        seed=options.seed,
        minutes=options.minutes,
        world=options.world,
        setup=_cleared(setup, options) if options.hardware else setup,
        surrogate=options.surrogate,
    )
    if options.demo:
        from launch.demonstrated import hand_over

        episodes, rows = hand_over(session, options.demo)
        print(f"{episodes} demonstrated episodes, {rows} rows, are the learner's from the start")
    if options.fast:
        return finish(session, run_fast(session, options.view), options.report, options.json)
    ending = conduct(session, options.view, with_learner=True)
    return finish(session, ending, options.report, options.json)


def _device(options: PracticeOptions) -> str:
    """Raises SandlotError for an input device that is not there."""
    if options.teleop is None:
        return ""
    if options.fast:
        raise SandlotError("--fast runs on simulated time and nobody can step in; leave one of the two out")
    from launch.teleop import checked

    return checked(options.teleop)


def onboard(options: OnboardOptions) -> int:
    """The robot's side; the learner is on another machine, or not there yet."""
    from launch.keys import robot_keys

    if options.twin:
        need("mujoco")
    elif options.surrogate:
        raise SandlotError("--surrogate takes the twin's place; add --twin, or leave it out")
    elif options.attended:
        raise SandlotError("--attended puts a person beside the twin; on hardware there is a person anyway")
    robot_keys(options.keys, options.key, options.learner_key, options.learner)
    setup = Setup(
        address=options.learner,
        keys=str(options.keys.expanduser()),
        key=options.key or "",
        learner_key=options.learner_key,
        demonstration_laps=options.demonstration_laps,
        policy="" if options.policy is None else str(policy_of(options.policy).resolve()),
        bench_override=options.bench_override,
    )
    session = create_session(
        options.robot,
        options.course,
        role="onboard",
        runs=options.runs,
        twin=options.twin,
        attended=options.attended,
        seed=options.seed,
        minutes=options.minutes,
        world=options.world,
        setup=setup if options.twin else _cleared(setup, options),
        surrogate=options.surrogate,
    )
    ending = conduct(session, options.view, with_learner=False)
    return finish(session, ending, options.report, options.json)


def _cleared(setup: Setup, options: PracticeOptions | OnboardOptions) -> Setup:
    """How a robot starts with --policy, if it may: with the deployed bundle, or with a file under a bench
    override. Raises PolicyError if it may not. Streamed policies are another matter: the session's key
    authenticates them."""
    if not setup.policy:
        return setup
    from launch.clearance import of_file

    spec = calibrated_spec(options.robot)
    course = load_course(catalogue.find("courses", options.course)).name
    now = datetime.datetime.now(datetime.UTC)
    cleared = of_file(Path(setup.policy), spec, options.deployed, options.keys, now, course)
    if warning := cleared.require(twin=False, bench_override=setup.bench_override):
        print(warning)
    return cleared.enter(setup, options.keys)


def learn(options: LearnerOptions) -> int:
    """The learner alone, in this process."""
    from launch.keys import learner_keys
    from launch.processes import Stop, learner

    need("torch", "onnx")
    learner_keys(options.keys, options.key, options.bind)
    setup = Setup(
        address=options.bind,
        keys=str(options.keys.expanduser()),
        key=options.key or "",
        update_ratio=options.update_ratio,
        held_out=options.held_out,
        device=options.device,
        smoke_gate=_smoke_gate(options),
        constraints=tuple(map(parse_constraint, options.cost)),
        growth=parse_growth(options.grow),
        initial=_path(options.initial, "initial"),
        resume=_path(options.resume, "resume"),
    )
    session = create_session(
        options.robot,
        options.course,
        role="learner",
        runs=options.runs,
        twin=False,
        seed=options.seed,
        minutes=options.minutes or 0.0,
        setup=setup,
    )
    print(f"learner of {session.manifest.robot} on {session.course.name}: listening on {options.bind}")
    print(f"writing to {session.directory}; Ctrl-C ends it with a checkpoint")
    sys.stdout.flush()
    learner(session, Stop())
    if options.json:
        print(json.dumps({"run": str(session.directory)}))
    return 0


def _smoke_gate(options: PracticeOptions | LearnerOptions) -> bool:
    """Whether policies are tried in the twin before they are published: if it is asked for and possible."""
    if not options.smoke_gate or options.update_ratio == 0:
        return False
    spec = calibrated_spec(options.robot)
    world = load_course(catalogue.find("courses", options.course)).name
    if isinstance(options, PracticeOptions) and options.world is not None and not options.hardware:
        world = options.world
    why_not = unavailable(spec, world)
    if why_not is not None:
        print(f"no smoke gate: {why_not}; policies are published untried (--no-smoke-gate says nothing)")
    return why_not is None


def attend(options: OperatorOptions) -> int:
    """A person's keys, for a session that runs elsewhere on this machine (as a service, say)."""
    session = open_session(options.run)
    if session.spec.enable.source == "simulated_operator":
        raise SandlotError("motion is enabled by a simulated operator in this session, not by a person")
    if not os.isatty(sys.stdin.fileno()):
        raise SandlotError("standard input is not a keyboard; run this in a terminal, or over ssh -t")
    board, clock = session.board(), MonotonicClock()
    reader, view = Reader(board, session.spec), _view(session, "auto")
    began_ns = clock.now_ns()
    operator = _person(session, board, lambda now_ns, text: view.say((now_ns - began_ns) / 1e9, text))
    with StopSignals() as stop:
        try:
            while stop.count == 0 and session.board_directory.exists():
                now_ns = clock.now_ns()
                operator.step(now_ns, reader.state(), reader.pilot())
                if now_ns % VIEW_NS < PERIOD_NS:
                    view.show((now_ns - began_ns) / 1e9, reader.read(now_ns), {})
                clock.sleep_until(now_ns + PERIOD_NS)
        finally:
            operator.halt(clock.now_ns())
            operator.close()
            view.close()
    print("released: the robot stops")
    return 0


def plans(session: Session, board: Board, with_learner: bool) -> list[Plan]:
    """The session's processes in the order in which they start."""

    def plan(name: str, ready: Callable[[], bool] = always, stop_s: float = 5.0) -> Plan:
        command = python_command("launch.processes", name, "--session", str(session.directory))
        return Plan(name, command, ready, STARTING_S, stop_s, SINGLE_THREADED)

    made = []
    if session.manifest.twin:
        links = [session.ports / device.name for device in session.spec.devices]
        made.append(plan("emulator", lambda: all(link.exists() for link in links)))
    pilot = plan("pilot", lambda: board.pilot.sequence > 0)
    verifies = session.manifest.role == "run"
    if verifies:  # what the pilot refuses to drive never gets as far as a guardian
        made.append(pilot)
    # A guardian that a person has to enable may come up before its operator; its state is what tells.
    made.append(plan("guardian", lambda: board.state.sequence > 0, stop_s=_standstill_s(session)))
    wired = [board.estops[source.name] for source in wired_estops(session)]
    if wired:
        made.append(plan("estop", lambda: all(mailbox.sequence > 0 for mailbox in wired)))
    if session.manifest.setup.teleop not in ("", "keyboard"):
        made.append(plan("hand", lambda: board.hand.sequence > 0))
    made.append(plan("courier", stop_s=DRAINING_S))
    if session.spec.cameras:
        made.append(plan("camera"))
    if not verifies:
        made.append(pilot)
    if with_learner:
        made.append(plan("learner", stop_s=DRAINING_S))
    return made


def _standstill_s(session: Session) -> float:
    return session.spec.stop.hold_s + session.spec.stop.deadline_s + 1.0


def conduct(session: Session, view_kind: str, with_learner: bool) -> Ending:
    """Run a session's processes in real time, from start to end."""
    session.key()  # made or missed here, not by two processes at once
    clock = MonotonicClock()
    with _board(session) as board, _attentive():
        reader = Reader(board, session.spec)
        events = EventLog(session.directory / "processes.jsonl")
        supervisor = Supervisor(plans(session, board, with_learner), session.output, clock, events.note)
        say = partial(_say, events)
        notes = SessionNotes(board, say)
        operator = _operator(session, board, say, notes)
        view = _view(session, view_kind)
        notes.show = view.draft
        limit, status = session.manifest.minutes, StatusLog(session.directory / STATUS)
        conductor = Conductor(supervisor, operator, reader, view, clock, session.spec, limit, status)
        events.listeners.append(conductor.say)
        return conductor.run()


def _say(events: EventLog, now_ns: int, text: str) -> None:
    events.note(now_ns, "operator", text)


def run_fast(session: Session, view_kind: str) -> Ending:
    """The whole session in this thread. Ctrl-C and SIGTERM end it as they end any other."""
    from launch.lockstep import Lockstep, practise_lockstep

    view = _view(session, view_kind)
    began_ns = time.monotonic_ns()

    def progress(lockstep: Lockstep, now: Snapshot) -> None:
        view.show(lockstep.practised_s, now, {})

    def stop(number: int, frame: object) -> None:
        raise KeyboardInterrupt(signal.Signals(number).name)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        practise_lockstep(session, progress)
    except KeyboardInterrupt as stopped:
        return Ending(f"stopped by {str(stopped) or 'SIGINT'}", interrupted=True)
    except SandlotError as error:
        return Ending(str(error), error)
    finally:
        signal.signal(signal.SIGTERM, before)
        view.close()
    wall_s = (time.monotonic_ns() - began_ns) / 1e9
    return Ending(f"{session.manifest.minutes:g} min practised in {wall_s:.0f} s")


@contextlib.contextmanager
def _attentive() -> Iterator[None]:
    """While the robot may move, this process renews its permission: it must not wait for a learner's core."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(OPERATOR_PRIORITY))
    except PermissionError:
        yield
        return
    try:
        yield
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


@contextlib.contextmanager
def _board(session: Session) -> Iterator[Board]:
    try:
        yield session.board(create=True)
    finally:
        session.remove_board()


def _operator(session: Session, board: Board, warn: Warn, notes: Notes) -> Operator:
    device = session.manifest.setup.teleop
    if not device:
        return _without_hand(session, board, warn)
    from launch.teleop import with_hand

    start = StartLine(board.pose, session.start, partial(_place, session, session.start))
    return with_hand(session, board, warn, start, notes, partial(_without_hand, session, board, warn))


def _without_hand(session: Session, board: Board, warn: Warn) -> Operator:
    source = session.spec.enable.source
    if source == "simulated_operator":
        attentive = SimulatedOperator(board.operator, partial(_place, session))
        if session.manifest.role != "replay":
            return attentive
        where = partial(_place, session, session.start)
        return PlacingOperator(attentive, StartLine(board.pose, session.start, where))
    if not os.isatty(sys.stdin.fileno()):
        print("no keyboard here; somebody has to enable motion from a terminal: sandlot operator")
        return AbsentOperator(board.operator)
    return _person(session, board, warn)


def _place(session: Session, pose: tuple[float, float, float] | None = None) -> None:
    """Put the twin down, at ``pose`` or where it is on the course. On hardware hands do that."""
    if session.manifest.twin:
        from sim.emulators.control import Place, ask

        # The emulator may itself just be starting again; whoever asks will ask once more.
        with contextlib.suppress(SandlotError):
            ask(session.ports, Place(pose))


def _person(session: Session, board: Board, warn: Warn) -> Operator:
    """The person at this terminal, with what they do to enable motion."""
    enable, where = session.spec.enable, session.start
    start = StartLine(board.pose, where, partial(_place, session, where))
    if enable.source == "held_key":
        return HeldKeyOperator(board.operator, start=start)

    def ring(now_ns: int, text: str) -> None:
        print("\a", end="", file=sys.stderr, flush=True)
        warn(now_ns, text)

    lease_s = enable.lease_s if enable.source == "attendance" else None
    return AttendingOperator(board.operator, Terminal(), lease_s, ring, start)


def _view(session: Session, kind: str) -> View:
    manifest = session.manifest
    where = "twin" if manifest.twin else "hardware"
    if manifest.surrogate.name:
        where = f"surrogate {manifest.surrogate.name}"
    spec = session.spec
    units = {name: field.unit for field in spec.estimator.state for name in field.element_names()}
    header = Header(
        title=f"{manifest.robot} on {session.course.name}",
        detail=f"{where}, seed {manifest.seed}{_bench(session)}",
        folder=str(session.directory),
        speed_unit=units[spec.stop.standstill],
        minutes=manifest.minutes,
        limits=session.limits,
    )
    _, x, y, _ = session.course.table()
    return make_view(kind, Console(), header, BrailleMap(np.column_stack((x, y))))


def _bench(session: Session) -> str:
    reason = session.manifest.setup.bench_override
    if reason:
        return f", BENCH OVERRIDE at REDUCED limits: {reason}"
    return f", {session.limits}" if session.limits else ""


def finish(session: Session, ending: Ending, with_report: bool, as_json: bool) -> int:
    """Say how it ended and where everything is; make the report."""
    policies = sorted(session.policies.glob("*.onnx"))
    if policies:
        shutil.copyfile(policies[-1], session.directory / "policy.onnx")
    print(f"session ended: {ending.reason}{_bench(session)}")
    if not ending.standstill:
        print("the guardian did not confirm a standstill; the drive's own timeout stops the robot")
    summary: dict[str, object] = {"run": str(session.directory), "ending": ending.reason}
    if session.manifest.role == "run" and session.log.exists():
        from launch.evaluation import evaluate
        from launch.run_data import RunData

        judged = evaluate(RunData(session))
        summary["evaluation"] = msgspec.to_builtins(judged)
        for line in judged.lines():
            print(f"  {line}")
    if session.manifest.role in WATCHED and session.log.exists():
        from launch.calibrate.watch import consistency

        lines = list(consistency(session))
        summary["calibration"] = lines
        for line in lines:
            print(f"  {line}")
    if with_report and importlib.util.find_spec("matplotlib") is None:
        print(f"no report: matplotlib is not installed here; elsewhere: sandlot report {session.directory}")
    elif with_report and session.log.exists():
        from launch.report import make_report

        summary |= make_report(session)
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


def _path(path: Path | None, what: str) -> str:
    if path is None:
        return ""
    if not path.exists():
        raise SandlotError(f"no file or folder {path}, given as --{what}")
    return str(path.resolve())


def free_ports() -> int:
    """A loopback port that is free together with the next one up."""
    for _ in range(100):
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = int(first.getsockname()[1])
            try:
                second.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port
    raise SandlotError("no two neighbouring free ports on 127.0.0.1; too many sockets are open")
