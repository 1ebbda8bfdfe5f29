"""Signals against their definitions, computed independently over whole series."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safety_robot import small_robot

from robot.errors import SpecError
from robot.safety.elements import ElementLayout
from robot.safety.heartbeats import Heartbeats
from robot.safety.limits import Limits
from robot.safety.signals import Signals

MS = 1_000_000


def signal(kind: str, of: list[str], name: str = "x", **more: Any) -> dict[str, Any]:
    return {"name": name, "kind": kind, "of": of, "unit": "1", **more}


def run(signals: list[dict[str, Any]], rows: np.ndarray, period_ns: int = 10 * MS) -> np.ndarray:
    """The signals of state elements a, b given as rows, shape (n, 2)."""
    spec = small_robot(signals=signals)
    layout = ElementLayout(spec)
    computed = Signals(spec, layout)
    elements = np.zeros(layout.size)
    found = []
    for k, row in enumerate(rows):
        elements[layout.state] = row
        computed.update(k * period_ns, elements)
        found.append(elements[layout.signals].copy())
    return np.array(found)


series = st.lists(st.tuples(*[st.floats(-100, 100)] * 2), min_size=2, max_size=40).map(np.array)


@given(series)
def test_combinations_are_what_their_names_say(rows: np.ndarray) -> None:
    found = run(
        [
            signal("sum", ["a", "b"], "s", scale=[2.0, -1.0]),
            signal("product", ["a", "b"], "p", scale=[0.5, 1.0]),
            signal("norm", ["a", "b"], "n"),
            signal("sum", ["s", "p"], "both"),
        ],
        rows,
    )
    a, b = rows.T
    expected = np.stack((2 * a - b, 0.5 * a * b, np.hypot(a, b), 2 * a - b + 0.5 * a * b), axis=1)
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-9)


@given(series)
def test_a_signal_is_made_of_this_ticks_signals_however_deep(rows: np.ndarray) -> None:
    """Of the same kind and as many parts, whichever of its parts lies deepest and wherever it stands."""
    found = run(
        [
            signal("sum", ["a", "b"], "first"),
            signal("sum", ["first", "b"], "second"),
            signal("sum", ["b", "first"], "turned"),
            signal("sum", ["first", "second"], "third"),
            signal("sum", ["a", "third"], "fourth"),
        ],
        rows,
    )
    a, b = rows.T
    expected = np.stack((a + b, a + 2 * b, a + 2 * b, 2 * a + 3 * b, 3 * a + 3 * b), axis=1)
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(st.floats(-50, 50), st.sampled_from([1, 5, 10, 40]), st.floats(0.01, 0.2))
def test_the_rate_of_a_ramp_is_its_slope_once_the_filter_has_settled(
    slope: float, period_ms: int, time_constant: float
) -> None:
    count = int(10 * time_constant * 1e3 / period_ms) + 5
    t = np.arange(count) * period_ms * 1e-3
    found = run(
        [signal("rate", ["a"], time_constant_s=time_constant)],
        np.stack((3.0 + slope * t, t), axis=1),
        period_ms * MS,
    )
    assert found[0, 0] == 0.0
    # A value held over a tick is seen late by less than that tick.
    ratio = period_ms * 1e-3 / time_constant
    assert found[-1, 0] == pytest.approx(slope * ratio / np.expm1(ratio), rel=1e-3, abs=1e-9)


def test_a_rate_starts_anew_after_values_that_are_not_finite_and_after_a_pause() -> None:
    rate = signal("rate", ["a"], time_constant_s=0.05)
    rows = np.array([[0.0, 0], [0.0, 0], [np.nan, 0], [70.0, 0], [70.0, 0]])
    found = run([rate], rows)[:, 0]
    assert np.isnan(found[2]) and found[3] == 0.0 and found[4] == 0.0
    slow = run([rate], np.array([[0.0, 0], [70.0, 0]]), 10_000 * MS)[:, 0]
    assert abs(slow[1]) < 1e-3


@given(series)
def test_excess_is_the_magnitude_above_what_was_asked_let_down_at_the_decay(rows: np.ndarray) -> None:
    found = run([signal("excess", ["a", "b"], decay=30.0)], rows)[:, 0]
    envelope = -np.inf
    for (measured, asked), value in zip(rows, found, strict=True):
        envelope = max(abs(asked), envelope - 30.0 * 0.01)
        assert value == pytest.approx(abs(measured) - envelope, abs=1e-9)


@settings(max_examples=30)
@given(st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_a_batch_equals_one_by_one(count: int, seed: int) -> None:
    kinds = [
        signal("rate", ["a"], "r", time_constant_s=0.03),
        signal("excess", ["b", "a"], "e", decay=5.0),
        signal("norm", ["r", "e"], "n"),
    ]
    rows = np.random.default_rng(seed).normal(size=(12, count, 2))
    spec = small_robot(signals=kinds)
    layout = ElementLayout(spec)
    batch, elements = Signals(spec, layout, (count,)), np.zeros((count, layout.size))
    found = []
    for k, row in enumerate(rows):
        elements[:, layout.state] = row
        batch.update(k * 10 * MS, elements)
        found.append(elements[:, layout.signals].copy())
    for i in range(count):
        assert np.array_equal(np.array(found)[:, i], run(kinds, rows[:, i]))


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ([signal("sum", ["c"])], "watches 'c'"),
        ([signal("sum", ["x"])], "declared before"),
        ([signal("sum", ["y"]), signal("sum", ["a"], "y")], "declared before"),
        ([signal("sum", ["a"], "b")], "names two things"),
        ([signal("rate", ["a"])], "time_constant_s"),
        ([signal("rate", ["a", "b"], time_constant_s=1.0)], "takes 1 elements"),
        ([signal("sum", ["a"], time_constant_s=1.0)], "only a rate"),
        ([signal("excess", ["a", "b"])], "decay"),
        ([signal("sum", ["a"], decay=1.0)], "only an excess"),
        ([signal("sum", ["a"], scale=[1.0, 2.0])], "2 scales"),
        ([signal("sum", [])], "takes 1 elements"),
    ],
)
def test_a_signal_that_makes_no_sense_is_refused(bad: list[dict[str, Any]], says: str) -> None:
    with pytest.raises(SpecError, match=says):
        spec = small_robot(signals=bad)
        Signals(spec, ElementLayout(spec))


def test_a_signal_is_as_stale_as_the_sensors_it_is_made_of() -> None:
    limit = {"name": "l", "element": "x", "unit": "1", "action": "category1", "reason": "", "upper": 1.0}
    signals = [signal("sum", ["one.a", "two.b"], "y"), signal("sum", ["y", "a"])]
    for blind, expected in (("stop", 2), ("ignore", 0)):
        spec = small_robot([limit | {"blind": blind}], signals)
        layout = ElementLayout(spec)
        assert layout.depends[layout.index("x", "")].tolist() == [True, True]
        assert layout.depends[layout.index("a", "")].tolist() == [False, False]
        limits = Limits(spec, layout)
        for stale in ([True, False], [False, True]):
            assert limits.update(0, np.zeros(layout.size), np.array(stale)).tolist() == [expected]


def test_a_limit_in_another_unit_than_its_element_is_refused() -> None:
    limit = {"name": "l", "element": "a", "unit": "m", "action": "reduce", "reason": "", "upper": 1.0}
    spec = small_robot([limit])
    with pytest.raises(SpecError, match="'m', but a is in '1'"):
        Limits(spec, ElementLayout(spec))


def test_a_novelty_score_only_ever_advises() -> None:
    limit = {"name": "l", "element": "command.novelty", "unit": "1", "reason": "", "upper": 1.0}
    with pytest.raises(SpecError, match="advisory"):
        small_robot([limit | {"action": "category2"}])
    assert small_robot([limit | {"action": "reduce"}]).safety.limits[0].name == "l"


@given(st.lists(st.tuples(st.integers(1, 200), st.integers(0, 2)), max_size=40))
def test_silence_counts_from_the_last_new_record(ticks: list[tuple[int, int]]) -> None:
    heartbeats = Heartbeats(1)
    now, sequence, spoke = 0, 0, None
    for passed, written in ticks:
        now += passed * MS
        sequence += written
        spoke = now if written else spoke
        heartbeats.update(now, [sequence])
        assert heartbeats.silence[0] == pytest.approx(0.0 if spoke is None else (now - spoke) * 1e-9)
