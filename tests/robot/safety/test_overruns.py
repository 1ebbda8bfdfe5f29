"""Overruns against their rule, stated over the whole history of ticks."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from robot.messages import Cause
from robot.safety.monitors import CLEAR, OVERRUNS_PER_SECOND, OverrunMonitor, Verdict, worse
from robot.safety.state_machine import Request

MS = 1_000_000
PERIOD = 10 * MS
LATEST = 1_003 * MS
"""1.003e9 is no whole number in floating point: a deadline that is not rounded is a nanosecond off."""

waits = st.sampled_from(
    [0, PERIOD, PERIOD + 1, 2 * PERIOD, 2 * PERIOD + 1, 60 * MS, 400 * MS, LATEST + PERIOD]
)
delays = st.sampled_from([0, -PERIOD, PERIOD, PERIOD + 1, 50 * MS, 999 * MS, LATEST, LATEST + 1])


@given(st.lists(st.tuples(waits, delays), max_size=40))
def test_a_miss_counts_three_in_a_second_derate_and_a_long_one_stops(ticks: list[tuple[int, int]]) -> None:
    monitor = OverrunMonitor(PERIOD, LATEST / 1e9)
    now, last = 10**12, None
    misses: list[int] = []
    for wait, delay in ticks:
        now += wait
        late = max(delay, now - last - PERIOD) if last is not None else delay
        last = now
        if late > PERIOD:
            misses.append(now)
        verdict = monitor.update(now, now - delay)
        assert monitor.count == len(misses)
        recent = misses[-OVERRUNS_PER_SECOND:]
        if late > LATEST:
            assert (verdict.request, verdict.cause) == (Request.CATEGORY1, Cause.OVERRUN)
            assert verdict.detail == f"{late / 1e6:.0f} ms late"
        elif len(recent) == OVERRUNS_PER_SECOND and now - recent[0] < 10**9:
            assert verdict == (Request.REDUCE, Cause.OVERRUN, f"{OVERRUNS_PER_SECOND} in a second")
        else:
            assert verdict == CLEAR


def test_a_miss_of_a_second_ago_is_no_longer_of_this_second() -> None:
    for later, request in ((10**9 - 1, Request.REDUCE), (10**9, Request.NONE)):
        monitor = OverrunMonitor(PERIOD, 10.0)
        for now in (0, later // 2, later):
            verdict = monitor.update(10**12 + now, 10**12 + now - 2 * PERIOD)
        assert (verdict.request, monitor.count) == (request, 3)


def test_three_in_a_second_is_the_specifications_number() -> None:
    assert OVERRUNS_PER_SECOND == 3


def test_clear_asks_for_nothing_and_the_first_of_two_equals_wins() -> None:
    assert CLEAR == (Request.NONE, Cause.NONE, "")
    one, two = Verdict(Request.REDUCE, Cause.LIMIT, "one"), Verdict(Request.REDUCE, Cause.LIMIT, "two")
    stop = Verdict(Request.CATEGORY2, Cause.LIMIT, "stop")
    assert worse(one, two) is one and worse(one, stop) is stop and worse(stop, one) is stop
