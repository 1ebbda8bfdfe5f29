"""The task's noise says nothing; rows say who acted; the command goes on where it was."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from launch import cli
from launch.experiments import avtd
from launch.experiments.distracted import DISTRACTORS, STEPS, Distracted
from learners.environments.point_circle import PointCircle


def test_it_is_point_circle_beside_noise() -> None:
    noisy, plain = Distracted(), PointCircle()
    seen, other = [noisy.reset(seed=3)[0]], plain.reset(seed=3)[0]
    for k in range(1, STEPS + 1):
        action = np.full(2, 0.3, np.float32)
        observation, reward, terminated, truncated, _ = noisy.step(action)
        seen.append(observation)
        other, wanted, *_ = plain.step(action)
        np.testing.assert_array_equal(observation[:4], other)
        assert reward == wanted and not terminated and truncated == (k == STEPS)
    noise = np.array(seen)[:, 4:]
    assert noise.shape == (STEPS + 1, DISTRACTORS)
    assert abs(noise.mean()) < 0.1 and noise.std() == pytest.approx(1.0, abs=0.1)
    np.testing.assert_array_equal(noisy.reset(seed=3)[0], seen[0])


@pytest.mark.slow
def test_cases_that_are_there_are_not_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small = {**avtd.SETTINGS, "hidden": [8], "batch": 8, "updates_per_step": 1, "warmup": 250}
    monkeypatch.setattr(avtd, "SETTINGS", small)
    monkeypatch.setattr(avtd, "CASES", {case: avtd.CASES[case] for case in ("weight decay", "avtd")})
    monkeypatch.setattr(avtd, "EVALUATE_EVERY", 260)
    monkeypatch.setattr(avtd, "EVALUATIONS", 1)
    monkeypatch.setattr("learners.critic_health.EVERY", 10)
    made, file = [], tmp_path / "avtd.csv"
    measure = avtd._measure

    def short(case: str, seed: int, steps: int) -> list[dict[str, Any]]:
        made.append((case, seed))
        return measure(case, seed, 270)

    monkeypatch.setattr(avtd, "_measure", short)
    for seeds in (["0"], ["0", "1"]):
        with pytest.raises(SystemExit) as ended:
            cli.main(["experiment", "avtd", "--csv", str(file), "--seeds", *seeds])
        assert ended.value.code == 0
    assert made == [(case, seed) for seed in (0, 1) for case in avtd.CASES]
    with file.open(newline="") as opened:
        found = list(csv.DictReader(opened))
    assert [(row["case"], int(row["seed"]), int(row["step"])) for row in found] == [
        (*run, step) for run in made for step in (260, 270)
    ]
    names = [f"acted_{one.name.replace(' ', '_')}" for one in avtd.CANDIDATES]
    for row in found:
        shares = [float(row[name]) for name in names]
        if row["case"] == "avtd":
            assert sum(shares) == pytest.approx(1.0, abs=2e-3)
        else:
            assert shares == [0.0, 0.0, 0.0, 1.0]
        assert float(row["held_out_error"]) > 0
    assert file.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    assert "avtd: mean return" in capsys.readouterr().out


def test_the_summary_is_of_whole_runs_and_of_their_last_thirds() -> None:
    def row(case: str, seed: int, value: float, share: float) -> dict[str, str]:
        shares = {avtd._share(one): "0.0" for one in avtd.CANDIDATES}
        shares["acted_none"], shares["acted_dropout"] = str(share), str(1.0 - share)
        return {"case": case, "seed": str(seed), "return_mean": str(value), **shares}

    found = [row("none", 0, k, 1.0) for k in range(6)] + [row("avtd", s, 1.0, s) for s in (0, 1)]
    assert avtd.summary(found) == [
        "none: mean return 2.5 (2.5), late 4.5 (4.5)",
        "avtd: mean return 1.0 (1.0, 1.0), late 1.0 (1.0, 1.0), "
        "acted: none 50%, layer norm 0%, dropout 50%, weight decay 0%",
    ]
