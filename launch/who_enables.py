"""Who enables motion in a session: who sits at this terminal, or on the twin somebody who is simulated."""

from __future__ import annotations

import contextlib
import os
import sys
from functools import partial

from launch.attendance import AttendingOperator, Warn
from launch.operator import AbsentOperator, HeldKeyOperator, Operator, SimulatedOperator, StartLine
from launch.replay.placing import PlacingOperator
from launch.session import Session
from robot.board import Board
from robot.errors import SandlotError
from robot.teleop.note_line import Notes
from robot.teleop.terminal import Terminal


def operator_of(session: Session, board: Board, warn: Warn, notes: Notes) -> Operator:
    """Of a session that is conducted here. ``warn(time_ns, text)`` tells the person, ``notes`` keeps what
    they type. Raises SandlotError if they cannot do what the session asks of them."""
    device = session.manifest.setup.teleop
    if not device:
        return _without_hand(session, board, warn)
    from launch.teleop import with_hand

    start = StartLine(board.pose, session.start, partial(place, session, session.start))
    return with_hand(session, board, warn, start, notes, partial(_without_hand, session, board, warn))


def _without_hand(session: Session, board: Board, warn: Warn) -> Operator:
    source = session.spec.enable.source
    if source == "simulated_operator":
        attentive = SimulatedOperator(board.operator, partial(place, session))
        if session.manifest.role != "replay":
            return attentive
        where = partial(place, session, session.start)
        return PlacingOperator(attentive, StartLine(board.pose, session.start, where))
    if not os.isatty(sys.stdin.fileno()):
        print("no keyboard here; somebody has to enable motion from a terminal: sandlot operator")
        return AbsentOperator(board.operator)
    return person_at_terminal(session, board, warn)


def place(session: Session, pose: tuple[float, float, float] | None = None) -> None:
    """Put the twin down, at ``pose`` or where it is on the course. On hardware hands do that."""
    if session.manifest.twin:
        from sim.emulators.control import Place, ask

        # The emulator may itself just be starting again; whoever asks will ask once more.
        with contextlib.suppress(SandlotError):
            ask(session.ports, Place(pose))


def person_at_terminal(session: Session, board: Board, warn: Warn) -> Operator:
    """The person at this terminal, with what they do to enable motion."""
    enable, where = session.spec.enable, session.start
    start = StartLine(board.pose, where, partial(place, session, where))
    if enable.source == "held_key":
        return HeldKeyOperator(board.operator, start=start)

    def ring(now_ns: int, text: str) -> None:
        print("\a", end="", file=sys.stderr, flush=True)
        warn(now_ns, text)

    lease_s = enable.lease_s if enable.source == "attendance" else None
    return AttendingOperator(board.operator, Terminal(), lease_s, ring, start)
