"""Lap times to a fraction of a step, and only for new ground."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robot.practice.lap_timer import LapTimer

STEP = 50_000_000


@given(start=st.floats(-0.9, -0.01), lap_s=st.floats(2.0, 30.0))
def test_constant_speed_gives_the_lap_time_whatever_the_phase(start: float, lap_s: float) -> None:
    timer = LapTimer()
    assert not timer.reset(0, start)
    found = []
    for i in range(1, round(3.2 * lap_s * 20)):
        lap, _ = timer.update(i * STEP, start + i * 0.05 / lap_s)
        found += [lap] if lap is not None else []
    assert found == pytest.approx([lap_s] * len(found), abs=1e-6) and len(found) >= 1


def test_a_start_on_the_line_begins_a_lap_and_one_behind_it_begins_at_the_line() -> None:
    timer = LapTimer()
    assert timer.reset(0, 0.0)
    assert timer.update(10**9, 1.0) == (1.0, True)
    assert not timer.reset(0, -0.1)
    assert timer.update(10**9, 0.1) == (None, True)
    assert timer.update(2 * 10**9, 1.1) == (pytest.approx(0.5 + 0.9), True)


def test_going_back_over_the_line_and_on_again_is_no_lap() -> None:
    timer = LapTimer()
    timer.reset(0, 0.9)
    assert timer.update(10**9, 1.1) == (None, True)
    for t, p in ((2, 0.9), (3, 1.1), (4, 0.8), (5, 1.3)):
        assert timer.update(t * 10**9, p) == (None, False)
    lap, _ = timer.update(6 * 10**9, 2.3)
    assert lap == pytest.approx(4.5 + 0.7, abs=1e-9)
