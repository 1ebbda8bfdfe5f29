"""What the safety kernel says of a logged session: as it was, and as it would have been with other limits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from launch.replay.playback import ReplayedGuardian, Tape
from robot.messages import Cause, SafetyState
from robot.safety.monitors import Verdict
from robot.safety.state_machine import AUTHORITY, Request
from robot.spec import RobotSpec

Array = NDArray[np.float64]
Rows = NDArray[np.void]

UNSURE_NS = 5_000_000_000
"""After a gap in the log, how long timers and debounces may not be what they were [ns]."""
ROUNDING = 1e-9
"""Numbers that agree so far, relatively or absolutely, are the same: sines and sums of products differ in
their last bits from one processor to the next."""
APART = ("tick", "busy_ns")
"""What is not a verdict: the tick's number and how long the computer took."""
PROGRESS_TICKS = 5_000


@dataclass(frozen=True)
class Span:
    """Ticks in a row in which the replay says otherwise than the log. ``what``: the records' fields that
    differ; ``states`` and ``requests``: as logged and as replayed; ``why``: what the replay goes by."""

    first: int
    last: int
    states: tuple[SafetyState, SafetyState]
    requests: tuple[Request, Request]
    why: str
    what: tuple[str, ...] = ()

    @property
    def stops(self) -> bool:
        """The robot was driving (or about to), and would have been stopped."""
        return self.states[0] in DRIVING and self.states[1] not in DRIVING

    @property
    def drives(self) -> bool:
        """The robot was stopped, and would not have been."""
        return self.states[1] in DRIVING and self.states[0] not in DRIVING


DRIVING = AUTHORITY | {SafetyState.ARMING}


@dataclass(frozen=True)
class Trip:
    """Ticks in a row in which a limit asked for something."""

    limit: str
    first: int
    last: int


@dataclass
class Kernel:
    """What one description of the robot makes of the log, tick by tick. ``margins`` and ``asked`` have shape
    (n_ticks, n_limits)."""

    spec: RobotSpec
    count: int
    spans: list[Span] = field(default_factory=list)

    def __post_init__(self) -> None:
        limits = len(self.spec.safety.limits)
        self.margins: Array = np.full((self.count, limits), np.nan)
        self.asked: NDArray[np.int8] = np.zeros((self.count, limits), np.int8)

    def trips(self) -> list[Trip]:
        """Every time a limit tripped, in order."""
        found = []
        for k, limit in enumerate(self.spec.safety.limits):
            for first, last in runs(self.asked[:, k] > 0):
                found.append(Trip(limit.name, first, last))
        return sorted(found, key=lambda t: t.first)


@dataclass
class Comparison:
    """``logged``: the log judged by its own description; ``changed``: by another one (None: there is none).
    ``unsure``: ticks that follow a gap so closely that a difference there means nothing."""

    ticks: Rows
    logged: Kernel
    changed: Kernel | None
    gaps: int
    unsure: NDArray[np.bool_]

    @property
    def shown(self) -> Kernel:
        """The one a reviewer asked about."""
        return self.logged if self.changed is None else self.changed

    @property
    def times_s(self) -> Array:
        """Time of each tick since the first [s], shape (n_ticks,)."""
        times: Array = (self.ticks["time_ns"] - self.ticks["time_ns"][0]) / 1e9
        return times

    @property
    def driving(self) -> NDArray[np.bool_]:
        """Ticks in which the pilot had authority, shape (n_ticks,)."""
        return np.isin(self.ticks["safety_state"], [int(s) for s in AUTHORITY])


def compare(
    spec: RobotSpec,
    ticks: Rows,
    changed: RobotSpec | None = None,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Comparison:
    """Judge every tick again, by the log's own description and by a changed one.

    In every tick the changed kernel decides from the state that the robot really was in: each difference is
    one decision, not the consequence of an earlier one.
    """
    tape = Tape(spec, ticks)
    logged = Kernel(spec, len(ticks))
    other = None if changed is None else Kernel(changed, len(ticks))
    gaps, unsure = 0, np.zeros(len(ticks), bool)
    for segment in tape.segments():
        gap = int(ticks["tick"][segment.start]) != 0
        gaps += gap
        if gap:
            until = ticks["time_ns"][segment.start] + UNSURE_NS
            unsure[segment.start : segment.stop] = ticks["time_ns"][segment.start : segment.stop] < until
        _judge(tape, segment, logged, other, progress)
    for kernel in (logged, other):
        if kernel is not None:
            kernel.spans = list(_merged(kernel.spans))
    return Comparison(ticks, logged, other, gaps, unsure)


def _judge(
    tape: Tape, segment: range, logged: Kernel, other: Kernel | None, progress: Callable[[int, int], None]
) -> None:
    rows = tape.rows
    ours = ReplayedGuardian(logged.spec, tape, segment.start)
    theirs = None if other is None else ReplayedGuardian(other.spec, tape, segment.start)
    # Nested records are the evidence itself.
    fields = [n for n in rows.dtype.names or () if n not in APART and rows.dtype[n].names is None]
    for at in segment:
        if at % PROGRESS_TICKS == 0:
            progress(at, len(rows))
        before = ours.kernel
        row, record = rows[at], ours.play(at)[0]
        logged.margins[at], logged.asked[at] = ours.margin, ours.asked
        what = tuple(name for name in fields if _differ(row[name], record[name]))
        if what:
            logged.spans.append(_span(at, row, record, ours.verdict, what))
            if row["safety_state"] != record["safety_state"]:
                ours.join(row)
        if theirs is not None and other is not None:
            if at > segment.start:
                theirs.adopt(before)
            record = theirs.play(at)[0]
            other.margins[at], other.asked[at] = theirs.margin, theirs.asked
            if row["safety_state"] != record["safety_state"] or row["request"] != record["request"]:
                other.spans.append(_span(at, row, record, theirs.verdict, ()))


def _differ(logged: NDArray[Any], replayed: NDArray[Any]) -> bool:
    if logged.tobytes() == replayed.tobytes():
        return False
    if logged.dtype.kind != "f":
        return True
    return not np.allclose(logged, replayed, ROUNDING, ROUNDING, equal_nan=True)


def _span(at: int, row: Rows, record: Rows, verdict: Verdict, what: tuple[str, ...]) -> Span:
    states = SafetyState(int(row["safety_state"])), SafetyState(int(record["safety_state"]))
    requests = Request(int(row["request"])), Request(int(record["request"]))
    cause = verdict.cause if verdict.request else Cause(int(record["cause"]))
    why = cause.name.lower() + (f" ({verdict.detail})" if verdict.detail else "")
    return Span(at, at, states, requests, why if cause else "", what)


def _merged(spans: list[Span]) -> Iterator[Span]:
    """Ticks in a row that say the same, as one."""
    held: Span | None = None
    for span in spans:
        if held is not None:
            alike = (held.states, held.requests, held.why) == (span.states, span.requests, span.why)
            if alike and span.first == held.last + 1:
                what = tuple(sorted({*held.what, *span.what}))
                held = Span(held.first, span.last, held.states, held.requests, held.why, what)
                continue
            yield held
        held = span
    if held is not None:
        yield held


def runs(flags: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """First and last index of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    for first, end in edges.reshape(-1, 2).tolist():
        yield first, end - 1
