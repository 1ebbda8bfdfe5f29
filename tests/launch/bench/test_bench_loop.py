"""The loop bench measures what it says it does; how fast this machine is, is nobody's assertion."""

from __future__ import annotations

import json
import shutil

import pytest

from launch.bench.loop import run


@pytest.mark.slow
def test_figures_are_flat_and_of_an_active_guardian() -> None:
    figures = run(seconds=1.0, rate_hz=200.0, loaded=False)
    assert json.loads(json.dumps(figures)) == figures
    assert 150 <= figures["ticks_count"] + figures["missed_deadlines_count"] <= 250
    assert figures["lateness_p50_us"] <= figures["lateness_p99_us"] <= figures["lateness_max_us"]
    assert figures["active_ratio"] > 0.0
    assert ("lateness_p999_ratio" in figures) == (shutil.which("cc") is not None)
