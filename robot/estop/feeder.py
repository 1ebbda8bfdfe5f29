"""Reads the emergency stops on wires and tells the guardian, from a process of its own.

It can only stop the robot: what it writes enables nothing, and its silence stops the robot too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np

from robot.clock import Clock
from robot.messages import ESTOP_DTYPE, EstopState
from robot.shared_memory import Mailbox


class EstopInput(Protocol):
    """One emergency stop. ``reason``: why its state is not known, for a person."""

    reason: str

    def read(self, now_ns: int) -> EstopState:
        """How it is now; UNKNOWN when that cannot be told. May wait for milliseconds, never for longer."""

    def close(self) -> None: ...


Tell = Callable[[int, str, str], None]


class EstopWriter:
    """A source's mailbox. Presses are counted on from where an earlier writer stopped. Raises
    ClaimedError if somebody else writes it."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._claim = mailbox.claim()
        self._mailbox = mailbox
        last = mailbox.read()
        self._record = np.zeros(1, ESTOP_DTYPE) if last is None else last.copy()
        self.state = EstopState.UNKNOWN

    def write(self, now_ns: int, state: EstopState) -> bool:
        """Say how it is; True if that is news."""
        news = state != self.state
        if news and state == EstopState.OPEN:
            self._record["presses"] += 1
        self.state = state
        self._record["time_ns"], self._record["state"] = now_ns, state
        self._mailbox.write(self._record)
        return news

    def close(self, now_ns: int) -> None:
        """The last word: from now on nothing is known."""
        self.write(now_ns, EstopState.UNKNOWN)
        self._claim.close()


class EstopFeeder:
    """``step`` it several times within the shortest timeout of its sources; ``close`` at the end.
    ``tell(time_ns, name, text)`` takes what changed."""

    def __init__(
        self, inputs: Mapping[str, EstopInput], mailboxes: Mapping[str, Mailbox], clock: Clock, tell: Tell
    ) -> None:
        self._inputs = dict(inputs)
        self._writers = {name: EstopWriter(mailboxes[name]) for name in inputs}
        self._clock = clock
        self._tell = tell

    def step(self) -> None:
        """Read every input once, and say how it is. One that cannot be read is one that is not known."""
        for name, source in self._inputs.items():
            try:
                state, why = source.read(self._clock.now_ns()), source.reason
            except OSError as error:
                state, why = EstopState.UNKNOWN, str(error)
            now_ns = self._clock.now_ns()
            if self._writers[name].write(now_ns, state):
                text = state.name.lower()
                self._tell(now_ns, name, f"{text}: {why}" if why and state == EstopState.UNKNOWN else text)

    def close(self) -> None:
        """Say that nothing is known any more, which stops the robot if it still moves. Never raises."""
        for name, source in self._inputs.items():
            self._writers[name].close(self._clock.now_ns())
            try:
                source.close()
            except OSError as error:
                self._tell(self._clock.now_ns(), name, f"closing: {error}")
