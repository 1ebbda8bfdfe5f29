"""It goes on until the robot has stood once, or until its time is up."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from robot.safety.until_still import UntilStill

DEADLINE = 1_001_000_000
"""1.001e9 is no whole number in floating point: a deadline that is not rounded is a nanosecond off."""


@given(
    st.lists(st.tuples(st.sampled_from([0, 1, 10**7, 5 * 10**8, DEADLINE - 1, DEADLINE]), st.booleans())),
    st.booleans(),
)
@example([(1, True), (1, False)], True)
def test_it_is_active_from_its_beginning_to_the_first_standstill(
    ticks: list[tuple[int, bool]], begun: bool
) -> None:
    until = UntilStill(DEADLINE / 1e9)
    assert not until.active
    assert not until.update(10**9, False), "it has not begun"
    for start in (10**10, 10**12):  # a second beginning is as good as the first
        if begun:
            until.begin(start)
        assert until.active == begun
        now, expected = start, begun
        for wait, still in ticks:
            now += wait
            expected = expected and not still and now < start + DEADLINE
            assert until.update(now, still) == until.active == expected


def test_the_deadline_is_a_whole_number_of_nanoseconds() -> None:
    """0.067e9 is a little more than 67 million in floating point."""
    assert 0.067 * 1e9 > 67_000_000
    for now, active in ((66_999_999, True), (67_000_000, False)):
        until = UntilStill(0.067)
        until.begin(0)
        assert until.update(now, False) == active
