"""Large forces upset a load that hangs, any forces one that stands; the command goes on where it was."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from launch import cli
from launch.experiments import growth
from launch.experiments.carrier import DRAG, FASTEST, STEPS, Carrier
from learners.environments.swing_up import FORCE


def lasts(share: float, standing: bool) -> float:
    """Mean length of episodes of random actions [steps]."""
    carrier, rng, lengths = Carrier(standing=standing), np.random.default_rng(0), []
    for seed in range(10):
        carrier.reset(seed=seed)
        ended, length = False, 0
        while not ended:
            _, _, terminated, truncated, _ = carrier.step(share * rng.uniform(-1, 1, 1))
            ended, length = terminated or truncated, length + 1
        lengths.append(length)
    return float(np.mean(lengths))


def test_small_forces_do_not_upset_what_hangs_and_do_upset_what_stands() -> None:
    assert lasts(0.2, standing=False) == STEPS
    assert lasts(1.0, standing=False) < STEPS / 2
    assert lasts(0.2, standing=True) < STEPS / 5


def test_the_fastest_that_is_paid_takes_most_of_the_force() -> None:
    carrier = Carrier()
    carrier.reset(seed=0)
    share = FASTEST * DRAG / FORCE
    for step in range(STEPS):  # gently
        _, reward, upset, _, _ = carrier.step(np.array([share * min(1.0, step / 100)]))
        assert not upset
    assert share == 0.8 and reward == pytest.approx(1.0, abs=0.05)


@pytest.mark.slow
def test_a_case_that_is_there_is_not_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = {"hidden": [8], "batch": 8, "updates_per_step": 1, "warmup": 50}
    cases = ("hanging, growing", "standing, whole")
    for name, value in (
        ("SHARED", small),
        ("CASES", cases),
        ("STEPS", 120),
        ("EARLY", 60),
        ("EVALUATE_EVERY", 60),
        ("EVALUATIONS", 1),
    ):
        monkeypatch.setattr(growth, name, value)
    file = tmp_path / "growth.csv"
    found = []
    for seeds in (["0"], ["0", "1"]):
        with pytest.raises(SystemExit) as ended:
            cli.main(["experiment", "growth", "--csv", str(file), "--seeds", *seeds])
        assert ended.value.code == 0
        with file.open(newline="") as opened:
            found.append(list(csv.DictReader(opened)))
    assert found[1][: len(found[0])] == found[0]
    made = [(row["seed"], row["case"], row["step"]) for row in found[1]]
    assert made == [(seed, case, step) for seed in "01" for case in cases for step in ("60", "120")]
    assert {row["action_share"] for row in found[1] if row["case"] == cases[0]} == {"0.3"}
    assert int(found[1][3]["failures"]) > 3
    assert file.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
