"""Standing still: slow for a while, not for a tick."""

from __future__ import annotations

STILL_NS = 100_000_000
"""A robot stands once it has been seen standing for so long [ns]: an estimate passes through zero in an
oscillation, is noise around the threshold, and right after a start may say anything."""


class Standstill:
    """Debounces "slow" towards "still"; a single tick that is not slow starts anew."""

    def __init__(self) -> None:
        self._since_ns: int | None = None

    def update(self, now_ns: int, slow: bool) -> bool:
        """Whether the robot has been slow for ``STILL_NS``. Call once a tick."""
        if not slow:
            self._since_ns = None
        elif self._since_ns is None:
            self._since_ns = now_ns
        return self._since_ns is not None and now_ns - self._since_ns >= STILL_NS
