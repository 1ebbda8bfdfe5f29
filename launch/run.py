"""``sandlot run``: drive the deployed policy without exploring, and say how well it did."""

from __future__ import annotations

import datetime

from launch import catalogue
from launch.bundle import policy_of
from launch.calibrated import calibrated_spec
from launch.clearance import Clearance, deployed, of_file, require_loadable
from launch.conduct import conduct, run_fast
from launch.finish import finish
from launch.installed import need
from launch.keys import stop_keys
from launch.manifest import Setup
from launch.options.run import RunOptions
from launch.session import contract_of, create_session, make_task
from robot.admission import require_ours
from robot.errors import BundleError, SandlotError
from robot.practice.course import load_course
from robot.signing import load_trusted
from robot.spec import RobotSpec

COURSE = "oval"
"""Where a policy drives that was validated on no course in particular."""


def run(options: RunOptions) -> int:
    """The command. Everything is verified before a session is begun; the pilot verifies it once more."""
    _check(options)
    spec = calibrated_spec(options.robot, options.surrogate)
    cleared, course = clear(options, spec)
    if warning := cleared.require(options.twin, options.bench_override):
        print(warning)
    for source in spec.estop.sources:
        if source.kind == "network" and not options.fast:
            stop_keys(options.keys, options.key, source.port)
    setup = Setup(
        keys=str(options.keys.expanduser()),
        key=options.key or "",
        demonstration_laps=0,
        explore=False,
        evaluate_every=0,
        update_ratio=0,
        bench_override=options.bench_override,
    )
    session = create_session(
        options.robot,
        course,
        role="run",
        runs=options.runs,
        twin=options.twin,
        fast=options.fast,
        attended=options.attended,
        seed=options.seed,
        minutes=options.minutes,
        world=options.world,
        surrogate=options.surrogate,
        setup=cleared.enter(setup, options.keys),
    )
    print(f"{cleared.name} drives {spec.name} on {session.course.name}, without exploring")
    if options.fast:
        ending = run_fast(session, options.view)
    else:
        ending = conduct(session, options.view, with_learner=False)
    # What the twin itself did says nothing about a robot, nor does REDUCED about a drive without.
    robots_own = not options.twin or bool(session.manifest.surrogate.name)
    results = options.results if robots_own and not options.bench_override else None
    return finish(session, ending, options.report, options.json, results)


def clear(options: RunOptions, spec: RobotSpec) -> tuple[Clearance, str]:
    """Which policy is meant, what speaks against it, and on which course. Raises SandlotError for one that
    no robot and no twin can drive: not whole, of nobody we trust, or for another contract."""
    now = datetime.datetime.now(datetime.UTC)
    if options.policy is None:
        installed = deployed(spec, options.deployed, options.keys)
        bundle = installed.bundle
        chosen = options.course or bundle.content.report.course or COURSE
        course = load_course(catalogue.find("courses", chosen))
        contract = contract_of(spec, make_task(spec, course))
        require_ours(bundle, spec, load_trusted(options.keys.expanduser()), contract)
        cleared = installed.clearance(spec, now, course)
        policy = bundle.content.policy
    else:
        chosen = options.course or COURSE
        path = policy_of(options.policy)
        course = load_course(catalogue.find("courses", chosen))
        contract = contract_of(spec, make_task(spec, course))
        cleared = of_file(path.resolve(), spec, options.deployed, options.keys, now, course)
        policy = path.read_bytes()
    require_loadable(policy, contract, cleared.file.name if cleared.file else "policy.onnx")
    return cleared, chosen


def _check(options: RunOptions) -> None:
    if (options.fast or options.attended or options.surrogate) and not options.twin:
        raise SandlotError("--fast, --attended and --surrogate are for the twin: add --twin")
    if options.fast and options.attended:
        raise SandlotError("--attended puts a person beside the twin in real time; leave out --fast")
    if options.minutes < 0 or (options.fast and options.minutes == 0):
        raise SandlotError(
            f"--minutes {options.minutes:g}: more than 0 was expected (0, for no limit, not with --fast)"
        )
    if options.policy is not None and options.policy.suffix == ".bundle":
        raise BundleError("--policy takes an ONNX file or a run; a bundle is installed with sandlot deploy")
    if options.twin:
        need("mujoco")
