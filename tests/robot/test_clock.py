"""Absolute deadlines: lateness does not accumulate, and an overrun is skipped, never caught up in a burst."""

import os
import shutil
import subprocess
import sys
import time
from typing import Any

import pytest
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
    before = clock.now_ns()
    clock.sleep_until(before - 1_000_000_000)
    assert clock.now_ns() - before < 1_000_000_000


def test_a_thread_s_deadline_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another thread may begin to wait on the same clock just before the kernel reads the deadline."""
    clock = MonotonicClock()
    asked: list[int] = []

    def kernel(which: int, flags: int, until: Any, rest: None) -> int:
        if not asked:
            asked.append(0)
            clock.sleep_until(7_000_000_007)
        asked.append(until._obj.seconds * 1_000_000_000 + until._obj.nanoseconds)
        return 0

    monkeypatch.setattr(clock, "_clock_nanosleep", kernel)
    clock.sleep_until(3_000_000_003)
    assert asked == [0, 7_000_000_007, 3_000_000_003]


def test_monotonic_clock_counts_the_time_that_the_computer_was_suspended() -> None:
    """In a time namespace the clocks differ as they do after a suspension."""
    unshare = shutil.which("unshare")
    if unshare is None or os.geteuid() != 0:
        pytest.skip("a time namespace takes unshare (util-linux) and root")
    suspended_s = 12_345
    code = (
        "import time; from robot.clock import MonotonicClock; clock = MonotonicClock(); "
        "start = clock.now_ns(); clock.sleep_until(start + 20_000_000); "
        "print(start - time.monotonic_ns(), clock.now_ns() - start)"
    )
    command = [unshare, "--time", "--boottime", str(suspended_s), sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if done.returncode != 0 and "unshare" in done.stderr:
        pytest.skip(f"no time namespace here: {done.stderr.strip()}")
    ahead_ns, slept_ns = map(int, done.stdout.split())
    here_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.monotonic_ns()
    assert abs(ahead_ns - here_ns - suspended_s * 1_000_000_000) < 1_000_000_000
    assert slept_ns >= 20_000_000
