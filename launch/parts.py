"""The parts of a session's robot, each made from the manifest, whoever runs them: processes of their own, one
simulated clock, or a benchmark."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from launch.manifest import Setup
from launch.session import Session
from robot.board import Board
from robot.clock import Clock
from robot.interface import Driver, load_class

if TYPE_CHECKING:
    from launch.calibrate.driver import CalibrationDriver
    from learners.server import ServerConfig
    from robot.estop.stop_receiver import StopReceiver
    from robot.guardian import Guardian
    from robot.people_spec import EstopSource
    from robot.pilot import Pilot
    from robot.player import Player
    from robot.policy import PolicyLoader, PolicySource
    from robot.teleop.device import TeleopDevice

GATED_PUBLISH_S = 2.0
"""Time between two policies that are tried in the twin first [s]: trying takes about one of a core, and
FastRLAP's robots (arXiv 2304.09831) got a policy as often."""


def make_guardian(session: Session, drivers: Sequence[Driver], board: Board, clock: Clock) -> Guardian:
    """The guardian of a session's robot."""
    from robot.guardian import Guardian

    estimator = load_class(session.spec.estimator.driver, f"{session.spec.name}: estimator")(session.spec)
    return Guardian(session.spec, drivers, estimator, clock, board)


def make_policies(session: Session, board: Board, clock: Clock, background: bool) -> PolicyLoader:
    """Where the session's pilot gets its policies. Raises BundleError if it may not start with its own."""
    from robot.policy import PolicyLoader

    setup, manifest = session.manifest.setup, session.manifest
    initial = session.first
    calibration: str | None = manifest.calibration_hash
    if setup.bundle:
        # What the calibration was at the export no longer matters: the bundle's last validation does. The
        # courier still asks it of streamed policies.
        from launch.clearance import verified

        initial, calibration = verified(session), None
    elif manifest.role == "run":
        calibration = None  # as whoever started it was told
    return PolicyLoader(
        session.policies, session.contract, calibration, board, clock, background=background, initial=initial
    )


def make_pilot(session: Session, policies: PolicySource, board: Board, clock: Clock) -> Pilot:
    """The session's pilot, with its scripted demonstrator if it has one."""
    from robot.pilot import Pilot
    from robot.teleop.hand import Hand

    spec, setup = session.spec, session.manifest.setup
    demonstrator = None
    hand: TeleopDevice | None = Hand(spec, board.hand) if setup.teleop else None
    procedure = calibration_driver(session, board) if setup.procedure else None
    if setup.demonstration_laps:
        kind = load_class(setup.demonstrator, "demonstrator")
        rng = session.generator("demonstrator")
        demonstrator = kind(spec, session.course, setup.demonstration_speed, rng)
    made = Pilot(
        spec,
        session.task(),
        session.contract,
        policies,
        board,
        clock,
        session.generator("pilot"),
        demonstrator=demonstrator,
        demonstration_laps=setup.demonstration_laps,
        teleop=procedure or hand,
        takes=setup.takes,
        explore=setup.explore,
        evaluate_every=setup.evaluate_every,
    )
    if procedure is not None:
        procedure.when_finished = made.conclude
    return made


def calibration_driver(session: Session, board: Board) -> CalibrationDriver:
    """The manoeuvre of the session's calibration procedure."""
    from calibration.manoeuvre import Manoeuvre
    from launch.calibrate.driver import CalibrationDriver
    from launch.calibrate.procedures import named
    from robot.event_log import EventLog

    events = EventLog(board.pilot_events)
    legs = named(session.manifest.setup.procedure).legs(session.spec)
    return CalibrationDriver(
        Manoeuvre(session.spec, legs),
        board.state,
        lambda time_ns, leg: events.put(time_ns, "leg", text=leg),
    )


def make_player(session: Session, board: Board, clock: Clock) -> Player:
    """What stands in the pilot's place where a recording is driven once more."""
    from robot.player import Player, load_tape

    return Player(session.spec, load_tape(session.tape), board, clock)


def wired_estops(session: Session) -> tuple[EstopSource, ...]:
    """The robot's emergency stops that a feeder has to read."""
    return tuple(s for s in session.spec.estop.sources if s.kind != "network")


def stop_receivers(
    session: Session, board: Board, clock: Clock, tell: Callable[[str, float, str], None]
) -> list[StopReceiver]:
    """Where ``sandlot stop`` is listened for. Raises SandlotError if keys are missing or a port is taken."""
    from launch.keys import stop_keys
    from robot.estop.stop_receiver import StopReceiver
    from robot.transport import LearnerLink, endpoints

    setup, made = session.manifest.setup, list[StopReceiver]()
    for source in session.spec.estop.sources:
        if source.kind == "network":
            keys = stop_keys(Path(setup.keys), setup.key or None, source.port)
            link = LearnerLink(*endpoints(source.port), keys)
            mailbox = board.estops[source.name]
            made.append(StopReceiver(link, mailbox, board.state, session.manifest.session, clock, tell))
    return made


def server_config(setup: Setup) -> ServerConfig:
    """How the learner serves. An update ratio of 0 stops learning once it has seen the demonstrations."""
    from learners.server import ServerConfig

    return ServerConfig(
        publish_s=GATED_PUBLISH_S if setup.smoke_gate else ServerConfig().publish_s,
        learn=setup.update_ratio != 0,
        initial=setup.initial,
    )
