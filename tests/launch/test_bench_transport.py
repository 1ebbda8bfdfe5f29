"""The benchmark's figures are flat, complete, and nothing is lost while it measures."""

from __future__ import annotations

import json

import pytest

from launch.bench.transport import IMAGE_SHAPE, STATE_ELEMENTS, contract_of, run


def test_rows_have_the_advertised_content() -> None:
    assert contract_of("state").step_dtype()["observation"].shape == (STATE_ELEMENTS,)
    image = contract_of("image").step_dtype()["observation"]
    assert (image.shape, image.base.str) == (IMAGE_SHAPE, "|u1")


@pytest.mark.slow
def test_nothing_is_lost_or_doubled_and_the_yardstick_is_in_the_same_run() -> None:
    figures = run(0.6)
    assert json.loads(json.dumps(figures)) == figures
    for kind in ("state", "image"):
        assert figures[f"{kind}_sent_rows"] > 0
        assert figures[f"{kind}_lost_rows"] == figures[f"{kind}_doubled_rows"] == 0
        ratio = figures[f"{kind}_transitions_per_s"] / figures[f"{kind}_raw_zeromq_transitions_per_s"]
        assert figures[f"{kind}_throughput_ratio"] == pytest.approx(ratio)
        assert 0 < figures[f"{kind}_latency_p50_ms"] <= figures[f"{kind}_latency_p99_ms"]
