"""What counts as trouble while practising: crash, flip and stuck, in g, tilt, metres and seconds.

Pure and clock-fed: it sees state vectors and their times, nothing else.
"""

from __future__ import annotations

import enum

from robot.gravity import STANDARD_GRAVITY
from robot.layout import Layout
from robot.spec import RobotSpec
from robot.task import Array


class Failure(enum.Enum):
    """Why an episode was terminated."""

    CRASH = "crash"
    FLIP = "flip"
    STUCK = "stuck"
    TASK = "task"  # the task's own trouble, such as the wrong way or a missed gate


def element(layout: Layout, name: str) -> int | None:
    """Where an element lies in the state, or None if this robot does not have it."""
    return layout.index(name) if name in layout.names else None


class FailureDetector:
    """One failure each: after a report it stays silent until ``reset``.

    A crash is an impact that *begins* during the episode: one still ringing when the episode starts is not.
    A robot whose state lacks ``position_world``, ``impact`` or ``upright`` cannot get stuck, crash or flip.
    """

    def __init__(self, spec: RobotSpec) -> None:
        layout = spec.state_layout
        self._position = layout["position_world"].start if "position_world" in layout else None
        self._impact, self._upright = element(layout, "impact"), element(layout, "upright")
        self._crash = spec.practice.crash_g * STANDARD_GRAVITY
        self._flip_cosine = spec.practice.flip_cosine
        self._seconds_ns = round(spec.practice.stuck_seconds * 1e9)
        self._metres_squared = spec.practice.stuck_metres**2
        self._anchor = (0.0, 0.0)
        self._since_ns = 0
        self._quiet = False
        self._done = True

    def reset(self, time_ns: int, state: Array) -> None:
        """Begin watching an episode that starts from ``state`` at ``time_ns``."""
        self._anchor = self._where(state)
        self._since_ns = time_ns
        self._quiet = self._impact is None or float(state[self._impact]) < self._crash
        self._done = False

    def update(self, time_ns: int, state: Array, may_stand: bool = False) -> Failure | None:
        """The failure that ``state`` at ``time_ns`` shows, if any. ``may_stand``: standing still is no
        failure (a person may pause)."""
        if self._done:
            return None
        failure = self._judge(time_ns, state, may_stand)
        self._done = failure is not None
        return failure

    def _judge(self, time_ns: int, state: Array, may_stand: bool) -> Failure | None:
        if self.flipped(state):
            return Failure.FLIP
        impact = 0.0 if self._impact is None else float(state[self._impact])
        if impact < self._crash:
            self._quiet = True
        elif self._quiet:
            return Failure.CRASH
        x, y = self._where(state)
        moved = (x - self._anchor[0]) ** 2 + (y - self._anchor[1]) ** 2
        if may_stand or self._position is None or moved >= self._metres_squared:
            self._anchor, self._since_ns = (x, y), time_ns
        elif time_ns - self._since_ns >= self._seconds_ns:
            return Failure.STUCK
        return None

    def _where(self, state: Array) -> tuple[float, float]:
        at = self._position
        return (0.0, 0.0) if at is None else (float(state[at]), float(state[at + 1]))

    def flipped(self, state: Array) -> bool:
        """Whether the robot lies on its side or roof."""
        return self._upright is not None and float(state[self._upright]) < self._flip_cosine
