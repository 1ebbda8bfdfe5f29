"""The figures of ``sandlot experiment constraint`` on made-up rows; what is there is not run again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from launch import cli
from launch.bench.practice import append, rows
from launch.experiments import constraint as experiment
from launch.experiments.constraint import CASES, LIMIT, SMOOTH, Figures, best, summary

CASE = "PID 0.05"


def episodes(case: str, seed: int, costs: list[float]) -> list[dict[str, Any]]:
    return [
        {"case": case, "seed": str(seed), "step": 200 * k, "return": k, "cost": cost, "multiplier": 0.5}
        for k, cost in enumerate(costs)
    ]


def test_the_figures() -> None:
    steady = episodes(CASE, 0, [LIMIT] * 20)
    assert summary(steady, CASE) == Figures(LIMIT, 0.0, LIMIT, 0.0, 14.5)
    jump = episodes(CASE, 1, [LIMIT + 10.0] * 10 + [LIMIT] * 10)
    other = episodes("integral 0.05", 1, [1000.0] * 20)
    found = summary(steady + jump + other, CASE)
    costs = np.convolve([LIMIT + 10.0] * 10 + [LIMIT] * 10, np.ones(SMOOTH) / SMOOTH, "valid")
    assert found.worst_cost == LIMIT + 5.0
    assert found.mean_excess == pytest.approx((costs - LIMIT).mean() / 2)
    assert found.late_swing == pytest.approx(costs[10:].std() / 2)


def test_the_best_earns_most_within_the_limit() -> None:
    within = {"a": Figures(0, 0, LIMIT, 0, 1.0), "b": Figures(0, 0, LIMIT, 0, 2.0)}
    beyond = {"c": Figures(0, 0, LIMIT + 1, 0, 3.0), "d": Figures(0, 0, LIMIT + 2, 0, 4.0)}
    assert best(within | beyond) == "b"
    assert best(beyond) == "c"


def test_cases_differ_in_their_gains_only_and_both_methods_get_the_same_integral_ones() -> None:
    assert {(one.cost, one.limit, one.per, one.delay, one.smoothing) for one in CASES.values()} == {
        ("cost", LIMIT, "episode", 10, 0.8)
    }
    plain = [one.integral for one in CASES.values() if one.proportional == one.derivative == 0.0]
    damped = [one.integral for one in CASES.values() if one.proportional == one.derivative == 0.2]
    assert plain == damped and len(plain) + len(damped) == len(CASES)


@pytest.mark.slow
def test_what_is_there_is_not_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[str, int]] = []

    def short(case: str, seed: int, steps: int) -> list[dict[str, Any]]:
        made.append((case, seed))
        return episodes(case, seed, [LIMIT] * 20)

    monkeypatch.setattr(experiment, "_measure", short)
    file = tmp_path / "constraint.csv"
    for seeds in (["0"], ["0", "1"]):
        with pytest.raises(SystemExit) as ended:
            cli.main(["experiment", "constraint", "--csv", str(file), "--seeds", *seeds])
        assert ended.value.code == 0
    assert made == [(case, seed) for seed in (0, 1) for case in CASES]
    assert file.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_a_run_s_rows_are_its_episodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = {**experiment.SETTINGS, "hidden": [8], "batch": 8, "warmup": 200}
    monkeypatch.setattr(experiment, "SETTINGS", small)
    append(tmp_path / "constraint.csv", *experiment._measure(CASE, 0, 600))
    found = rows(tmp_path / "constraint.csv")
    assert [row["step"] for row in found] == ["200", "400", "600"]
    assert all(row["case"] == CASE and 0 <= float(row["cost"]) <= 200 for row in found)
    assert float(found[0]["multiplier"]) == 0.0, "random steps are not measured"
