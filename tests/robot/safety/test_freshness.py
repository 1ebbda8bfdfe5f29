"""Freshness against its rule, written out sensor by sensor, for sensors of several sizes, in batch."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from robot.layout import Field
from robot.safety.freshness import FROZEN_NS, Freshness
from robot.spec import Sensor

MS = 1_000_000
SIZES = (1, 3, 2)
STALE_NS = (50 * MS, 1_001 * MS, 7 * MS)
"""The second is no whole number of seconds in floating point."""


def spec() -> Any:
    """As much of a robot as freshness looks at."""
    sensors = tuple(
        Sensor(
            name=f"s{k}",
            device="d",
            fields=tuple(Field(name=f"f{n}", unit="1") for n in range(size)),
            rate_hz=100.0,
            latency_s=0.0,
            stale_s=stale / 1e9,
            required=k != 1,
        )
        for k, (size, stale) in enumerate(zip(SIZES, STALE_NS, strict=True))
    )
    return SimpleNamespace(sensors=sensors)


class Watch:
    """One sensor of one robot, judged by the rule."""

    def __init__(self, size: int, stale_ns: int) -> None:
        self.stale_ns = stale_ns
        self.sequence = self.time = self.arrived = self.changed = 0
        self.values = [0.0] * size

    def update(self, now: int, news: tuple[Any, ...]) -> tuple[bool, bool, bool]:
        count, age, values = news
        if count:
            self.sequence += count
            self.time = now - age
            self.arrived = now
        if values is not None:
            given = (values * 3)[: len(self.values)]
            if any(a != b for a, b in zip(given, self.values, strict=True)):
                self.changed = now
            self.values = given
        elif any(a != a for a in self.values):
            self.changed = now  # not a number is never what it was
        stale = (
            self.sequence == 0 or abs(now - self.time) > self.stale_ns or now - self.arrived > self.stale_ns
        )
        return stale, now - self.changed > FROZEN_NS, all(map(np.isfinite, self.values))


numbers = st.sampled_from([0.0, 0.0, 1.0, -2.5, np.nan, np.inf])
news = st.tuples(
    st.integers(0, 2),
    st.sampled_from(
        [0, 6 * MS, 7 * MS, 7 * MS + 1, 50 * MS, 50 * MS + 1, -8 * MS, 1_001 * MS, 1_001 * MS + 1]
    ),
    st.none() | st.lists(numbers, min_size=1, max_size=3),
)
waits = st.sampled_from([1, MS, 7 * MS, 50 * MS, 51 * MS, 1_001 * MS, FROZEN_NS, FROZEN_NS + 1])
script = st.lists(st.tuples(waits, st.lists(news, min_size=6, max_size=6)), min_size=1, max_size=12)


@given(script, st.sampled_from([0, 10**12]))
def test_freshness_equals_its_rule_sensor_by_sensor(steps: list[Any], start: int) -> None:
    batch, single = Freshness(spec(), (2,)), Freshness(spec())
    watches = [[Watch(*pair) for pair in zip(SIZES, STALE_NS, strict=True)] for _ in range(2)]
    now = start
    for wait, told in steps:
        now += wait
        expected = [
            [w.update(now, told[3 * i + k]) for k, w in enumerate(row)] for i, row in enumerate(watches)
        ]
        times = np.array([[w.time for w in row] for row in watches])
        counts = np.array([[w.sequence for w in row] for row in watches], np.uint64)
        values = np.array([[v for w in row for v in w.values] for row in watches])
        batch.update(now, times, counts, values)
        single.update(now, times[1], counts[1], values[1])
        for at, name in enumerate(("stale", "frozen", "finite")):
            right = [[verdict[at] for verdict in row] for row in expected]
            assert getattr(batch, name).tolist() == right, name
            assert getattr(single, name).tolist() == right[1], name


def test_before_the_first_update_nothing_may_be_relied_on() -> None:
    for fresh in (Freshness(spec()), Freshness(spec(), (2,))):
        assert fresh.stale.all()
        assert not fresh.frozen.any() and fresh.finite.all()
    assert Freshness(spec()).required.tolist() == [True, False, True]


def test_a_sensor_of_zeros_since_the_clock_began_is_frozen_when_any_other_would_be() -> None:
    fresh = Freshness(spec())
    for now, frozen in ((FROZEN_NS, False), (FROZEN_NS + 1, True)):
        fresh.update(now, np.full(3, now), np.full(3, now, np.uint64), np.zeros(6))
        assert fresh.frozen.tolist() == [frozen] * 3


def test_the_first_sample_of_all_may_have_any_number() -> None:
    for first in (1, 2, 2**64 - 1):
        fresh = Freshness(spec())
        fresh.update(10**12, np.full(3, 10**12), np.full(3, first, np.uint64), np.zeros(6))
        assert not fresh.stale.any()


def test_a_second_without_change_is_a_frozen_sensor() -> None:
    assert FROZEN_NS == 1_000_000_000
