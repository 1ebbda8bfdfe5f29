"""The demonstrator knows its task and is clumsy at it; the experiment's command goes on where it was."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from launch import cli
from launch.experiments import prior
from launch.experiments.swing_up_demonstrator import demonstrations, random_episodes
from learners.engine.precision import operand_type
from learners.environments.swing_up import STEPS


def returns(noise: float) -> list[float]:
    return [float(rows["reward"].sum()) for rows in demonstrations(4, 0, noise)]


def test_the_demonstrator_swings_up_and_its_noise_makes_it_clumsy() -> None:
    assert min(returns(0.0)) > 80
    assert 5 < np.mean(returns(0.45)) < 60


def test_random_actions_see_no_reward() -> None:
    rewards = np.concatenate([rows["reward"] for rows in random_episodes(5, 0)])
    assert len(rewards) >= 5 * STEPS and rewards.sum() < 1.0


@pytest.mark.slow
def test_a_case_that_is_there_is_not_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = {"hidden": [8], "batch": 8, "updates_per_step": 1, "critics": 2, "warmup": 50}
    monkeypatch.setattr(prior, "SHARED", small)
    monkeypatch.setattr(prior, "SHARED_OFFLINE", {"hidden": [8], "batch": 8})
    monkeypatch.setattr(prior, "OFFLINE_UPDATES", 2)
    monkeypatch.setattr(prior, "EVALUATIONS", 1)
    monkeypatch.setattr(prior, "OFFLINE_EVALUATIONS", 1)
    cases = {name: case._replace(random=min(case.random, 1)) for name, case in prior.CASES.items()}
    monkeypatch.setattr(prior, "CASES", cases)
    made, file = [], tmp_path / "prior.csv"
    measure = prior._measure

    def short(case: str, seed: int, steps: int) -> list[dict[str, Any]]:
        made.append((case, seed))
        return measure(case, seed, 60)

    monkeypatch.setattr(prior, "_measure", short)
    for seeds in (["0"], ["0", "1"]):
        with pytest.raises(SystemExit) as ended:
            cli.main(["experiment", "prior", "--csv", str(file), "--seeds", *seeds])
        assert ended.value.code == 0
    possible = set(prior.CASES) - ({"bfloat16"} if operand_type("bfloat16") == torch.float32 else set())
    assert made == [(case, seed) for seed in (0, 1) for case in prior.CASES if case in possible]
    with file.open(newline="") as opened:
        found = list(csv.DictReader(opened))
    assert [(row["case"], int(row["seed"])) for row in found] == made
    assert file.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
