"""``sandlot operator``: a person's keys, for a session that runs elsewhere on this machine."""

from __future__ import annotations

import os
import sys

from launch.conductor import PERIOD_NS, VIEW_NS, StopSignals
from launch.options.onboard import OperatorOptions
from launch.running import alive
from launch.session import open_session
from launch.session_view import session_view
from launch.snapshot import Reader
from launch.who_enables import person_at_terminal
from robot.clock import MonotonicClock
from robot.errors import SandlotError


def attend(options: OperatorOptions) -> int:
    """The command: until Ctrl-C, or until the session (a service, say) has ended."""
    session = open_session(options.run)
    if session.spec.enable.source == "simulated_operator":
        raise SandlotError("motion is enabled by a simulated operator in this session, not by a person")
    if not os.isatty(sys.stdin.fileno()):
        raise SandlotError("standard input is not a keyboard; run this in a terminal, or over ssh -t")
    board, clock = session.board(), MonotonicClock()
    reader, view = Reader(board, session.spec), session_view(session, "auto")
    began_ns = clock.now_ns()
    operator = person_at_terminal(
        session, board, lambda now_ns, text: view.say((now_ns - began_ns) / 1e9, text)
    )
    with StopSignals() as stop:
        try:
            while stop.count == 0 and session.board_directory.exists():
                state = reader.state()
                now_ns = clock.now_ns()
                if state is not None and not alive(state, now_ns):
                    view.say((now_ns - began_ns) / 1e9, "the session was killed: its guardian is gone")
                    break
                operator.step(now_ns, state, reader.pilot())
                if now_ns % VIEW_NS < PERIOD_NS:
                    view.show((now_ns - began_ns) / 1e9, reader.read(now_ns), {})
                clock.sleep_until(now_ns + PERIOD_NS)
        finally:
            operator.halt(clock.now_ns())
            operator.close()
            view.close()
    print("released: the robot stops")
    return 0
