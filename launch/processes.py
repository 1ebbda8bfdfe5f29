"""The processes of a session: ``python -m launch.processes NAME --session DIR``.

Each builds its part from the session's manifest, runs until SIGTERM, and leaves things closed. A process
whose supervisor dies gets SIGTERM from the kernel, so that no robot drives on without one.
"""

from __future__ import annotations

import contextlib
import ctypes
import ctypes.util
import math
import os
import signal
import sys
import threading
import time
import traceback
import types
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from launch.manifest import ALONE
from launch.manifest import FILE as MANIFEST
from launch.parts import (
    make_guardian,
    make_pilot,
    make_player,
    make_policies,
    server_config,
    stop_receivers,
    wired_estops,
)
from launch.session import Session, open_session, take_over_learner
from launch.supervisor import CONFIGURATION_ERROR, SUPERVISOR
from robot.clock import Clock, MonotonicClock, Ticker
from robot.errors import BundleError, ContractMismatchError, PolicyError, SandlotError, SpecError
from robot.interface import load_class, make_driver
from robot.messages import Event

if TYPE_CHECKING:
    from robot.camera_feeder import CameraFeeder
    from robot.player import Player

GUARDIAN_PRIORITY, ESTOP_PRIORITY, EMULATOR_PRIORITY, HAND_PRIORITY, PILOT_PRIORITY = 80, 70, 60, 50, 40
"""SCHED_FIFO priorities: whoever stops the robot comes first, then the world it stops in, then who drives."""
ESTOP_ROUNDS = 5
"""How often an emergency stop is read within the shortest silence that stops the robot."""
CAMERA_PRIORITY = 10
"""Below everybody who drives, stops or enables; above the rest, since a picture that is late is lost, and a
row or an update is not. What a camera may take is bounded by its rate."""
COURIER_NICE, LEARNER_NICE = 5, 10
CAMERA_CHECK_NS, CAMERA_ENDS_S = 200_000_000, 2.0
"""How often a camera's thread is looked after [ns], and how long it may take over its last picture [s]."""
PUMP_S = 0.02
"""The courier's round, at most [s]."""
DRAIN_S = 20.0
"""How long the courier waits at the end for the learner to have everything [s]; the spool keeps the rest."""
_PR_SET_PDEATHSIG = 1


class Stop:
    """SIGTERM, SIGINT and SIGHUP as a flag, or time that is up: a process ends in its own orderly way."""

    def __init__(self, after_s: float = math.inf) -> None:
        self.asked = False
        self._ends_s = time.monotonic() + after_s
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._take)

    def _take(self, number: int, frame: types.FrameType | None) -> None:
        self.asked = True

    def __call__(self) -> bool:
        return self.asked or time.monotonic() >= self._ends_s


def emulator(session: Session, stop: Stop) -> None:
    """The twin, or its surrogate, behind pseudo-terminals."""
    from sim.emulators.bench import run_bench

    _realtime(EMULATOR_PRIORITY)
    manifest = session.manifest
    run_bench(session.spec, session.world, session.ports, manifest.seed, surrogate=manifest.surrogate)


def guardian(session: Session, stop: Stop) -> None:
    """The safety kernel and the drivers, at the robot's rate."""
    drivers = [make_driver(session.spec, device) for device in session.spec.devices]
    kernel = make_guardian(session, drivers, session.board(), MonotonicClock())
    _realtime(GUARDIAN_PRIORITY)
    kernel.run(stop)


def pilot(session: Session, stop: Stop) -> None:
    """Observation, policy, practice."""
    clock = MonotonicClock()
    board = session.board()
    if session.manifest.role == "replay":
        _play(session, make_player(session, board, clock), clock, stop)
        return
    policies = make_policies(session, board, clock, background=True)
    driver = make_pilot(session, policies, board, clock)
    _realtime(PILOT_PRIORITY)
    ticker = Ticker(clock, session.spec.rates.policy_hz)
    try:
        while not stop():
            ticker.wait()
            driver.step(ticker.due_ns)
            ticker.advance()
        driver.finish()
    finally:
        policies.close()


