"""Step rows from the spool to the learner, exactly once, over a link that may lose anything.

Greet, learn where the learner stands, then send within a window and go back to the greeting whenever
acknowledgements stop: go-back-N, with the learner dropping what it has already.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any, Final

from robot.contract import TaskContract
from robot.errors import WireError
from robot.messages import SCHEMA_VERSION, Acknowledgement, Hello, Refusal, Welcome
from robot.spool import Spool
from robot.transport import RobotEnd
from robot.wire import decode_from_learner, encode, encode_steps

BATCH_BYTES: Final = 256 << 10
"""Rows of one message [bytes]."""
WINDOW_BYTES: Final = 8 << 20
"""Rows sent and not yet acknowledged [bytes]: a second of full-rate 128 x 128 images on a 64 Mbit/s link."""
GREET_NS: Final = 1_000_000_000
"""Time between greetings that nobody answers."""
REFUSED_NS: Final = 5_000_000_000
"""Time between greetings after a refusal: a person has to mend something."""
PATIENCE_NS: Final = 2_000_000_000
"""Without progress for so long, ask the learner where it stands."""
SILENCE_NS: Final = 4_000_000_000
"""Without any word for so long, the learner counts as gone."""

Tell = Callable[[str, float, str], None]


class State(enum.Enum):
    GREETING = "greeting"
    STREAMING = "streaming"
    REFUSED = "refused"


class Uplink:
    """One session's stream. ``tell(kind, value, text)`` takes events for the log."""

    def __init__(
        self,
        link: RobotEnd,
        spool: Spool,
        contract: TaskContract,
        session: str,
        calibration_hash: str,
        tell: Tell,
    ) -> None:
        self._link, self._spool, self._tell = link, spool, tell
        self._robot = str(contract.robot.get("robot", ""))
        self._contract: dict[str, Any] = contract.plain()
        self._session, self._calibration_hash = session, calibration_hash
        row_bytes = spool.dtype.itemsize
        self._batch = max(1, BATCH_BYTES // row_bytes)
        self._window = max(2 * self._batch, WINDOW_BYTES // row_bytes)
        self.state = State.GREETING
        self.sent = 0
        """The next sequence to send."""
        self.received = 0
        """All rows below have arrived at the learner."""
        self.durable = 0
        """All rows below are durable there, and may be trimmed here."""
        self.acknowledgement: Acknowledgement | None = None
        """What the learner last said of itself."""
        self.bad_messages = 0
        self._greeted_ns: int | None = None
        self._heard_ns: int | None = None
        self._progress_ns = 0
        self._nudged_ns = 0
        self._refusal = ""

    def connected(self, now_ns: int) -> bool:
        """Whether the learner took the session and has been heard of lately."""
        streaming = self.state is State.STREAMING and self._heard_ns is not None
        return streaming and now_ns - (self._heard_ns or 0) < SILENCE_NS

    def pump(self, now_ns: int) -> None:
        """Take what has arrived, send what the window allows."""
        for frames in self._link.receive():
            self._take(frames, now_ns)
        if self.state is State.STREAMING:
            self._stream(now_ns)
        else:
            wait_ns = GREET_NS if self.state is State.GREETING else REFUSED_NS
            if self._greeted_ns is None or now_ns - self._greeted_ns >= wait_ns:
                self._greet(now_ns, self._spool.first_sequence)

    def nudge(self, now_ns: int) -> None:
        """Greet without losing the stream: the learner answers with its newest policy once more."""
        if self.state is State.STREAMING and now_ns - self._nudged_ns >= PATIENCE_NS:
            self._nudged_ns = now_ns
            self._link.send(self._hello(self._spool.first_sequence))

    def _hello(self, first_sequence: int) -> list[bytes]:
        return encode(
            Hello(
                schema=SCHEMA_VERSION,
                robot=self._robot,
                session=self._session,
                contract=self._contract,
                calibration_hash=self._calibration_hash,
                first_sequence=first_sequence,
            )
        )

    def _greet(self, now_ns: int, first_sequence: int) -> None:
        if self.state is not State.REFUSED:
            self.state = State.GREETING
        if self._link.send(self._hello(first_sequence)):
            self._greeted_ns = now_ns

    def _take(self, frames: list[bytes], now_ns: int) -> None:
        try:
            message = decode_from_learner(frames)
        except WireError as error:
            self.bad_messages += 1
            self._tell("bad_message", self.bad_messages, str(error))
            return
        self._heard_ns = now_ns
        if isinstance(message, Acknowledgement):
            self._acknowledged(message, now_ns)
        elif isinstance(message, Welcome):
            self._welcomed(message, now_ns)
        elif isinstance(message, Refusal):
            if message.reason != self._refusal:
                self._refusal = message.reason
                self._tell("learner_refused", 0.0, message.reason)
            self.state = State.REFUSED

    def _welcomed(self, welcome: Welcome, now_ns: int) -> None:
        if self.state is State.STREAMING:  # an answer to a repeated greeting
            return
        self.state, self._refusal = State.STREAMING, ""
        self.sent = self.received = welcome.next_sequence
        self.durable = min(self.durable, welcome.next_sequence)  # another learner, that does not have it
        self._progress_ns = self._nudged_ns = now_ns
        self._tell("learner_connected", welcome.next_sequence, "the learner takes rows from here on")

    def _acknowledged(self, ack: Acknowledgement, now_ns: int) -> None:
        if ack.session != self._session:
            return
        self.acknowledgement = ack
        if self.state is not State.STREAMING or ack.received > self.sent:
            return
        if ack.received > self.received:
            self.received = ack.received
            self._progress_ns = now_ns
        if ack.durable > self.durable:
            self.durable = ack.durable
            self._spool.trim(min(ack.durable, self.received))

    def _stream(self, now_ns: int) -> None:
        if self.sent == self.received:
            self._progress_ns = now_ns
        silent = now_ns - (self._heard_ns or now_ns) >= SILENCE_NS
        if silent or now_ns - self._progress_ns >= PATIENCE_NS:
            self.state = State.GREETING
            self._tell("learner_silent", self.received, "no acknowledgement; asking again where it stands")
            self._greet(now_ns, self._spool.first_sequence)
            return
        while (room := self._window - (self.sent - self.received)) > 0:
            first, rows = self._spool.read(self.sent, min(room, self._batch))
            if not len(rows):
                return
            if first > self.sent:
                # Rows in between were lost before they reached the spool; say so once the rest has arrived.
                if self.sent == self.received:
                    self.state = State.GREETING
                    self._greet(now_ns, first)
                return
            if not self._link.send(encode_steps(self._session, first, rows)):
                return
            self.sent += len(rows)
