"""Two modes: what a Gaussian makes of them, and that the experiment's command goes on where it was."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from launch import cli
from launch.experiments import fork, offline
from learners.environments.contract import environment_contract
from learners.environments.episodes import Episodes
from learners.environments.evaluation import evaluate
from learners.learner import Learner
from learners.presets import preset


def test_both_ways_past_an_obstacle_are_the_best_and_the_middle_is_worth_nothing() -> None:
    actions = np.linspace(-1, 1, 20001)
    for obstacle in (-0.3, 0.0, 0.2):
        rewards = fork.reward_of(obstacle, actions)
        for side in (actions < obstacle, actions > obstacle):
            best = actions[side][rewards[side].argmax()]
            assert abs(best - obstacle) == pytest.approx(fork.CLEARANCE, abs=1e-3)
            assert rewards[side].max() == pytest.approx(1.0, abs=1e-6)
        assert fork.reward_of(obstacle, obstacle) < 1e-5


def test_half_of_the_demonstrations_mean_it() -> None:
    rows = np.concatenate(list(fork.demonstrations(200, 0)))
    rows = rows[~rows["last"]]
    assert len(rows) == 200 * fork.OBSTACLES
    beside = rows["action"][:, 0] - rows["observation"][:, 0]
    meant = np.abs(np.abs(beside) - fork.CLEARANCE) < 2 * fork.SPREAD
    assert meant.mean() == pytest.approx(0.5 * 0.954 + 0.5 * 4 * fork.SPREAD, abs=0.03)
    assert (beside > 0).mean() == pytest.approx(0.5, abs=0.03)


@pytest.mark.slow
def test_a_choice_among_samples_keeps_to_a_mode_and_a_gaussian_does_not() -> None:
    """The experiment in small: 400 updates."""

    def learned(case: str) -> float:
        algorithm, settings = offline.CASES[case]
        fast = {"learning_rate": 3e-3, "actor_decay_steps": 400}
        contract = environment_contract(fork.Fork(), fork.NAME)
        learner = Learner(contract, preset(algorithm, {**offline.SHARED, **settings, **fast}), 0)
        for rows in fork.demonstrations(200, 0):
            learner.add("demonstrations", rows)
        learner.pretrain(400)
        judged = Episodes(fork.Fork(), contract, fork.OBSTACLES)
        return float(evaluate(judged, lambda seen, images: learner.act(seen), range(10)).returns.mean())

    assert learned("idql 16 candidates") > 7.0
    assert learned("iql") < 2.0
    assert learned("bc") < 1.0


@pytest.mark.slow
def test_the_command_appends_rows_once_and_draws_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in (("UPDATES", 3), ("EPISODES", 2), ("EVALUATIONS", 2)):
        monkeypatch.setattr(offline, name, value)
    file = tmp_path / "new" / "offline.csv"

    def called(*seeds: str) -> list[dict[str, Any]]:
        with pytest.raises(SystemExit) as ended:
            cli.main(("experiment", "offline", "--csv", str(file), "--seeds", *seeds))
        assert not ended.value.code
        with file.open() as text:
            return list(csv.DictReader(text))

    first = called("0")
    assert [row["case"] for row in first] == list(offline.CASES)
    both = called("0", "1")
    assert both[: len(first)] == first, "not run again"
    assert [row["seed"] for row in both] == ["0"] * len(first) + ["1"] * len(first)
    assert file.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    assert "case bc, seed 1" in capsys.readouterr().out
