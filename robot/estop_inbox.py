"""All emergency stop inputs that a robot's file names, taken together: any one of them stops it."""

from __future__ import annotations

from collections.abc import Mapping

from robot.clock import Clock
from robot.inbox import Inbox
from robot.messages import Cause, EstopState
from robot.people_spec import Estop, EstopSource
from robot.safety.monitors import CLEAR, Verdict
from robot.safety.state_machine import Request
from robot.shared_memory import Mailbox

_COUNTER = 1 << 32


class _Source:
    def __init__(self, source: EstopSource, mailbox: Mailbox) -> None:
        self.name = source.name
        self._inbox = Inbox(mailbox)
        self._timeout_ns = round(source.timeout_s * 1e9)
        self._time_ns: int | None = None
        self._state = int(EstopState.UNKNOWN)
        self._presses: int | None = None

    def update(self, clock: Clock) -> EstopState:
        """Open at any age, and for a press that is over already; closed only if it is fresh and says so."""
        record = self._inbox.take()
        now_ns = clock.now_ns()  # after reading, as for every mailbox
        pressed = False
        if record is not None:
            presses = int(record["presses"][0])
            pressed = self._presses is not None and presses != self._presses
            self._presses = presses % _COUNTER
            self._time_ns = int(record["time_ns"][0])
            self._state = int(record["state"][0])
        if pressed or self._state == EstopState.OPEN:
            return EstopState.OPEN
        fresh = self._time_ns is not None and 0 <= now_ns - self._time_ns <= self._timeout_ns
        return EstopState.CLOSED if fresh and self._state == EstopState.CLOSED else EstopState.UNKNOWN


class EstopInbox:
    """Whether anybody presses an emergency stop, and whether all of those that must be there are.

    A source that is open is an emergency stop: no torque, in the same tick. One of which nothing is known (it
    never spoke, has fallen silent, or says that it cannot tell) asks for a category-1 stop: nobody may have
    pressed anything, so the robot is braked rather than let go of, but it may not go on without a stop that
    works. Both latch.
    """

    def __init__(self, estop: Estop, mailboxes: Mapping[str, Mailbox]) -> None:
        self._sources = tuple(_Source(source, mailboxes[source.name]) for source in estop.sources)
        self.pressed = False
        self.summary = 0
        """0: all is well, 1: a source is silent, 2: one is pressed, 3: both."""

    def update(self, clock: Clock) -> Verdict:
        """Take what is new and judge it; ``pressed`` tells the rest."""
        self.pressed, silent = False, ""
        for source in self._sources:
            state = source.update(clock)
            self.pressed |= state == EstopState.OPEN
            silent = silent or (source.name if state == EstopState.UNKNOWN else "")
        self.summary = 2 * self.pressed + bool(silent)
        if silent:
            return Verdict(Request.CATEGORY1, Cause.ESTOP_SILENT, f"emergency stop {silent}")
        return CLEAR
