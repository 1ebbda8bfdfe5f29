"""``sandlot practice``, ``onboard`` and ``learner``: what a session is made of, by its options."""

from __future__ import annotations

import datetime
import json
import math
import sys
from pathlib import Path

from launch import catalogue
from launch.bundle import policy_of
from launch.calibrated import calibrated_spec
from launch.conduct import conduct, run_fast
from launch.finish import finish
from launch.free_ports import free_ports
from launch.installed import need
from launch.manifest import Setup
from launch.options.learner import LearnerOptions
from launch.options.onboard import OnboardOptions
from launch.options.practice import PracticeOptions
from launch.session import create_session, shown
from launch.smoke_gate import unavailable
from learners.lagrangian import parse_constraint
from learners.range_growth import parse_growth
from robot.errors import SandlotError
from robot.practice.course import load_course


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
        resume=_resumed(options.resume),
        bench_override=options.bench_override,
        teleop=_device(options),
        redraw_s=_redraw_s(options),
    )
    _require_device(setup)
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


def _require_device(setup: Setup) -> None:
    """Raise SandlotError if the learner's device is not here, before a robot is started."""
    if setup.device != "cpu":
        from learners.algorithm import require_device  # imports torch

        require_device(setup.learner_config())


def _redraw_s(options: PracticeOptions) -> float:
    """Raises SandlotError where there is no car to draw."""
    if options.redraw < 0.0:
        raise SandlotError(f"--redraw {options.redraw:g}: more seconds than 0 were expected (0: never)")
    if options.redraw and (not options.fast or options.surrogate):
        raise SandlotError(
            "--redraw draws the cars of the twin on simulated time: it needs --fast, and has no --surrogate"
        )
    return options.redraw


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
    course = load_course(catalogue.find("courses", options.course))
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
    minutes = math.inf if options.minutes is None else options.minutes
    if minutes <= 0.0:
        raise SandlotError(
            f"--minutes {minutes:g}: expected more than 0; without it, it goes on until Ctrl-C"
        )
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
        resume=_resumed(options.resume),
    )
    _require_device(setup)
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
    learner(session, Stop(60.0 * minutes))
    print(f"go on with it by --resume {shown(session.directory)}")
    if options.json:
        print(json.dumps({"run": str(session.directory)}))
    return 0


def _smoke_gate(options: PracticeOptions | LearnerOptions) -> bool:
    """Whether policies are tried in the twin before they are published: if it is asked for and possible."""
    if not options.smoke_gate:
        return False
    spec = calibrated_spec(options.robot)
    world = load_course(catalogue.find("courses", options.course)).name
    if isinstance(options, PracticeOptions) and options.world is not None and not options.hardware:
        world = options.world
    why_not = unavailable(spec, world)
    if why_not is not None:
        print(f"no smoke gate: {why_not}; policies are published untried (--no-smoke-gate says nothing)")
    return why_not is None


def _path(path: Path | None, what: str) -> str:
    if path is None:
        return ""
    if not path.exists():
        raise SandlotError(f"no file or folder {path}, given as --{what}")
    return str(path.resolve())


def _resumed(run: Path | None) -> str:
    if run is not None and run.exists() and not (run / "learner" / "journal").is_dir():
        raise SandlotError(f"{run}: expected the folder of a robot's run that learned, for --resume")
    return _path(run, "resume")
