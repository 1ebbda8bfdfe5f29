"""What the pilot makes of the guardian's newest state record."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

import numpy as np

from robot.messages import SafetyState, state_dtype
from robot.practice.failures import element
from robot.shared_memory import Record
from robot.spec import RobotSpec
from robot.task import Array

CODES = {"i8": "q", "u8": "Q", "u4": "I", "u1": "B", "b1": "?"}
"""numpy's names for the types of a state record's scalars, and those of ``struct``."""

MAY_MOVE = (SafetyState.ACTIVE, SafetyState.REDUCED)
CARRIED_METRES = 0.5
"""A change of position this much [m] beyond what the speed explains means that somebody carried the robot."""


@dataclass(frozen=True, slots=True)
class Sight:
    """A fresh, finite state. ``free``: the guardian lets the robot move; ``able``: and the estimate has
    converged. ``allowed``: the setpoints in force [actuator units]. ``speed`` [m/s] of the body; ``position``
    x, y [m]."""

    time_ns: int
    state: Array
    position: tuple[float, float]
    speed: float
    converged: bool
    free: bool
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
        self._header = _header(state_dtype(spec))

    def see(self, record: Record | None, now_ns: int) -> Sight | None:
        """A state older than a command may be is no ground for commands."""
        if record is None:
            return None
        time_ns, altered_ticks, epoch, safety_state, converged = self._header.unpack_from(record.tobytes())
        state = record["state"][0]
        values = state.tolist()
        if now_ns - time_ns > self._stale_ns or not math.isfinite(math.fsum(map(abs, values))):
            return None
        at = self._position
        position = (0.0, 0.0) if at is None else (values[at], values[at + 1])
        speed = math.hypot(*values[self._velocity][:2])
        still = self._standstill is None or abs(values[self._standstill]) < self._still_below
        return Sight(
            time_ns=time_ns,
            state=state,
            position=position,
            speed=speed,
            converged=converged,
            free=safety_state in MAY_MOVE,
            able=converged and safety_state in MAY_MOVE,
            calm=still,
            epoch=epoch,
            altered_ticks=altered_ticks,
            allowed=record["allowed"][0],
        )


def _header(dtype: np.dtype[np.void]) -> struct.Struct:
    """Reads the scalars of a state record from its bytes: a tenth of the time that numpy takes for it."""
    form, end = "<", 0
    for name in ("time_ns", "altered_ticks", "epoch", "safety_state", "converged"):
        offset = int(dtype.fields[name][1]) if dtype.fields else 0
        form += f"{offset - end}x{CODES[dtype[name].str[1:]]}"
        end = offset + dtype[name].itemsize
    return struct.Struct(form)


def carried(before: Sight, after: Sight) -> bool:
    """Whether the robot is where it cannot have driven."""
    seconds = (after.time_ns - before.time_ns) / 1e9
    moved = math.hypot(after.position[0] - before.position[0], after.position[1] - before.position[1])
    return moved > CARRIED_METRES + 2.0 * max(before.speed, after.speed) * seconds
