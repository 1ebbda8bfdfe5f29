"""Absolute deadlines: lateness does not accumulate, and an overrun is skipped, never caught up in a burst."""

import time

from hypothesis import given
from hypothesis import strategies as st

from robot.clock import MonotonicClock, SimulatedClock, Ticker


@given(work=st.lists(st.integers(0, 5_000_000), min_size=1, max_size=200))
def test_ticks_stay_on_the_grid_and_never_burst(work) -> None:
    clock = SimulatedClock(123)
    ticker = Ticker(clock, 1000.0)
    first = ticker.due_ns
    last = None
    for busy in work:
        ticker.wait()
        now = clock.now_ns()
        assert (ticker.due_ns - first) % ticker.period_ns == 0
        assert 0 <= now - ticker.due_ns < ticker.period_ns
        assert last is None or ticker.due_ns > last, "two ticks for one deadline"
        last = ticker.due_ns
        clock.sleep_until(now + busy)
        ticker.advance()
    elapsed = (last - first) // ticker.period_ns
    assert elapsed == len(work) - 1 + ticker.skipped


def test_monotonic_clock_sleeps_to_absolute_deadlines() -> None:
    clock = MonotonicClock()
    deadline = clock.now_ns() + 5_000_000
    clock.sleep_until(deadline)
    assert clock.now_ns() >= deadline
    before = time.monotonic_ns()
    clock.sleep_until(before - 1_000_000_000)
    assert time.monotonic_ns() - before < 1_000_000_000
