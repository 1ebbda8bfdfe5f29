"""The parts of a tick are parts of it, and all of them are there."""

from __future__ import annotations

import pytest

from launch.bench.tick import PARTS, run


@pytest.mark.slow
def test_every_part_is_seen_and_none_is_counted_twice() -> None:
    figures = run(seconds=1.0)
    assert figures["ticks_count"] == 100
    for name in PARTS:
        assert 0.0 < figures[f"{name}_p50_us"] < figures["tick_p50_us"], name
    assert sum(figures[f"{name}_p50_us"] for name in PARTS) < figures["tick_p50_us"] * 1.1
