"""A guardian that takes over brakes until the robot has stood once, or until its time is up."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from robot.safety.restart_brake import RestartBrake

DEADLINE = 1_001_000_000
"""1.001e9 is no whole number in floating point: a deadline that is not rounded is a nanosecond off."""


@given(
    st.lists(st.tuples(st.sampled_from([0, 1, 10**7, 5 * 10**8, DEADLINE - 1, DEADLINE]), st.booleans())),
    st.booleans(),
)
def test_it_brakes_from_the_start_on_and_never_again(
    ticks: list[tuple[int, bool]], taking_over: bool
) -> None:
    start = 10**10
    brake = RestartBrake(start, DEADLINE / 1e9, taking_over)
    assert brake.active == taking_over
    now, expected = start, taking_over
    for wait, still in ticks:
        now += wait
        expected = expected and not still and now < start + DEADLINE
        assert brake.update(now, still) == brake.active == expected


def test_the_deadline_is_a_whole_number_of_nanoseconds() -> None:
    """0.067e9 is a little more than 67 million in floating point."""
    assert 0.067 * 1e9 > 67_000_000
    for now, braking in ((66_999_999, True), (67_000_000, False)):
        assert RestartBrake(0, 0.067, True).update(now, False) == braking
