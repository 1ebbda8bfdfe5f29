"""What goes on until the robot stands: braking after a restart, silence after an emergency stop."""

from __future__ import annotations


class UntilStill:
    """``active`` from ``begin`` until the robot has been seen to stand, or for ``limit_s``, after which
    nothing that brakes can be working."""

    def __init__(self, limit_s: float) -> None:
        self.active = False
        self._limit_ns = round(limit_s * 1e9)
        self._end_ns = 0

    def begin(self, now_ns: int) -> None:
        """The robot may be rolling from now on."""
        self.active = True
        self._end_ns = now_ns + self._limit_ns

    def update(self, now_ns: int, still: bool) -> bool:
        """Whether it goes on in this tick; once False it stays so until the next ``begin``."""
        self.active = self.active and not still and now_ns < self._end_ns
        return self.active
