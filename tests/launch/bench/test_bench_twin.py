"""``sandlot bench twin`` measures something, and the same episodes at any number of threads."""

from __future__ import annotations

import pytest

from launch.bench.twin import run


@pytest.mark.slow
def test_shares_are_of_the_bare_physics() -> None:
    figures = run("oval", 3, 0.1, 1, None, 0.002, 2)
    assert figures["bit_identical"] == 1.0
    shares = [figures[f"share_with_{what}"] for what in ("firmware", "safety_kernel", "policy")]
    assert all(0.0 < share < 1.0 for share in shares)
    assert figures["control_steps_per_s"] == pytest.approx(20.0 * figures["times_real_time"])
    assert figures["smoke_gate_over_bare_physics"] > 1.0
