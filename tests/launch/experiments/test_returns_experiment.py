"""The order of the runs, and that ours and theirs are made, judged and not made again."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from launch.experiments import returns
from launch.experiments.returns import CASES, ENVIRONMENTS, Case
from learners.environments.swing_up import STEPS
from robot.errors import SandlotError


def test_each_seed_is_whole_before_the_next_and_the_slow_ones_are_few() -> None:
    order = list(returns.runs([3, 4, 5]))
    assert len(order) == len(set(order)) == len(ENVIRONMENTS) * (3 * len(CASES) - 4)
    assert [seed for _, _, seed in order] == sorted(seed for _, _, seed in order)
    for slow in ("sbx droq", "10 critics"):
        assert {seed for _, case, seed in order if case == slow} == {3}


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SandlotError, match="did you mean droq"):
        returns.run(tmp_path / "returns.csv", [0], print, ["drog"])
    with pytest.raises(SandlotError, match="did you mean Hopper-v5"):
        returns.run(tmp_path / "returns.csv", [0], print, [], ["Hopper-v4"])


@pytest.mark.slow
def test_runs_are_made_once_and_judged_in_the_same_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(returns, "ENVIRONMENTS", ("no_such_suite/SwingUp-v0", "sandlot/SwingUp-v0"))
    monkeypatch.setattr(returns, "EVALUATE_EVERY", STEPS)
    monkeypatch.setattr(returns, "EVALUATIONS", 1)
    monkeypatch.setattr(returns, "WARMUP", STEPS)
    short = {
        "sac": Case("sac", 2 * STEPS),
        "sb3 sac": Case("sac", 2 * STEPS, "stable_baselines3"),
        "absent": Case("sac", 2 * STEPS, "no_such_package"),
    }
    monkeypatch.setattr(returns, "CASES", short)
    made, said = [], []
    measure = returns.measure

    def counted(environment: str, case: Case, seed: int, folder: Path) -> list[returns.Judged]:
        made.append((case, seed))
        return measure(environment, case, seed, folder)

    monkeypatch.setattr(returns, "measure", counted)
    for seeds, cases, environments in (
        ([0], ["sac"], ["no_such_suite/SwingUp-v0"]),
        ([0], ["sac"], []),
        ([0], [], []),
        ([0, 1], [], []),
    ):
        returns.run(tmp_path / "returns.csv", seeds, said.append, cases, environments)
        assert bool(made) is not bool(environments)
        if cases:
            assert {case for case, _ in made} <= {short["sac"]}
    for absent in ("no_such_suite", "no_such_package"):
        assert any(f"{absent} is not installed" in line for line in said)
    assert len(made) == len(set(made))
    with (tmp_path / "returns.csv").open(newline="") as file:
        found = list(csv.DictReader(file))
    assert len(found) == 2 * len(made) and {case for case, _ in made} >= {short["sac"]}
    assert {float(row["step"]) for row in found} == {STEPS, 2 * STEPS}
    assert all(np.isfinite(float(row["return_mean"])) for row in found)
    assert (tmp_path / "returns_SwingUp-v0.png").read_bytes().startswith(b"\x89PNG")
    assert not list((tmp_path / "returns").iterdir())
