"""A session from start to end: its processes in real time, or all of it in this thread."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from launch.beside import Beside
from launch.conductor import Conductor, Ending, EventLog
from launch.notes import SessionNotes
from launch.parts import wired_estops
from launch.session import Session
from launch.session_view import session_view
from launch.snapshot import Reader, Snapshot
from launch.status_log import FILE as STATUS
from launch.status_log import StatusLog
from launch.supervisor import Plan, Supervisor, always, python_command
from launch.who_enables import operator_of
from robot.board import Board
from robot.clock import MonotonicClock
from robot.errors import SandlotError

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
    """How long a guardian may take to bring its robot to rest [s]."""
    return session.spec.stop.hold_s + session.spec.stop.deadline_s + 1.0


def conduct(session: Session, view_kind: str, with_learner: bool, beside: Sequence[str] = ()) -> Ending:
    """Run a session's processes in real time, from start to end. ``beside``: a command that tells line by
    line what the view shows as found so far."""
    session.key()  # made or missed here, not by two processes at once
    clock = MonotonicClock()
    with _board(session) as board, _attentive():
        reader = Reader(board, session.spec)
        events = EventLog(session.directory / "processes.jsonl")
        supervisor = Supervisor(plans(session, board, with_learner), session.output, clock, events.note)
        say = partial(_say, events)
        notes = SessionNotes(board, say)
        operator = operator_of(session, board, say, notes)
        view = session_view(session, view_kind)
        notes.show = view.draft
        limit, status = session.manifest.minutes, StatusLog(session.directory / STATUS)
        conductor = Conductor(supervisor, operator, reader, view, clock, session.spec, limit, status)
        events.listeners.append(conductor.say)
        with Beside(beside, view.found, SINGLE_THREADED) if beside else contextlib.nullcontext():
            return conductor.run()


def _say(events: EventLog, now_ns: int, text: str) -> None:
    events.note(now_ns, "operator", text)


def run_fast(session: Session, view_kind: str) -> Ending:
    """The whole session in this thread. Ctrl-C and SIGTERM end it as they end any other."""
    from launch.lockstep import Lockstep, practise_lockstep

    view = session_view(session, view_kind)
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
