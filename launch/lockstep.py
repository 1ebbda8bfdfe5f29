"""A whole session in one thread on simulated time: no sleeping, as fast as the learner allows, and the same
seed gives the same log.

The classes are those of the real processes. Serial ports become in-memory ones to the same emulated devices,
sockets become in-memory links; the bytes on both are the same.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from launch.clearance import told
from launch.manifest import ALONE
from launch.manifest import FILE as MANIFEST
from launch.operator import Operator, SimulatedOperator, StartLine
from launch.parts import make_guardian, make_pilot, make_player, make_policies, server_config
from launch.replay.placing import PlacingOperator
from launch.session import Session, take_over_learner
from launch.smoke_gate import SmokeProcess
from launch.snapshot import Reader, Snapshot
from launch.status_log import EVERY_S as STATUS_S
from launch.status_log import FILE as STATUS
from launch.status_log import StatusLog
from robot.clock import SimulatedClock
from robot.courier import Courier
from robot.direct_link import direct_link_pair
from robot.errors import SandlotError
from robot.frame_file import DiskFullError
from robot.interface import make_driver
from robot.messages import Event, PilotPhase, SafetyState
from robot.teleop.hand import HandFeeder
from sim.drawn_cars import DrawnCars, cars
from sim.emulators.rig import Rig
from sim.plant import Twin
from sim.surrogate import make_twin
from sim.world import World, load_world

if TYPE_CHECKING:
    from learners.server import LearnerServer
    from robot.direct_link import DirectLearnerLink
    from robot.pilot import Pilot
    from robot.player import Player

START_NS = 1_000_000_000
"""Simulated time at the start: not 0, which records use for "never"."""
OPERATOR_HZ = 20
LINK_HZ = 5
"""How often the courier and the learner get their turn; the robot drives on meanwhile, as in real time."""
PROGRESS_S = 0.5
"""Wall time between two calls of the progress function."""

Progress = Callable[["Lockstep", Snapshot], None]


class Lockstep:
    """Every part of a session on one simulated clock. ``run`` drives it; ``close`` ends it robot first, data
    second, whatever happened."""

    def __init__(self, session: Session, truth: dict[str, float] | None = None) -> None:
        """``truth``: where the twin's hidden parameters differ from the calibration, by name, besides what
        the session's surrogate says."""
        self.session = session
        spec, contract, manifest = session.spec, session.contract, session.manifest
        self.clock = SimulatedClock(START_NS)
        self.board = session.board(create=True)
        surrogate, world = manifest.surrogate, load_world(session.world)
        self.twin = self._car(world, truth)
        rig = Rig(surrogate.own(spec), self.twin, session.generator("emulators"), delays=surrogate.delays)
        ports = rig.ports(self.clock)
        drivers = [make_driver(spec, device, ports[device.name]) for device in spec.devices]
        self.guardian = make_guardian(session, drivers, self.board, self.clock)
        self.policies = make_policies(session, self.board, self.clock, background=False)
        replays = manifest.role == "replay"
        self.pilot: Pilot | Player
        if replays:
            self.pilot = make_player(session, self.board, self.clock)
        else:
            self.pilot = make_pilot(session, self.policies, self.board, self.clock)
        self._ticks_per_step = 1 if replays else spec.ticks_per_step
        self.operator: Operator = SimulatedOperator(self.board.operator, self.twin.place)
        if replays:
            start = StartLine(self.board.pose, session.start, partial(self.twin.place, session.start))
            self.operator = PlacingOperator(self.operator, start)
        robot_end, learner_end = direct_link_pair()
        learns = manifest.role not in ALONE
        self.courier = Courier(
            spec,
            contract,
            self.board,
            session.directory,
            robot_end if learns else None,
            self.clock,
            session.key(),
            manifest.session,
            manifest.calibration_hash,
            about={"manifest": (session.directory / MANIFEST).read_text()},
            sync_s=None,
        )
        for kind, value, text in told(session):
            self.courier.recorder.event("courier", Event(self.clock.now_ns(), kind, value, text))
        self._hand = self._feeder() if manifest.setup.teleop else None
        self._gate: SmokeProcess | None = None
        self.server = self._learner(learner_end) if learns else None
        self._reader = Reader(self.board, spec)
        self._status = StatusLog(session.directory / STATUS)
        self.practised_s = 0.0
        """Time since the robot was first free to move [s]."""

    def _car(self, world: World, truth: dict[str, float] | None) -> Twin:
        session = self.session
        spec, manifest, hand = session.spec, session.manifest, session.generator("plant")
        make = partial(make_twin, spec, world, hand, manifest.surrogate)
        redraw_s = manifest.setup.redraw_s
        return DrawnCars(make, cars(spec, manifest.seed), redraw_s) if redraw_s else make(truth)

    def _learner(self, link: DirectLearnerLink) -> LearnerServer:
        """Needs torch, which a session in which nobody learns does without."""
        from learners.journal import Journal
        from learners.learner import Learner
        from learners.publisher import Trial
        from learners.server import LearnerServer

        session, manifest = self.session, self.session.manifest
        take_over_learner(session)
        config = session.learner_config()
        learner = Learner(session.contract, config, manifest.seed, manifest.calibration_hash)
        journal = Journal(session.learner / "journal" / "rows.journal", session.contract.step_dtype())
        served = msgspec.structs.replace(server_config(manifest.setup), sync_s=None)
        if manifest.setup.smoke_gate:
            self._gate = SmokeProcess(session.directory, partial(print, file=sys.stderr), patience_s=None)
        return LearnerServer(
            link,
            learner,
            journal,
            session.learner,
            self.clock,
            session.key(),
            served,
            trial=None if self._gate is None else Trial(self._gate, served.publish_s),
        )

    def _feeder(self) -> HandFeeder:
        """A written script's hand, or a simulated person's: no other has a place in simulated time."""
        from launch.teleop import open_device

        if self.session.manifest.setup.teleop.partition(":")[0] not in ("script", "rescuer"):
            raise SandlotError("simulated time has no person in it: a script can drive, no other device")
        device, board = open_device(self.session), self.board
        return HandFeeder(self.session.spec, device, board.hand, self.clock, lambda time_ns, text: None)

    def run(self, minutes: float, progress: Progress | None = None) -> None:
        """Practise for so long, counted from the first moment the robot was free to move [min], or until the
        pilot has finished."""
        spec = self.session.spec
        period_ns = round(1e9 / spec.rates.guardian_hz)
        per_operator = max(1, round(spec.rates.guardian_hz / OPERATOR_HZ))
        per_link = max(1, round(spec.rates.guardian_hz / LINK_HZ))
        per_status = round(spec.rates.guardian_hz * STATUS_S)
        per_step = self._ticks_per_step
        self.guardian.start()
        due_ns, first_ns, tick, shown = self.clock.now_ns(), None, 0, 0.0
        while self.practised_s < minutes * 60:
            tick += 1
            due_ns += period_ns
            self.clock.sleep_until(due_ns)
            self.guardian.tick(due_ns)
            if self._hand is not None:
                self._hand.step()
            if tick % per_step == 0:
                self.pilot.step(due_ns)
            if tick % per_operator == 0:
                state, pilot = self.board.state.read(), self.board.pilot.read()
                self.operator.step(due_ns, state, pilot)
                if pilot is not None and int(pilot["phase"][0]) == PilotPhase.FINISHED:
                    return
                if first_ns is None and state is not None:
                    moves = int(state["safety_state"][0]) in (SafetyState.ACTIVE, SafetyState.REDUCED)
                    first_ns = due_ns if moves else None
                self.practised_s = 0.0 if first_ns is None else (due_ns - first_ns) / 1e9
            if tick % per_link == 0:
                self._exchange()
                if progress is not None and time.monotonic() - shown > PROGRESS_S:
                    shown = time.monotonic()
                    progress(self, self._reader.read(due_ns))
            if tick % per_status == 0:
                self._note()

    def _note(self, last: bool = False) -> None:
        """Write down how the session stands; a disk that is full has been reported by then."""
        with contextlib.suppress(OSError):
            self._status.write(self.practised_s, self._reader.read(self.clock.now_ns()), last)

    def _exchange(self) -> None:
        """Rows up, learning, policies down."""
        self.courier.pump()
        if self.server is not None:
            self.server.pump()
            self.courier.pump()
        if self.courier.disk_full:
            raise DiskFullError("the disk is full: the robot was stopped; make room and start again")

    def close(self) -> None:
        """Stop the robot as the guardian does it, then drain and close the data. Every part of it happens,
        whatever the one before raised."""
        with contextlib.ExitStack() as then:  # from the last line to the first
            then.callback(self.session.remove_board)
            then.callback(self.policies.close)
            then.callback(self._note, last=True)
            then.callback(self.courier.close)
            if self._gate is not None:
                then.callback(self._gate.close)
            if self.server is not None:
                then.callback(self.server.close)
            then.callback(self._drain)
            then.callback(self.guardian.close)
            self._halt()

    def _halt(self) -> None:
        """Bring the robot to rest, within the guardian's own deadlines."""
        if self._hand is not None:
            self._hand.close()
        self.pilot.finish()
        self.guardian.request_stop()
        period_ns, stop = round(1e9 / self.session.spec.rates.guardian_hz), self.session.spec.stop
        for _ in range(round((stop.hold_s + stop.deadline_s + 1.0) * 1e9 / period_ns)):
            if self.guardian.at_rest:
                break
            due_ns = self.clock.now_ns() + period_ns
            self.clock.sleep_until(due_ns)
            self.guardian.tick(due_ns)

    def _drain(self) -> None:
        with contextlib.suppress(DiskFullError):
            self._exchange()


def practise_lockstep(session: Session, progress: Progress | None = None) -> None:
    """Run a session from its manifest, start to end."""
    try:
        lockstep = Lockstep(session)
    except BaseException:
        session.remove_board()
        raise
    try:
        lockstep.run(session.manifest.minutes, progress)
    finally:
        lockstep.close()
