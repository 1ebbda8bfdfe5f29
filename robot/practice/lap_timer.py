"""When a cycle of the task (a lap) begins and how long it took, to a fraction of a step."""

from __future__ import annotations

import math


class LapTimer:
    """Fed with a task's continuous ``progress`` [cycles]; a cycle lasts from one whole number to the next.

    Only new ground counts: going back over the line and forward again is no lap.
    """

    def __init__(self) -> None:
        self._furthest = self._progress = 0.0
        self._time_ns = 0
        self._began_ns: int | None = None

    def reset(self, time_ns: int, progress: float) -> bool:
        """A run starts. True if a cycle begins at once; else the first begins when progress passes 0."""
        self._furthest = self._progress = progress
        self._time_ns = time_ns
        self._began_ns = time_ns if progress == 0.0 else None
        return self._began_ns is not None

    def update(self, time_ns: int, progress: float) -> tuple[float | None, bool]:
        """The time [s] of the cycle completed by this step, if one was, and whether another began."""
        completed, began = None, False
        boundary = max(0, math.floor(self._furthest) + 1)
        if progress >= boundary:
            # Crossed at constant speed between the last two states.
            share = (boundary - self._progress) / (progress - self._progress)
            crossed_ns = self._time_ns + round(share * (time_ns - self._time_ns))
            if self._began_ns is not None:
                completed = (crossed_ns - self._began_ns) / 1e9
            self._began_ns, began = crossed_ns, True
        self._furthest = max(self._furthest, progress)
        self._progress, self._time_ns = progress, time_ns
        return completed, began
