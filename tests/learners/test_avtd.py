from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from learners.avtd import SMOOTHING, Avtd, choose, smoothed
from learners.avtd_config import AvtdConfig, Regulariser
from learners.config import LearnerConfig
from learners.learner import Learner
from learners.presets import preset
from learners.sac import Assessment, Batch
from robot.contract import TaskContract
from robot.errors import SpecError
from robot.messages import Actor

Rows = NDArray[np.void]
SMALL = {"hidden": (16, 16), "batch": 16, "warmup": 0, "updates_per_step": 2, "held_out": 0.5}
FOUR = AvtdConfig(**SMALL)
NAN = math.nan


def test_the_one_with_the_least_error_is_chosen() -> None:
    assert choose([NAN, NAN], 1) == 1
    assert choose([0.3, 0.2, 0.4], 0) == 1
    assert choose([0.2, 0.2], 1) == 1  # no change without a reason
    assert choose([NAN, 0.5], 0) == 1
    assert choose([math.inf, 0.5, 0.4], 0) == 2


def test_the_average_forgets() -> None:
    average = smoothed(NAN, 1.0)
    assert average == 1.0
    for _ in range(3):
        average = smoothed(average, 0.0)
    assert average == pytest.approx((1.0 - SMOOTHING) ** 3)


def learner(
    contract: TaskContract, make_rows: Callable[..., Rows], seed: int = 0, config: LearnerConfig = FOUR
) -> Learner:
    made = Learner(contract, config, seed)
    for number in range(2):  # of two episodes the second is held out
        made.add("s", make_rows(60, number, Actor.POLICY, number))
    return made


def test_who_acts_is_who_was_best_on_unseen_episodes(
    contract: TaskContract, make_rows: Callable[..., Rows], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Made-up errors: the third is best at first, then the second, for so long that its average is."""
    monkeypatch.setattr("learners.critic_health.EVERY", 1)
    made = learner(contract, make_rows)
    avtd = made.algorithm
    assert isinstance(avtd, Avtd)
    errors = [0.5, 0.4, 0.1, 0.6]

    def judge(k: int) -> Callable[[Batch, int], Assessment]:
        target = torch.tensor([-1.0, 1.0])
        return lambda batch, seed: Assessment(target[None] + math.sqrt(errors[k]), target)

    for k, candidate in enumerate(avtd.candidates):
        monkeypatch.setattr(candidate, "assess", judge(k))
    made.step()
    assert avtd.active == 2 and made.metrics["held_out_error"] == pytest.approx(0.1)
    assert made.export(1) == avtd.candidates[2].export("", 1) != avtd.candidates[1].export("", 1)
    errors[:] = [0.5, 0.05, 0.3, 0.6]
    active = []
    for _ in range(20):
        made.step()
        active.append(avtd.active)
    change = active.index(1)
    assert 0 < change < 19 and active == [2] * change + [1] * (20 - change)
    assert made.metrics["active"] == 1.0 and made.metrics["held_out_error_layer_norm"] < 0.1


def test_who_diverges_between_two_looks_acts_no_more(
    contract: TaskContract, make_rows: Callable[..., Rows]
) -> None:
    made = learner(contract, make_rows)
    avtd = made.algorithm
    assert isinstance(avtd, Avtd)
    made.step()
    avtd.averages[:] = [0.4, 0.1, 0.3, 0.2]
    avtd.active = 1
    for diverged, next_best in ((1, 3), (3, 2)):
        avtd.candidates[diverged].arrays()["published"][:] = np.nan
        made.step()
        assert avtd.active == next_best
        assert np.isfinite(made.act(np.zeros(contract.observation_size, np.float32))).all()


def test_candidates_learn_as_they_would_alone(contract: TaskContract, make_rows: Callable[..., Rows]) -> None:
    every = (*FOUR.regularisers, Regulariser(name="spectral norm", spectral_norm=True))
    together = learner(contract, make_rows, config=AvtdConfig(**SMALL, regularisers=every))
    together.pretrain(3)
    arrays = together.algorithm.arrays()
    settings = (
        {"layer_norm": False},
        {},
        {"dropout": 0.01},
        {"layer_norm": False, "weight_decay": 0.01},
        {"layer_norm": False, "spectral_norm": True},
    )
    for k, own in enumerate(settings):
        alone = learner(contract, make_rows, config=LearnerConfig(**SMALL, **own))
        alone.pretrain(3)
        for name, array in alone.algorithm.arrays().items():
            np.testing.assert_array_equal(arrays[f"candidate{k}.{name}"], array)


def test_resuming_equals_never_having_stopped(
    contract: TaskContract, make_rows: Callable[..., Rows], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("learners.critic_health.EVERY", 2)
    whole, again = learner(contract, make_rows), learner(contract, make_rows, seed=7)
    whole.pretrain(3)
    whole.save(tmp_path)
    again.load(tmp_path)
    for one in (whole, again):
        one.pretrain(4)
    assert whole.metrics == again.metrics
    assert whole.export(1) == again.export(1)
    ours, theirs = whole.algorithm.arrays(), again.algorithm.arrays()
    for name in ours:
        np.testing.assert_array_equal(ours[name], theirs[name])


def test_settings_that_make_no_sense_are_refused() -> None:
    twice = (Regulariser(name="a"), Regulariser(name="a", dropout=0.1))
    for wrong in ({"regularisers": ()}, {"regularisers": twice}, {"held_out": 0.0}):
        with pytest.raises(SpecError, match="learner: "):
            AvtdConfig(**wrong)  # type: ignore[arg-type]
    for name, value in (
        ("layer_norm", False),
        ("dropout", 0.5),
        ("weight_decay", 0.7),
        ("spectral_norm", True),
    ):
        with pytest.raises(SpecError, match=f"learner: {name}: .* `regularisers`"):
            preset("avtd", {name: value})
    with pytest.raises(SpecError, match="regulariser: "):
        Regulariser(name="a", dropout=1.0)
