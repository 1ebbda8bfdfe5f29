"""What of a recorded session can be driven once more: from standing still until the guardian took over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from launch.replay.comparison import runs
from robot.errors import SandlotError
from robot.player import CommandTape
from robot.safety.state_machine import AUTHORITY
from robot.spec import RobotSpec

Rows = NDArray[np.void]
SHORTEST_S = 1.0
"""What lasts less is no drive [s]."""


@dataclass(frozen=True)
class Stretch:
    """Ticks in a row in which the pilot had authority; ``start``: x, y [m], yaw [rad]."""

    ticks: Rows
    start: tuple[float, float, float]

    @property
    def seconds(self) -> float:
        return float(self.ticks["time_ns"][-1] - self.ticks["time_ns"][0]) * 1e-9

    @property
    def altered(self) -> int:
        """In so many ticks safety sent something else than was asked for."""
        return int(self.ticks["altered"].sum())

    def tape(self, most_s: float = 0.0) -> CommandTape:
        """Every command that the pilot published in it, of its first ``most_s`` [s] (0: of all)."""
        command = self.ticks["command"]
        _, first = np.unique(command["sequence"], return_index=True)
        command = command[np.sort(first)]
        command = command[command["time_ns"] >= self.ticks["time_ns"][0]]
        times = (command["time_ns"] - command["time_ns"][0]).astype(np.int64)
        kept = times <= (most_s * 1e9 if most_s else np.inf)
        return CommandTape(times[kept], command["setpoint"][kept].astype(np.float64), self.start)


def stretches(spec: RobotSpec, ticks: Rows) -> list[Stretch]:
    """All that begin at rest and last, in order."""
    layout, found = spec.state_layout, []
    free = np.isin(ticks["safety_state"], [int(state) for state in AUTHORITY]) & ticks["converged"]
    free &= np.isfinite(ticks["state"]).all(axis=1)
    free[1:] &= np.diff(ticks["tick"].astype(np.int64)) == 1  # nobody knows what was sent in a gap
    for first, last in runs(free):
        rows = ticks[first : last + 1]
        state = rows["state"][0]
        still = abs(state[layout.index(spec.stop.standstill)]) < spec.stop.standstill_below
        x, y = state[layout["position_world"]][:2]
        one = Stretch(rows, (float(x), float(y), float(state[layout.index("heading")])))
        if still and one.seconds >= SHORTEST_S and len(one.tape().times_ns) > 1:
            found.append(one)
    return found


def choose(found: Sequence[Stretch], number: int | None) -> Stretch:
    """The one that is asked for, or the longest. Raises SandlotError if there is none."""
    if not found:
        raise SandlotError("nobody drove from a standstill for a second or more in this log")
    listed = ", ".join(f"{k}: {one.seconds:.1f} s" for k, one in enumerate(found))
    if number is None:
        return max(found, key=lambda one: one.seconds)
    if not 0 <= number < len(found):
        raise SandlotError(f"--stretch {number}: the log has {listed}")
    return found[number]
