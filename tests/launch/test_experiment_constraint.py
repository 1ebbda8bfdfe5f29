"""The figures of ``sandlot experiment constraint`` on made-up rows; what is there is not run again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from launch.experiments import constraint as experiment
from launch.experiments.constraint import LIMIT, METHODS, SMOOTH, Episode, summary, training_settings
from launch.options import ExperimentConstraintOptions


def rows(method: str, seed: int, costs: list[float]) -> list[Episode]:
    return [
        Episode(method=method, seed=seed, steps=100, step=200 * k, reward=float(k), cost=cost, multiplier=0.5)
        for k, cost in enumerate(costs)
    ]


def test_the_figures() -> None:
    steady = rows("PID", 0, [LIMIT] * 20)
    assert summary(steady) == {"worst_cost": LIMIT, "mean_excess": 0.0, "swing": 0.0, "return": 14.5}
    jump = rows("PID", 1, [LIMIT + 10.0] * 10 + [LIMIT] * 10)
    found = summary(steady + jump)
    costs = np.convolve([LIMIT + 10.0] * 10 + [LIMIT] * 10, np.ones(SMOOTH) / SMOOTH, "valid")
    assert found["worst_cost"] == LIMIT + 5.0
    assert found["mean_excess"] == pytest.approx((costs - LIMIT).mean() / 2)


def test_what_is_there_is_not_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    asked: list[tuple[str, int]] = []

    def run(method: str, seed: int, steps: int) -> list[Episode]:
        asked.append((method, seed))
        return rows(method, seed, [LIMIT] * 20)

    monkeypatch.setattr(experiment, "_run", run)
    csv = tmp_path / "constraint.csv"
    for seeds in ((0,), (0, 1)):
        assert experiment.constraint(ExperimentConstraintOptions(seeds=seeds, steps=100, csv=csv)) == 0
    assert sorted(asked) == sorted((method, seed) for method in METHODS for seed in (0, 1))
    assert csv.with_suffix(".png").stat().st_size > 0


def test_methods_differ_in_their_gains_only() -> None:
    one, other = (training_settings(method, 0, 100) for method in METHODS)
    assert one != other
    assert one.learner.cost_names == other.learner.cost_names == ("cost",)