def _play(session: Session, player: Player, clock: Clock, stop: Stop) -> None:
    """Commands at their recorded times, as finely as the guardian reads them."""
    _realtime(PILOT_PRIORITY)
    ticker = Ticker(clock, session.spec.rates.guardian_hz)
    while not stop():
        ticker.wait()
        player.step(ticker.due_ns)
        ticker.advance()
    player.finish()


def estop(session: Session, stop: Stop) -> None:
    """The emergency stops on wires, told to the guardian. Alone with them, so that nothing delays it."""
    from robot.estop.feeder import EstopFeeder, EstopInput
    from robot.estop.gamepad import GamepadButton
    from robot.estop.modem_line import ModemLine

    clock, board, inputs = MonotonicClock(), session.board(), dict[str, EstopInput]()
    sources = wired_estops(session)
    for source in sources:
        if source.kind == "line":
            inputs[source.name] = ModemLine(source.port, source.signal)
        else:
            inputs[source.name] = GamepadButton(source.port, source.button)
    feeder = EstopFeeder(
        inputs, board.estops, clock, lambda _, name, text: print(f"{name}: {text}", flush=True)
    )
    _realtime(ESTOP_PRIORITY)
    ticker = Ticker(clock, ESTOP_ROUNDS / min(source.timeout_s for source in sources))
    try:
        while not stop():
            ticker.wait()
            feeder.step()
            ticker.advance()
    finally:
        feeder.close()


def camera(session: Session, stop: Stop) -> None:
    """Every camera, a thread each, and what encodes their pictures: behind everything that drives or stops.
    On the twin their emulators; one that has none is not there."""
    from robot.camera_feeder import CameraFeeder
    from robot.drivers.camera import opencv
    from robot.event_log import EventLog

    opencv()
    board, clock, lock = session.board(), MonotonicClock(), threading.Lock()
    events = EventLog(board.camera_events)

    def tell(kind: str, value: float, text: str) -> None:
        with lock:
            events.put(clock.now_ns(), kind, value, text)

    threads = []
    for device in session.spec.cameras:
        registry = device.emulator if session.manifest.twin else device.driver
        if not registry:
            tell("camera_lost", -1.0, f"{device.name}: the twin has no emulator of it")
            continue
        capture = load_class(registry, f"{session.spec.name}: camera {device.name}")(device, clock)
        feeder = CameraFeeder(device, capture, board.frames[device.name], clock, tell)
        threads.append(threading.Thread(target=_see, args=(feeder, stop), name=device.name, daemon=True))
    for thread in threads:
        thread.start()
    while not stop():
        if not all(thread.is_alive() for thread in threads):
            raise SandlotError("a camera's thread has ended; its output says why")
        clock.sleep_until(clock.now_ns() + CAMERA_CHECK_NS)
    for thread in threads:
        thread.join(CAMERA_ENDS_S)


def _see(feeder: CameraFeeder, stop: Stop) -> None:
    """A camera's thread. Without the right to be real-time it is as any other."""
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(CAMERA_PRIORITY))
    feeder.run(stop)


def hand(session: Session, stop: Stop) -> None:
    """A person's input device, where it is not the session's own terminal."""
    from launch.teleop import open_device
    from robot.teleop.hand import HandFeeder

    clock, mailbox = MonotonicClock(), session.board().hand
    device = open_device(session)

    def tell(time_ns: int, text: str) -> None:
        print(text, flush=True)

    feeder = HandFeeder(session.spec, device, mailbox, clock, tell)
    _realtime(HAND_PRIORITY)
    feeder.run(stop)


