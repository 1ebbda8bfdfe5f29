"""Standing still takes a while, and one fast tick undoes it."""

from hypothesis import given
from hypothesis import strategies as st

from robot.safety.standstill import STILL_NS, Standstill

TICK_NS = 10_000_000


@given(st.lists(st.booleans(), max_size=80))
def test_still_is_slow_in_every_tick_of_the_last_tenth_of_a_second(slow) -> None:
    standing = Standstill()
    needed = STILL_NS // TICK_NS + 1
    for k, now in enumerate(slow):
        still = standing.update(k * TICK_NS, now)
        assert still == (k + 1 >= needed and all(slow[k + 1 - needed : k + 1]))
