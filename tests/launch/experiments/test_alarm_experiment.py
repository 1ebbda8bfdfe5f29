"""What is counted of an alarm, and that the experiment's command goes on where it was."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from launch import cli
from launch.experiments import alarm
from learners.critic_health import CriticHealth
from learners.value_bound import RewardRange


@dataclass
class Told:
    """A learner of rewards in [-1, 1], whose health somebody else decides."""

    updates: int = 0
    alarm: str = ""
    health: CriticHealth = field(default_factory=lambda: CriticHealth(0))
    experience: SimpleNamespace = field(default_factory=lambda: SimpleNamespace(rewards=RewardRange()))
    config: SimpleNamespace = field(default_factory=lambda: SimpleNamespace(discount=0.9))

    def __post_init__(self) -> None:
        self.experience.rewards.add(np.array([-1.0, 1.0]), np.array([False, False]))


def test_what_is_counted_of_an_alarm() -> None:
    learner, watch = Told(), alarm.Watch()
    for updates, text, value in (
        (4, "", 5.0),
        (8, "values outside what rewards allow", -30.0),
        (8, "values outside what rewards allow", -30.0),  # no update since
        (12, "values outside what rewards allow", -40.0),
        (16, "", 8.0),
        (20, "the error on held-out episodes rises", 1.0),
        (24, "values are not finite", math.inf),
    ):
        learner.updates, learner.alarm, learner.health.values = updates, text, (value, value)
        watch.look(learner)  # type: ignore[arg-type]
    assert (watch.first_alarm, watch.rule, watch.size_at_alarm) == (8, "bound", pytest.approx(3.0))
    assert (watch.alarms, watch.alarmed_updates, watch.diverged) == (2, 16, 24)
    assert watch.largest == math.inf


@pytest.mark.slow
def test_a_case_that_is_there_is_not_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = {"hidden": [8], "batch": 8, "updates_per_step": 20, "warmup": 20, "matmul": "float32"}
    cases = {
        name: case._replace(settings=small) for name, case in alarm.CASES.items() if "online" not in name
    }
    for name, value in (("CASES", cases), ("UPDATES", 400), ("DEMONSTRATIONS", 1)):
        monkeypatch.setattr(alarm, name, value)
    file, found = tmp_path / "alarm.csv", []
    for seeds in (["0"], ["0", "1"]):
        with pytest.raises(SystemExit) as ended:
            cli.main(["experiment", "alarm", "--csv", str(file), "--seeds", *seeds])
        assert ended.value.code == 0
        with file.open(newline="") as opened:
            found.append(list(csv.DictReader(opened)))
    assert found[1][: len(found[0])] == found[0]
    assert [(row["case"], row["seed"]) for row in found[1]] == [(c, s) for s in "01" for c in cases]
    assert {row["updates"] for row in found[1]} == {"400"}
    assert {row["first_alarm"] for row in found[1]} == {"nan"}
    assert file.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
