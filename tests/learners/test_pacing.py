from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from learners.pacing import Pacing

arrivals = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 80)), max_size=30)


@given(arrivals, st.integers(0, 100))
def test_never_more_updates_than_the_data_earned_and_exactly_that_when_caught_up(
    rounds: list[tuple[int, int]], warmup: int
) -> None:
    pacing = Pacing(updates=4, warmup=warmup, backlog=10_000)
    for received, willing in rounds:
        pacing.received += received
        pacing.done += min(pacing.due(), willing)
        assert pacing.done <= max(pacing.received - warmup, 0)
    pacing.done += pacing.due()
    assert pacing.due() == 0
    assert pacing.done == max(pacing.received - warmup, 0)
    assert pacing.ratio == (4.0 if pacing.received > warmup else 0.0)


@given(arrivals, st.integers(1, 40))
def test_what_is_given_up_is_counted(rounds: list[tuple[int, int]], backlog: int) -> None:
    pacing = Pacing(updates=2, warmup=5, backlog=backlog)
    for received, willing in rounds:
        pacing.received += received
        due = pacing.due()
        assert 0 <= due <= backlog
        pacing.done += min(due, willing)
        earned = max(pacing.received - 5, 0)
        assert pacing.done + pacing.given_up + pacing.owed == earned
    if pacing.given_up:
        assert pacing.ratio < 2
        assert f"{pacing.given_up} given up" in pacing.describe()


def test_it_says_whether_it_waits_or_is_behind() -> None:
    pacing = Pacing(updates=4, warmup=10, backlog=100, received=4)
    assert pacing.describe() == "warming up: 4 of 10 steps"
    pacing.received = 30
    pacing.done = 5
    assert pacing.describe() == "behind by 15 steps; ratio 1.00 of 4"
    pacing.done = 20
    assert pacing.describe() == "waiting for data; ratio 4.00 of 4"
