"""What the pilot makes of the guardian's newest state record."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from robot.messages import SafetyState
from robot.practice.failures import element
from robot.shared_memory import Record
from robot.spec import RobotSpec
from robot.task import Array

MAY_MOVE = (SafetyState.ACTIVE, SafetyState.REDUCED)
CARRIED_METRES = 0.5
"""A change of position this much [m] beyond what the speed explains means that somebody carried the robot."""


@dataclass(frozen=True, slots=True)
class Sight:
    """A fresh, finite state. ``able``: converged, and the guardian lets the robot move. ``allowed``: the
    setpoints in force [actuator units]. ``speed`` [m/s] of the body; ``position`` x, y [m]."""

    time_ns: int
    state: Array
    position: tuple[float, float]
    speed: float
    converged: bool
    able: bool
    calm: bool
    epoch: int
    altered_ticks: int
    allowed: Array


class Eyes:
    """Turns state records into sights; None for one that is absent, stale or not finite."""

    def __init__(self, spec: RobotSpec) -> None:
        layout = spec.state_layout
        self._position = layout["position_world"].start if "position_world" in layout else None
        known = "velocity_body" in layout
        self._velocity = layout["velocity_body"] if known else slice(0, 0)
        self._standstill = element(layout, spec.stop.standstill)
        self._still_below = spec.stop.standstill_below
        self._stale_ns = round(spec.safety.command_timeout_s * 1e9)

    def see(self, record: Record | None, now_ns: int) -> Sight | None:
        """A state older than a command may be is no ground for commands."""
        if record is None:
            return None
        row = record[0]
        time_ns, state = int(row["time_ns"]), row["state"]
        if now_ns - time_ns > self._stale_ns or not np.isfinite(state).all():
            return None
        position = (0.0, 0.0)
        if self._position is not None:
            position = (float(state[self._position]), float(state[self._position + 1]))
        speed = math.hypot(*state[self._velocity].tolist()[:2])
        still = self._standstill is None or abs(float(state[self._standstill])) < self._still_below
        converged = bool(row["converged"])
        return Sight(
            time_ns=time_ns,
            state=state,
            position=position,
            speed=speed,
            converged=converged,
            able=converged and int(row["safety_state"]) in MAY_MOVE,
            calm=still,
            epoch=int(row["epoch"]),
            altered_ticks=int(row["altered_ticks"]),
            allowed=row["allowed"],
        )


def carried(before: Sight, after: Sight) -> bool:
    """Whether the robot is where it cannot have driven."""
    seconds = (after.time_ns - before.time_ns) / 1e9
    moved = math.hypot(after.position[0] - before.position[0], after.position[1] - before.position[1])
    return moved > CARRIED_METRES + 2.0 * max(before.speed, after.speed) * seconds
