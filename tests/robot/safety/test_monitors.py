"""Limits, freshness, the command gate and overruns, each against its rule stated independently."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from safety_robot import small_robot

from robot.errors import SpecError
from robot.messages import Cause
from robot.safety.command_gate import NOT_FINITE_LIMIT, CommandGate
from robot.safety.elements import ElementLayout
from robot.safety.freshness import FROZEN_NS, Freshness
from robot.safety.limits import Limits
from robot.safety.monitors import Monitors, OverrunMonitor
from robot.safety.state_machine import Request
from robot.spec import RobotSpec

MS = 1_000_000


def limit(element: str, action: str = "category1", **bounds: float) -> dict[str, Any]:
    return {"name": element, "element": element, "unit": "1", "action": action, "reason": "", **bounds}


def watch(spec: RobotSpec, batch: tuple[int, ...] = ()) -> Limits:
    return Limits(spec, ElementLayout(spec), batch)


FRESH = np.zeros(2, bool)


def test_elements_are_named_state_first_then_sensor_by_sensor() -> None:
    names = ElementLayout(small_robot()).names
    assert names[:6] == ("a", "b", "one.a", "one.b", "two.a", "two.b")
    assert names[6:] == (
        *("deviation.a", "deviation.b", "sent.u"),
        *("heartbeat.pilot", "heartbeat.courier", "command.novelty"),
    )


@pytest.mark.parametrize(
    ("bad", "says"), [(limit("one.c", upper=1.0), r"one\.c"), (limit("a"), "lower, upper or both")]
)
def test_limit_that_makes_no_sense_is_refused_by_name(bad: dict[str, Any], says: str) -> None:
    with pytest.raises(SpecError, match=says):
        watch(small_robot([bad]))


@given(
    st.lists(st.sampled_from([0.0, 0.999, 1.0, 1.001, -1.0, -1.001, np.nan, np.inf]), min_size=1, max_size=30)
)
def test_debounce_counts_unbroken_violation(values: list[float]) -> None:
    limits = watch(small_robot([limit("a", lower=-1.0, upper=1.0, debounce_s=0.03)]))
    elements = np.zeros(6)
    broken = 0
    for k, value in enumerate(values):
        elements[0] = value
        bad = not -1.0 <= value <= 1.0
        broken = broken + 1 if bad else 0
        requests = limits.update(k * 10 * MS, elements, FRESH)
        expected = 0 if broken < 4 else Request.CATEGORY1 if np.isfinite(value) else Request.CATEGORY2
        assert requests.tolist() == [expected]


def test_margin_is_the_distance_to_the_nearer_bound() -> None:
    limits = watch(small_robot([limit("a", lower=-1.0, upper=3.0), limit("two.b", upper=2.0)]))
    limits.update(0, np.array([2.5, 0, 0, 0, 0, 5.0]), FRESH)
    assert limits.margin.tolist() == [0.5, -3.0]


def test_limit_on_a_sensor_that_cannot_be_seen_stops_and_never_lets_go() -> None:
    limits = watch(small_robot([limit("two.a", "category0", upper=1.0), limit("one.a", "reduce", upper=1.0)]))
    assert limits.update(0, np.zeros(6), np.array([True, True])).tolist() == [
        Request.CATEGORY2,
        Request.REDUCE,
    ]
    assert limits.update(1, np.zeros(6), FRESH).tolist() == [0, 0]
    assert limits.update(2, np.full(6, 2.0), FRESH).tolist() == [Request.CATEGORY0, Request.REDUCE]


def test_limits_in_batch_equal_one_by_one() -> None:
    spec = small_robot([limit("a", upper=1.0, debounce_s=0.02), limit("one.b", "reduce", lower=-1.0)])
    generator = np.random.default_rng(3)
    many, each = watch(spec, (7,)), [watch(spec) for _ in range(7)]
    for k in range(50):
        elements = generator.normal(size=(7, 6))
        stale = generator.random((7, 2)) < 0.1
        batch = many.update(k * 10 * MS, elements, stale)
        single = [each[i].update(k * 10 * MS, elements[i], stale[i]) for i in range(7)]
        assert (batch == np.array(single)).all()


def feed(freshness: Freshness, now: int, age: int, count: int, values: Any) -> None:
    freshness.update(now, np.array([now - age] * 2), np.array([count] * 2, np.uint64), np.asarray(values))


@pytest.mark.parametrize(
    ("age", "stale"), [(0, False), (50 * MS, False), (50 * MS + 1, True), (-60 * MS, True)]
)
def test_sensor_is_stale_by_the_age_of_its_sample(age: int, stale: bool) -> None:
    freshness = Freshness(small_robot())
    feed(freshness, 1000 * MS, age, 1, np.zeros(4))
    assert freshness.stale.tolist() == [stale, stale]


def test_sensor_that_never_spoke_is_stale() -> None:
    freshness = Freshness(small_robot())
    feed(freshness, 10 * MS, 0, 0, np.zeros(4))
    assert freshness.stale.all()


def test_sensor_whose_counter_stands_is_stale_whatever_time_it_claims() -> None:
    freshness = Freshness(small_robot())
    for k in range(10):
        feed(freshness, (100 + k * 10) * MS, 0, 1, np.full(4, float(k)))
        assert freshness.stale.any() == (k * 10 > 50)


def test_sensor_whose_values_stand_is_frozen_and_only_that_sensor() -> None:
    freshness = Freshness(small_robot())
    for k in range(150):
        feed(freshness, k * 10 * MS, 0, k + 1, [1.0, 2.0, float(k), 2.0])
        # The first update is the change from nothing.
        assert freshness.frozen.tolist() == [k * 10 * MS > FROZEN_NS, False]


def test_finite_is_judged_sensor_by_sensor() -> None:
    freshness = Freshness(small_robot())
    feed(freshness, 0, 0, 1, [0.0, np.nan, 0.0, 0.0])
    assert freshness.finite.tolist() == [False, True]
    feed(freshness, 1, 0, 2, [0.0, 0.0, -np.inf, np.inf])
    assert freshness.finite.tolist() == [True, False]


def sense(monitors: Monitors, now: int, count: int, elements: Any, moving: bool = False) -> Any:
    times = np.array([now, now], np.int64)
    monitors.elements[:6] = elements
    return monitors.update(now, times, np.array([count] * 2, np.uint64), moving)


def test_worst_wins_and_the_sensor_comes_before_its_limits() -> None:
    monitors = Monitors(
        small_robot([limit("a", "reduce", upper=1.0), limit("one.a", "category2", upper=1.0)])
    )
    assert sense(monitors, 100 * MS, 1, np.zeros(6)) == (Request.NONE, Cause.NONE, "")
    assert sense(monitors, 110 * MS, 2, [2.0, 0, 0, 0, 0, 0]) == (Request.REDUCE, Cause.LIMIT, "a")
    assert sense(monitors, 120 * MS, 3, [2.0, 0, 2.0, 0, 0, 0]) == (Request.CATEGORY2, Cause.LIMIT, "one.a")
    verdict = sense(monitors, 130 * MS, 4, [2.0, 0, np.nan, 0, 0, 0])
    assert verdict == (Request.CATEGORY2, Cause.SENSOR_NOT_FINITE, "one")
    assert not monitors.dependable
    # The optional sensor may say what it likes.
    assert sense(monitors, 140 * MS, 5, [0, 0, 0, 0, np.nan, 0]) == (Request.NONE, Cause.NONE, "")
    assert monitors.dependable


def test_frozen_values_matter_only_in_motion() -> None:
    monitors = Monitors(small_robot())
    for k in range(120):
        assert sense(monitors, k * 10 * MS, k + 1, np.ones(6)).request == Request.NONE
    assert sense(monitors, 1300 * MS, 121, np.ones(6), moving=True).cause == Cause.SENSOR_STALE


GOOD = np.array([0.5])


def gate() -> CommandGate:
    gate = CommandGate(1, 0.1)
    gate.begin(0, 3)
    return gate


def test_gate_takes_the_young_the_new_and_the_finite_of_this_epoch() -> None:
    g = gate()
    assert g.offer(10 * MS, 1, 9 * MS, 3, GOOD) == "accepted"
    assert g.offer(11 * MS, 1, 9 * MS, 3, -GOOD) == "repeated"
    assert g.offer(12 * MS, 5, 12 * MS, 2, -GOOD) == "epoch"
    assert g.offer(12 * MS, 4, 12 * MS, 3, -GOOD) == "replayed"
    assert g.offer(13 * MS, 6, 14 * MS, 3, -GOOD) == "future"
    assert g.offer(14 * MS, 7, 8 * MS, 3, -GOOD) == "stale", "older than the one that was taken"
    assert g.offer(200 * MS, 8, 99 * MS, 3, -GOOD) == "stale"
    assert g.offer(200 * MS, 9, 199 * MS, 3, np.array([np.nan])) == "not_finite"
    assert g.setpoint == GOOD
    assert g.rejected == {"epoch": 1, "replayed": 1, "future": 1, "stale": 2, "not_finite": 1}
    assert g.offer(201 * MS, 10, 200 * MS, 3, -GOOD) == "accepted"
    assert g.setpoint == -GOOD


def test_gate_times_out_with_the_reason_of_the_last_rejection() -> None:
    g = gate()
    g.offer(10 * MS, 1, 10 * MS, 3, GOOD)
    assert g.request(110 * MS, True) == (Request.NONE, Cause.NONE)
    assert g.request(110 * MS + 1, True) == (Request.CATEGORY2, Cause.COMMAND_STALE)
    assert g.request(110 * MS + 1, False) == (Request.NONE, Cause.NONE)
    g.offer(111 * MS, 2, 111 * MS, 2, GOOD)
    assert g.request(112 * MS, True) == (Request.CATEGORY2, Cause.COMMAND_REPLAYED)


def test_gate_gives_up_on_a_pilot_that_speaks_nonsense() -> None:
    g = gate()
    for k in range(NOT_FINITE_LIMIT):
        assert g.request(k, True)[0] == Request.NONE
        g.offer(10 + k, k + 1, 10, 3, np.array([np.inf]))
    assert g.request(20, False) == (Request.CATEGORY1, Cause.COMMAND_NOT_FINITE)
    g.begin(30, 4)
    assert g.request(31, True)[0] == Request.NONE, "a new epoch is a new chance"


def test_gate_forgets_the_setpoint_of_the_last_epoch() -> None:
    g = gate()
    g.offer(10, 1, 10, 3, GOOD)
    g.begin(20, 4)
    assert not g.valid
    assert np.isnan(g.setpoint).all()


def test_overruns_are_counted_then_derate_then_stop() -> None:
    monitor = OverrunMonitor(10 * MS, 0.05)
    assert monitor.update(1000 * MS, 1000 * MS).request == Request.NONE
    assert monitor.update(1010 * MS, 1010 * MS).request == Request.NONE
    # 15 ms late, twice, seen against the deadline and against the tick before.
    assert monitor.update(1035 * MS, 1020 * MS).request == Request.NONE
    assert monitor.update(1060 * MS, 1060 * MS).request == Request.NONE
    assert monitor.count == 2
    assert monitor.update(1085 * MS, 1085 * MS).request == Request.REDUCE
    for k in range(100):
        last = monitor.update((1095 + 10 * k) * MS, (1095 + 10 * k) * MS)
    assert last.request == Request.NONE, "a second without"
    stalled = monitor.update((2085 + 10 + 51) * MS, (2085 + 10 + 51) * MS)
    assert (stalled.request, stalled.cause) == (Request.CATEGORY1, Cause.OVERRUN)


def test_arrays_are_not_aliased() -> None:
    """A driver that reuses its array cannot make a sensor look frozen, nor alter an accepted command."""
    g = gate()
    setpoint: NDArray[np.float64] = np.array([0.5])
    g.offer(1, 1, 1, 3, setpoint)
    setpoint[0] = 9.0
    assert g.setpoint == GOOD
