"""The policy bench swaps what it says, refuses nothing, and reports plain numbers."""

from __future__ import annotations

import pytest

from launch.bench.policy import run


@pytest.mark.slow
def test_it_swaps_as_many_policies_as_asked() -> None:
    heard: list[float] = []
    report = run(5, rate_hz=50.0, progress=heard.append, realtime=False)
    assert report["swaps_count"] >= 5 and report["refused_count"] == 0 and heard[-1] == 1.0
    assert report["with_swaps_steps_count"] > 0 and report["without_swaps_steps_count"] > 0
    assert all(isinstance(v, int | float) for v in report.values())
    assert all(name.endswith(("_us", "_count", "_ratio", "_scheduling")) for name in report)
