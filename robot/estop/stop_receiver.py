"""``sandlot stop`` from another machine: a message that can stop the robot and do nothing else."""

from __future__ import annotations

from collections.abc import Callable

from robot.clock import Clock
from robot.errors import WireError
from robot.estop.feeder import EstopWriter
from robot.messages import SCHEMA_VERSION, EstopState, Stopped
from robot.shared_memory import Mailbox
from robot.transport import LearnerEnd
from robot.wire import decode_stop, encode

HOLD_NS = 1_000_000_000
"""How long a message counts as a pressed button [ns]; the state machine latches what it saw."""

Tell = Callable[[str, float, str], None]


class StopReceiver:
    """Lives in the courier. ``pump`` it as the courier is pumped: that it still does is what the guardian
    watches, not the network, whose loss alone never stops a robot. ``tell(kind, value, text)`` takes events
    for the log."""

    def __init__(
        self, link: LearnerEnd, mailbox: Mailbox, state: Mailbox, session: str, clock: Clock, tell: Tell
    ) -> None:
        self._link, self._state, self._session = link, state, session
        self._writer = EstopWriter(mailbox)
        self._clock, self._tell = clock, tell
        self._until_ns = 0
        self.refused = 0

    def pump(self) -> None:
        """Take what has arrived, press or let go, and answer with how the robot stands."""
        asked: list[bytes] = []
        for identity, frames in self._link.receive():
            try:
                stop = decode_stop(frames)
            except WireError as error:
                self.refused += 1
                self._tell("stop_refused", self.refused, str(error))
                continue
            asked.append(identity)
            self._until_ns = self._clock.now_ns() + HOLD_NS
            self._tell("stop_received", 0.0, stop.reason)
        now_ns = self._clock.now_ns()
        self._writer.write(now_ns, EstopState.OPEN if now_ns < self._until_ns else EstopState.CLOSED)
        for identity in asked:
            state = self._state.read()
            said = Stopped(
                schema=SCHEMA_VERSION,
                session=self._session,
                safety_state=-1 if state is None else int(state["safety_state"][0]),
            )
            self._link.send(identity, encode(said))

    def close(self) -> None:
        self._writer.close(self._clock.now_ns())
        self._link.close()
