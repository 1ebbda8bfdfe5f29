"""A guardian that takes over from one that died brakes first: the robot may still be rolling.

The drive's own timeout has been braking it since; the new guardian's first "torque off" would end that.
"""

from __future__ import annotations


class RestartBrake:
    """``active`` from the start of a guardian that follows another one (``taking_over``) until the robot has
    been seen to stand, or for ``deadline_s``, after which nothing that brakes can be working."""

    def __init__(self, now_ns: int, deadline_s: float, taking_over: bool) -> None:
        self.active = taking_over
        self._deadline_ns = now_ns + round(deadline_s * 1e9)

    def update(self, now_ns: int, still: bool) -> bool:
        """Whether to brake in this tick; once False it stays so."""
        self.active = self.active and not still and now_ns < self._deadline_ns
        return self.active
