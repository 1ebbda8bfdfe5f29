"""A guardian that takes over from one that died brakes first: the robot may still be rolling.

The drive's own timeout has been braking it since; the new guardian's first "torque off" would end that.
"""

from __future__ import annotations

STILL_NS = 100_000_000
"""A robot stands once it has been seen standing for so long [ns]: an estimator that has just begun may say
so for a tick."""


class RestartBrake:
    """``active`` from the start of a guardian that follows another one (``taking_over``) until the robot has
    been seen to stand, or for ``deadline_s``, after which nothing that brakes can be working."""

    def __init__(self, now_ns: int, deadline_s: float, taking_over: bool) -> None:
        self.active = taking_over
        self._deadline_ns = now_ns + round(deadline_s * 1e9)
        self._still_since_ns: int | None = None

    def update(self, now_ns: int, still: bool) -> bool:
        """Whether to brake in this tick; once False it stays so."""
        if not still:
            self._still_since_ns = None
        elif self._still_since_ns is None:
            self._still_since_ns = now_ns
        stood = self._still_since_ns is not None and now_ns - self._still_since_ns >= STILL_NS
        self.active = self.active and not stood and now_ns < self._deadline_ns
        return self.active