def courier(session: Session, stop: Stop) -> None:
    """Log, spool and link; no link where nobody learns."""
    from launch.clearance import told
    from launch.keys import robot_keys
    from robot.courier import Courier
    from robot.realtime import stand_back
    from robot.transport import RobotLink, endpoints

    manifest, setup, clock = session.manifest, session.manifest.setup, MonotonicClock()
    stand_back(COURIER_NICE)
    board = session.board()
    link = None
    if manifest.role not in ALONE:
        keys = robot_keys(Path(setup.keys), setup.key or None, setup.learner_key, setup.address)
        link = RobotLink(*endpoints(setup.address), keys)
    carrier = Courier(
        session.spec,
        session.contract,
        board,
        session.directory,
        link,
        clock,
        session.key(),
        manifest.session,
        manifest.calibration_hash,
        about={"manifest": (session.directory / MANIFEST).read_text()},
    )

    def tell(kind: str, value: float, text: str) -> None:
        carrier.recorder.event("courier", Event(clock.now_ns(), kind, value, text))

    for about in told(session):
        tell(*about)
    receivers = stop_receivers(session, board, clock, tell)
    try:
        while not stop():
            carrier.pump()
            for receiver in receivers:
                receiver.pump()
            if link is None:
                clock.sleep_until(clock.now_ns() + round(PUMP_S * 1e9))
            else:
                link.wait(PUMP_S)
    finally:
        for receiver in receivers:
            receiver.close()
        carrier.close(DRAIN_S)


def learner(session: Session, stop: Stop) -> None:
    """Rows in, policies out."""
    from launch.keys import learner_keys
    from launch.smoke_gate import SmokeProcess
    from learners.train import serve
    from robot.realtime import stand_back
    from robot.transport import LearnerLink, endpoints

    manifest, setup = session.manifest, session.manifest.setup
    stand_back(LEARNER_NICE)
    keys = learner_keys(Path(setup.keys), setup.key or None, setup.address)
    link = LearnerLink(*endpoints(setup.address), keys)
    take_over_learner(session)
    with contextlib.ExitStack() as stack:
        gate = None
        if setup.smoke_gate:
            gate = stack.enter_context(SmokeProcess(session.directory, partial(print, file=sys.stderr)))
        serve(
            link,
            session.contract,
            session.learner,
            session.key(),
            config=session.learner_config(),
            server_config=server_config(setup),
            seed=manifest.seed,
            calibration_hash=manifest.calibration_hash,
            gate=gate,
            stop=stop,
        )


PROCESSES: dict[str, Callable[[Session, Stop], None]] = {
    "emulator": emulator,
    "guardian": guardian,
    "estop": estop,
    "hand": hand,
    "camera": camera,
    "pilot": pilot,
    "courier": courier,
    "learner": learner,
}


def _realtime(priority: int) -> None:
    from robot.realtime import enter_realtime

    for line in enter_realtime(priority):
        print(line, file=sys.stderr, flush=True)


def follow_parent() -> None:
    """Ask the kernel for SIGTERM when the parent dies; end at once if it already has, even before this
    process had read its first line."""
    parent = int(os.environ.get(SUPERVISOR, os.getppid()))
    libc = ctypes.CDLL(ctypes.util.find_library("c") or "libc.so.6")
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        raise SystemExit(1)


def main(arguments: list[str]) -> int:
    """Run one process. Returns 0 after SIGTERM, 2 if its configuration is wrong, 1 for any other trouble."""
    usage = f"usage: python -m launch.processes {{{','.join(PROCESSES)}}} --session DIR"
    if len(arguments) != 3 or arguments[1] != "--session" or arguments[0] not in PROCESSES:
        print(usage, file=sys.stderr)
        return CONFIGURATION_ERROR
    follow_parent()
    stop = Stop()
    try:
        PROCESSES[arguments[0]](open_session(Path(arguments[2])), stop)
    except (BundleError, ContractMismatchError, PolicyError, SpecError) as error:
        print(error, file=sys.stderr)
        return CONFIGURATION_ERROR
    except SandlotError as error:
        print(error, file=sys.stderr)
        return 1
    except Exception:  # noqa: BLE001  (the last resort of a process: its output file is all that remains)
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
