"""What the guardian reads: mailboxes anybody may have written anything into, taken at their word only where
that is safe."""

from __future__ import annotations

import numpy as np

from robot.clock import Clock
from robot.shared_memory import Mailbox, Record

POSE_AGE_NS = 1_000_000_000
"""An external pose older than this says nothing about now [ns]."""


class Inbox:
    """One mailbox, read only when something new is in it."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox
        self._seen = 0
        self.newest: Record | None = None
        """The record taken last, shape (1,); None before the first."""

    def take(self) -> Record | None:
        """The newest record if it has not been taken yet, shape (1,). A torn one is tried again next time."""
        if self._mailbox.sequence == self._seen:
            return None
        record = self._mailbox.read()
        if record is not None:
            # Its own number: a newer one may have come between the two looks, and must not be taken twice.
            self._seen = int(record["sequence"][0])
            self.newest = record
        return record


class OperatorInbox:
    """The operator's levels and press counters. ``enable`` lapses ``timeout_s`` after it was last renewed;
    buttons count only from a record that young; ``estop`` and ``stop`` count at any age. ``lease_s``: with it
    ``enable`` lapses that long after a person's last key press, too, whatever the writer says of it."""

    def __init__(self, mailbox: Mailbox, timeout_s: float, lease_s: float | None = None) -> None:
        self._inbox = Inbox(mailbox)
        self._timeout_ns = round(timeout_s * 1e9)
        self._lease_ns = None if lease_s is None else round(lease_s * 1e9)
        self._pressed_ns = 0
        self._time_ns: int | None = None
        self._enable = False
        self.read_ns = 0
        """When the age of what is there was judged [ns]."""
        self.estop = self.enable = self.fresh = False
        self.arm = self.reset = self.resume = self.stop = 0

    @property
    def newest(self) -> Record | None:
        """The record taken last, shape (1,); None before the first."""
        return self._inbox.newest

    def update(self, clock: Clock) -> None:
        """Take what is new, and judge the age of what is there."""
        record = self._inbox.take()
        # After reading: what was written while we read is not from the future.
        now_ns = self.read_ns = clock.now_ns()
        if record is not None:
            self._time_ns = int(record["time_ns"][0])
            self._enable = int(record["enable"][0]) == 1
            self._pressed_ns = int(record["pressed_ns"][0])
            self.estop = int(record["estop"][0]) != 0
            self.arm = int(record["arm"][0])
            self.reset = int(record["reset"][0])
            self.resume = int(record["resume"][0])
            self.stop = int(record["stop"][0])
        self.fresh = self._time_ns is not None and 0 <= now_ns - self._time_ns <= self._timeout_ns
        leased = self._lease_ns is None or 0 <= now_ns - self._pressed_ns <= self._lease_ns
        self.enable = self.fresh and self._enable and leased


class PoseInbox:
    """An external pose, if it makes sense: finite, with positive variances, from the recent past."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._inbox = Inbox(mailbox)
        self.time_ns = 0
        self.pose = np.zeros(3)
        self.variance = np.ones(3)
        self.rejected = 0

    def update(self, clock: Clock) -> bool:
        """Whether there is a new pose to take from ``time_ns``, ``pose`` and ``variance``."""
        record = self._inbox.take()
        if record is None:
            return False
        now_ns = clock.now_ns()
        self.time_ns = int(record["time_ns"][0])
        self.pose[:] = record["pose"][0]
        self.variance[:] = record["covariance"][0]
        sensible = (
            0 <= now_ns - self.time_ns <= POSE_AGE_NS
            and np.isfinite(self.pose).all()
            and np.isfinite(self.variance).all()
            and (self.variance > 0.0).all()
        )
        self.rejected += not sensible
        return bool(sensible)
