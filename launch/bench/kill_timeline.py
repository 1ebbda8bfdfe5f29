"""What happened around one kill, from records of the twin's truth, the guardian's ticks and the courier.

Pure functions of arrays. Times are CLOCK_MONOTONIC [ns] going in and milliseconds after the kill coming out;
NaN is what never happened. The twin says the truth every 10 ms, the guardian ticks every 10 ms: no figure
resolves more.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from robot.messages import Cause, SafetyState

Records = NDArray[np.void]
NEVER = float("nan")

STANDSTILL = 0.05
"""A car slower than this stands [m/s]."""


def speeds(truth: Records) -> NDArray[np.float64]:
    """True speed over ground [m/s], shape (n,)."""
    velocity = truth["antenna_velocity"]
    return np.asarray(np.hypot(velocity[:, 0], velocity[:, 1]))


def speed_at(truth: Records, kill_ns: int) -> float:
    """The last true speed up to the kill [m/s]."""
    before = speeds(truth)[truth["time_ns"] <= kill_ns]
    return float(before[-1]) if len(before) else NEVER


def standstill_ms(truth: Records, kill_ns: int) -> float:
    """Until the true car stood."""
    return _first_ms(truth["time_ns"], speeds(truth) < STANDSTILL, kill_ns)


def braking_ms(truth: Records, kill_ns: int, amperes: float) -> float:
    """Until at least so much current [A] opposed the motor's rotation and went on to, down to half the
    speed."""
    after = truth[truth["time_ns"] > kill_ns]
    slow = np.flatnonzero(speeds(after) < speed_at(truth, kill_ns) / 2)
    if not len(slow):
        return NEVER
    fast = after[: slow[0]]
    opposing = -fast["motor_current"] * np.sign(fast["motor_speed"])
    weak = np.flatnonzero(opposing < amperes)
    first = 0 if not len(weak) else int(weak[-1]) + 1
    return float(int(after["time_ns"][first]) - kill_ns) / 1e6 if first < len(fast) else NEVER


def stop_distance_m(truth: Records, kill_ns: int) -> float:
    """Way the true car went from the kill until it stood [m]."""
    before, after = truth[truth["time_ns"] <= kill_ns], truth[truth["time_ns"] > kill_ns]
    still = np.flatnonzero(speeds(after) < STANDSTILL)
    if not len(still) or not len(before):
        return NEVER
    last = before[-1]
    at_kill = last["antenna_position"] + last["antenna_velocity"] * (kill_ns - int(last["time_ns"])) / 1e9
    path = np.vstack([at_kill, after["antenna_position"][: still[0] + 1]])[:, :2]
    return float(np.hypot(*np.diff(path, axis=0).T).sum())


def state_ms(ticks: Records, kill_ns: int, states: Iterable[SafetyState]) -> float:
    """Until the guardian was first in one of these states."""
    return _first_ms(ticks["time_ns"], np.isin(ticks["safety_state"], [int(s) for s in states]), kill_ns)


def state_changes(ticks: Records, kill_ns: int, end_ns: int) -> int:
    """How often the safety state changed in a window, against its last tick before."""
    return len(_changes(ticks, kill_ns, end_ns))


def first_cause(ticks: Records, start_ns: int, end_ns: int) -> Cause | None:
    """Why the safety state first changed in a window, against its last tick before; None if it did not."""
    changes = _changes(ticks, start_ns, end_ns)
    return Cause(int(changes["cause"][0])) if len(changes) else None


def lateness_max_ms(ticks: Records, start_ns: int, end_ns: int) -> float:
    """The worst lateness of a tick in a window."""
    within = _within(ticks, start_ns, end_ns)
    return float((within["time_ns"] - within["due_ns"]).max()) / 1e6 if len(within) else NEVER


def gap_max_ms(truth: Records, start_ns: int, end_ns: int) -> float:
    """The longest time between two records of the truth in a window: how long the twin stood still."""
    times = _within(truth, start_ns, end_ns)["time_ns"]
    return float(np.diff(times).max()) / 1e6 if len(times) > 1 else NEVER


def pilot_silence_max_ms(ticks: Records, start_ns: int, end_ns: int) -> float:
    """The longest that the guardian had heard nothing of the pilot in a window."""
    within = _within(ticks, start_ns, end_ns)
    return float(within["silence"][:, 0].max()) * 1e3 if len(within) else NEVER


def acknowledged_ms(courier: Records, kill_ns: int, sequence: int) -> float:
    """Until the learner was known to have the row of this sequence."""
    return _first_ms(courier["time_ns"], courier["received"] > sequence, kill_ns)


def lost_and_doubled(sequences: NDArray[np.unsignedinteger], made: int) -> tuple[int, int]:
    """Of rows 0 to ``made``: how many are not in ``sequences``, and how many are there once too often."""
    present = np.unique(sequences)
    return made - int(np.count_nonzero(present < made)), len(sequences) - len(present)


def _within(records: Records, start_ns: int, end_ns: int) -> Records:
    return records[(records["time_ns"] > start_ns) & (records["time_ns"] <= end_ns)]


def _changes(ticks: Records, start_ns: int, end_ns: int) -> Records:
    """The ticks of a window in which the safety state is not that of the tick before."""
    seen = np.concatenate([ticks[ticks["time_ns"] <= start_ns][-1:], _within(ticks, start_ns, end_ns)])
    changed: Records = seen[1:][np.diff(seen["safety_state"].astype(np.int64)) != 0]
    return changed


def _first_ms(times_ns: NDArray[np.int64], holds: NDArray[np.bool_], kill_ns: int) -> float:
    found = np.flatnonzero(holds & (times_ns > kill_ns))
    return float(int(times_ns[found[0]]) - kill_ns) / 1e6 if len(found) else NEVER
