"""The operator's record, and the edges pressed on it."""

from __future__ import annotations

import numpy as np

from robot.messages import OPERATOR_DTYPE
from robot.shared_memory import Mailbox, Record


class Panel:
    """What an operator writes. Call ``send`` several times within the permission's timeout."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox
        last = mailbox.read()
        # Counters go on from where an earlier writer left them, so that no edge appears out of nothing.
        self.record = np.zeros(1, OPERATOR_DTYPE) if last is None else last.copy()

    def press(self, button: str) -> None:
        self.record[button] += 1

    def send(self, now_ns: int, enable: bool, state: Record | None = None) -> None:
        # A permission is given for the robot as it was last seen: it lapses too when there is nothing new to
        # see, and is never dated later than the guardian's tick that reads it.
        self.record["time_ns"] = now_ns if state is None else min(now_ns, int(state["time_ns"][0]))
        self.record["enable"] = enable
        self._mailbox.write(self.record)
