"""Which commands of the pilot may be actuated: of this arming epoch, newer than the last, young, and
finite."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from robot.messages import Cause
from robot.safety.state_machine import Request

Verdict = Literal["accepted", "repeated", "replayed", "epoch", "stale", "future", "not_finite"]

NOT_FINITE_LIMIT = 3
"""So many commands in a row that are not finite mean a broken pilot, not a glitch."""


class CommandGate:
    """Takes what lies in the command mailbox and keeps the newest command that may be actuated."""

    def __init__(self, actuators: int, timeout_s: float, epoch: int = 0, sequence: int = 0) -> None:
        self.timeout_ns = round(timeout_s * 1e9)
        self.setpoint: NDArray[np.float64] = np.full(actuators, np.nan)
        """The accepted command [actuator units], shape (n_actuators,); NaN before the first of an epoch."""
        self.valid = False
        self.actor = 0
        self.policy_version = 0
        self.rejected: dict[str, int] = {}
        """How many commands were turned away, by reason."""
        self._epoch = epoch
        self._sequence = sequence
        self._time_ns = 0
        self._not_finite = 0
        self._why = Cause.COMMAND_STALE

    def begin(self, now_ns: int, epoch: int) -> None:
        """A new arming epoch: nothing said before it counts, and the pilot has one timeout to speak up."""
        self._epoch = epoch
        self._time_ns = now_ns
        self._not_finite = 0
        self._why = Cause.COMMAND_STALE
        self.valid = False
        self.actor = self.policy_version = 0
        self.setpoint.fill(np.nan)

    def grace(self, now_ns: int) -> None:
        """The robot has just become active: a pilot that has not spoken yet has one timeout from here."""
        if not self.valid:
            self._time_ns = now_ns

    def offer(
        self,
        now_ns: int,
        sequence: int,
        time_ns: int,
        epoch: int,
        setpoint: NDArray[np.float64],
        actor: int = 0,
        policy_version: int = 0,
    ) -> Verdict:
        """Judge one record; only an accepted one changes what is actuated."""
        if sequence == self._sequence:
            return "repeated"
        if sequence < self._sequence:
            return self._reject("replayed", Cause.COMMAND_REPLAYED)
        self._sequence = sequence
        if epoch != self._epoch:
            return self._reject("epoch", Cause.COMMAND_REPLAYED)
        if time_ns > now_ns:  # a time in the future would outlive its timeout
            return self._reject("future", Cause.COMMAND_STALE)
        if now_ns - time_ns > self.timeout_ns or (self.valid and time_ns < self._time_ns):
            return self._reject("stale", Cause.COMMAND_STALE)
        if not all(map(math.isfinite, setpoint.tolist())):
            self._not_finite += 1
            return self._reject("not_finite", Cause.COMMAND_NOT_FINITE)
        np.copyto(self.setpoint, setpoint)
        self.valid = True
        self.actor = actor
        self.policy_version = policy_version
        self._time_ns = time_ns
        self._not_finite = 0
        self._why = Cause.COMMAND_STALE
        return "accepted"

    def request(self, now_ns: int, timed: bool) -> tuple[Request, Cause]:
        """What the gate asks of the state machine. ``timed``: a silent pilot matters in this state."""
        if self._not_finite >= NOT_FINITE_LIMIT:
            return Request.CATEGORY1, Cause.COMMAND_NOT_FINITE
        if timed and now_ns - self._time_ns > self.timeout_ns:
            return Request.CATEGORY2, self._why
        return Request.NONE, Cause.NONE

    def _reject(self, verdict: Verdict, why: Cause) -> Verdict:
        self._why = why
        self.rejected[verdict] = self.rejected.get(verdict, 0) + 1
        return verdict
