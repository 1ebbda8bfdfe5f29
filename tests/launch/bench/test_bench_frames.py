"""The bench of pictures reports flat figures, and the store it measures is within its budget."""

from __future__ import annotations

import json
import math

import pytest

from launch.bench.command import frames as command
from launch.options.bench_speed import BenchFramesOptions


@pytest.mark.slow
def test_figures_are_flat_and_finite(capsys: pytest.CaptureFixture[str]) -> None:
    assert command(BenchFramesOptions(frames=40, seconds=0.1, json=True)) == 0
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert all(math.isfinite(value) and value >= 0 for value in figures.values())
    assert figures["store_file_gb"] < 10
    assert figures["store_written_disk_gb"] < 0.01, "room that nothing was written to takes none"
    for name in ("drq", "small"):
        assert 0 < figures[f"{name}_drawing_ratio"] < 1
