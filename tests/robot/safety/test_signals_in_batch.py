"""Combinations of a batch row by row, and rates on a clock that stands still or runs back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from safety_robot import small_robot

from robot.safety.elements import ElementLayout
from robot.safety.signals import Signals

KINDS: list[dict[str, Any]] = [
    {"name": "s", "kind": "sum", "of": ["a", "b"], "unit": "1", "scale": [2.0, 1.0]},
    {"name": "p", "kind": "product", "of": ["a", "b"], "unit": "1"},
    {"name": "n", "kind": "norm", "of": ["a", "b"], "unit": "1"},
    {"name": "r", "kind": "rate", "of": ["a"], "unit": "1", "time_constant_s": 0.05},
    {"name": "e", "kind": "excess", "of": ["a", "b"], "unit": "1", "decay": 3.0},
]


def test_each_row_of_a_batch_is_its_own() -> None:
    spec = small_robot(signals=KINDS)
    layout = ElementLayout(spec)
    rows = np.random.default_rng(2).normal(size=(6, 3, 2, 2))
    batch, single = (
        Signals(spec, layout, (3, 2)),
        [[Signals(spec, layout) for _ in range(2)] for _ in range(3)],
    )
    for k, row in enumerate(rows):
        elements = np.zeros((3, 2, layout.size))
        elements[..., layout.state] = row
        batch.update(k * 10_000_000, elements)
        assert elements[..., layout.signals][..., 0] == pytest.approx(2.0 * row[..., 0] + row[..., 1])
        assert elements[..., layout.signals][..., 1] == pytest.approx(row[..., 0] * row[..., 1])
        assert elements[..., layout.signals][..., 2] == pytest.approx(np.hypot(row[..., 0], row[..., 1]))
        for at in np.ndindex(3, 2):
            one = np.zeros(layout.size)
            one[layout.state] = row[at]
            single[at[0]][at[1]].update(k * 10_000_000, one)
            assert np.array_equal(elements[at], one)


@pytest.mark.parametrize("step", [0, -1, -(10**9)])
def test_a_clock_that_does_not_move_on_moves_no_filter(step: int) -> None:
    spec = small_robot(signals=KINDS[3:])
    layout = ElementLayout(spec)
    signals, elements = Signals(spec, layout), np.zeros(layout.size)
    for now, value, asked in ((10**12, 1.0, 4.0), (10**12 + step, 3.0, 0.0)):
        elements[layout.state] = value, asked
        signals.update(now, elements)
    rate, excess = elements[layout.signals]
    assert rate == (3.0 - 1.0) / 0.05, "the low-passed value is still the first"
    assert excess == 3.0 - 4.0, "nothing was let down"
