"""Limits against their rule, written out limit by limit, for one robot and for two at once."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safety_robot import small_robot

from robot.errors import SpecError
from robot.safety.elements import ElementLayout
from robot.safety.limits import Limits
from robot.safety.state_machine import Request

MS = 1_000_000
SEVERITY = {"reduce": 1, "category2": 2, "category1": 3, "category0": 4}
DEBOUNCE = 1_001 * MS
"""1.001e9 is no whole number in floating point: a debounce that is not rounded is a nanosecond off."""

LIMITS: list[dict[str, Any]] = [
    {"element": "a", "upper": 1.0, "action": "category1"},
    {"element": "a", "lower": -1.0, "upper": 2.0, "action": "reduce", "debounce_s": 0.03},
    {"element": "b", "lower": 0.5, "action": "category0", "blind": "ignore"},
    {"element": "one.a", "upper": 1.0, "action": "category0", "debounce_s": DEBOUNCE / 1e9},
    {"element": "two.b", "lower": -1.0, "upper": 1.0, "action": "category2", "blind": "ignore"},
    {"element": "both", "upper": 1.0, "action": "category0"},
]
SENSORS = {"a": (), "b": (), "one.a": (0,), "two.b": (1,), "both": (0, 1)}
SIGNALS = [{"name": "both", "kind": "sum", "of": ["one.b", "two.a"], "unit": "1"}]


def spec() -> Any:
    named = [{"name": f"l{k}", "unit": "1", "reason": "", **limit} for k, limit in enumerate(LIMITS)]
    return small_robot(named, SIGNALS)


class Rule:
    """One limit on one robot."""

    def __init__(self, limit: dict[str, Any]) -> None:
        self.limit = limit
        self.since: int | None = None

    def margin(self, value: float) -> float:
        return min(value - self.limit.get("lower", -math.inf), self.limit.get("upper", math.inf) - value)

    def update(self, now: int, value: float, stale: list[bool]) -> int:
        blind = not math.isfinite(value) or any(stale[k] for k in SENSORS[self.limit["element"]])
        if not blind and self.margin(value) >= 0.0:
            self.since = None
            return 0
        self.since = now if self.since is None else self.since
        if now - self.since < round(self.limit.get("debounce_s", 0.0) * 1e9):
            return 0
        severity = SEVERITY[self.limit["action"]]
        if not blind:
            return severity
        return 0 if self.limit.get("blind") == "ignore" else min(severity, 2)


numbers = st.sampled_from([0.0, 0.5, 0.75, 1.0, 1.0000001, -1.0, -1.5, 2.5, math.nan, math.inf, -math.inf])
ticks = st.tuples(
    st.sampled_from([0, MS, 10 * MS, 30 * MS, DEBOUNCE - 1, DEBOUNCE]),
    st.lists(numbers, min_size=len(SENSORS) * 2, max_size=len(SENSORS) * 2),
    st.lists(st.sampled_from([False, False, True]), min_size=4, max_size=4),
)


@given(st.lists(ticks, max_size=12))
def test_limits_equal_their_rule_one_by_one(script: list[Any]) -> None:
    robot = spec()
    layout = ElementLayout(robot)
    batch, single = Limits(robot, layout, (2,)), Limits(robot, layout)
    rules = [[Rule(limit) for limit in LIMITS] for _ in range(2)]
    where = [layout.index(name, "") for name in SENSORS]
    now = 10**9
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # numbers that are none are no news to a limit
        for wait, values, stale in script:
            now += wait
            elements = np.zeros((2, layout.size))
            elements[:, where] = np.array(values).reshape(2, -1)
            gone = np.array(stale).reshape(2, 2)
            expected = [
                [
                    rule.update(now, elements[i, layout.index(rule.limit["element"], "")], gone[i].tolist())
                    for rule in rules[i]
                ]
                for i in range(2)
            ]
            assert batch.update(now, elements, gone).tolist() == expected
            assert single.update(now, elements[1], gone[1]).tolist() == expected[1]
            for rule, margin in zip(rules[1], single.margin, strict=True):
                value = elements[1, layout.index(rule.limit["element"], "")]
                if math.isfinite(value):
                    assert margin == rule.margin(value)
                else:
                    assert not math.isfinite(margin)


def test_a_limit_knows_what_it_is_and_nothing_before_it_has_looked() -> None:
    robot = spec()
    limits = Limits(robot, ElementLayout(robot))
    assert limits.limits == robot.safety.limits
    assert limits.requests.tolist() == [SEVERITY[limit["action"]] for limit in LIMITS]
    assert np.isnan(limits.margin).all()
    assert [Request.REDUCE, Request.CATEGORY2, Request.CATEGORY1, Request.CATEGORY0] == [1, 2, 3, 4]


def test_a_limit_on_what_does_not_exist_is_refused_by_its_name() -> None:
    robot = small_robot(
        [{"name": "speed", "element": "c", "unit": "1", "action": "reduce", "reason": "", "upper": 1.0}]
    )
    with pytest.raises(SpecError, match="r: limit 'speed' watches 'c'"):
        Limits(robot, ElementLayout(robot))


def test_a_debounce_is_a_whole_number_of_nanoseconds() -> None:
    late = {"name": "l", "element": "a", "unit": "1", "action": "reduce", "reason": "", "upper": 1.0}
    robot = small_robot([late | {"debounce_s": DEBOUNCE / 1e9}])
    layout = ElementLayout(robot)
    limits, elements = Limits(robot, layout), np.full(layout.size, 2.0)
    asked = [limits.update(now, elements, np.zeros(2, bool))[0] for now in (0, DEBOUNCE - 1, DEBOUNCE)]
    assert asked == [0, 0, 1]
