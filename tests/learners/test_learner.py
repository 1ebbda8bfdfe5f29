from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from learners.config import LearnerConfig
from learners.learner import Learner
from robot.contract import TaskContract
from robot.errors import ContractMismatchError, SandlotError, SpecError
from robot.messages import Actor

Rows = NDArray[np.void]
Experience = list[tuple[str, Rows]]
SETTINGS = {"hidden": (32, 32), "batch": 32, "warmup": 60, "updates_per_step": 2, "critics": 3}
SMALL = LearnerConfig(**SETTINGS)


def everything(learner: Learner) -> dict[str, object]:
    """All that decides what the learner does next."""
    arrays = {name: array.tobytes() for name, array in learner.algorithm.arrays().items()}
    more = {"rng": str(learner.rng.bit_generator.state), "pacing": learner.pacing.__dict__.copy()}
    return arrays | more | {"health": str(learner.health.plain())}


def add_all(learner: Learner, experience: Experience) -> None:
    for session, rows in experience:
        learner.add(session, rows)


@pytest.mark.slow
@pytest.mark.parametrize("rows_first", [True, False])
@pytest.mark.parametrize("dropout", [0.0, 0.1])
@pytest.mark.parametrize("operand", [torch.float32, torch.bfloat16])
def test_resuming_equals_never_having_stopped(
    contract: TaskContract,
    demonstration_and_practice: Experience,
    make_rows: Callable[..., Rows],
    tmp_path: Path,
    rows_first: bool,
    dropout: float,
    operand: torch.dtype,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("learners.engine.backend.operand_type", lambda wanted: operand)
    monkeypatch.setattr("learners.critic_health.EVERY", 3)
    config = LearnerConfig(**SETTINGS, dropout=dropout, held_out=0.3)  # the third episode
    later = make_rows(30, 9, Actor.POLICY, 3)

    def go_on(learner: Learner) -> None:
        for _ in range(3):
            learner.step()
        learner.add("s", later)
        while learner.due():
            learner.step()

    unbroken = Learner(contract, config, seed=4)
    add_all(unbroken, demonstration_and_practice)
    unbroken.pretrain(2)
    for _ in range(5):
        unbroken.step()
    unbroken.save(tmp_path, {"journal": 153})
    go_on(unbroken)

    resumed = Learner(contract, config, seed=99)
    if rows_first:
        add_all(resumed, demonstration_and_practice)
    assert resumed.load(tmp_path) == {"journal": 153}
    if not rows_first:
        add_all(resumed, demonstration_and_practice)
    go_on(resumed)
    assert everything(resumed) == everything(unbroken)
    assert resumed.metrics == unbroken.metrics
    assert resumed.export(1) == unbroken.export(1)
    assert resumed.updates == unbroken.updates == 2 * (2 + unbroken.pacing.done)


def test_the_seed_decides_everything(contract: TaskContract, demonstration_and_practice: Experience) -> None:
    def learnt(seed: int) -> bytes:
        learner = Learner(contract, SMALL, seed)
        add_all(learner, demonstration_and_practice)
        for _ in range(4):
            learner.step()
        return learner.export(1)

    assert learnt(0) == learnt(0) != learnt(1)


def test_two_learners_in_one_process_do_not_disturb_each_other(
    contract: TaskContract, demonstration_and_practice: Experience
) -> None:
    def make(matmul: str) -> Learner:
        learner = Learner(contract, LearnerConfig(**SETTINGS, matmul=matmul), 0)
        add_all(learner, demonstration_and_practice)
        return learner

    alone, one, other = make("float32"), make("float32"), make("bfloat16")
    for _ in range(3):
        alone.step()
    for _ in range(3):
        one.step()
        other.step()
    assert everything(one) == everything(alone)


def test_updates_are_due_after_the_warm_up_and_one_step_each(
    contract: TaskContract, make_rows: Callable[..., Rows]
) -> None:
    learner = Learner(contract, SMALL, 0)
    learner.add("s", make_rows(59))
    assert not learner.ready and learner.due() == 0
    with pytest.raises(SandlotError, match="59 steps of 60"):
        learner.step()
    learner.add("s", make_rows(21, 1, Actor.POLICY, 1))
    assert learner.ready and learner.due() == 20
    for _ in range(20):
        learner.step()
    assert learner.due() == 0
    assert learner.pacing.ratio == 2.0
    assert learner.updates == 40


def test_one_short_demonstration_is_enough_to_begin(
    contract: TaskContract, make_rows: Callable[..., Rows]
) -> None:
    learner = Learner(contract, LearnerConfig(hidden=(32, 32), warmup=3), 0)
    learner.add("s", make_rows(5, 0, Actor.SCRIPT))
    metrics = learner.pretrain(3)
    learner.step()
    assert all(np.isfinite(v) for v in metrics.values())


def test_metrics_that_are_not_finite_are_the_same_after_a_checkpoint(
    contract: TaskContract, make_rows: Callable[..., Rows], tmp_path: Path
) -> None:
    """Without a discount nothing bounds the values."""
    config = LearnerConfig(hidden=(32, 32), warmup=3, discount=1.0)
    learner, resumed = Learner(contract, config, 0), Learner(contract, config, 0)
    learner.add("s", make_rows(5, 0, Actor.SCRIPT))
    learner.pretrain(1)
    learner.metrics["held_out_error"] = np.inf
    learner.save(tmp_path)
    resumed.load(tmp_path)
    assert learner.metrics["value_lower_bound"] == -np.inf
    assert resumed.metrics == learner.metrics


def test_a_diverged_actor_is_never_exported_and_leaves_the_checkpoints_alone(
    contract: TaskContract, tmp_path: Path
) -> None:
    learner = Learner(contract, SMALL, 0)
    sound = learner.save(tmp_path)
    before = sound.read_bytes()
    learner.algorithm.actor.published.flat[3] = np.nan
    with pytest.raises(SandlotError, match="not finite"):
        learner.export(1)
    with pytest.raises(SandlotError, match="not finite"):
        learner.save(tmp_path)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [before]


def test_another_contract_s_or_configuration_s_checkpoint_is_refused(
    contract: TaskContract, tmp_path: Path
) -> None:
    Learner(contract, SMALL, 0).save(tmp_path)
    with pytest.raises(ContractMismatchError, match=r"config\.critics"):
        Learner(contract, LearnerConfig(**{**SETTINGS, "critics": 4}), 0).load(tmp_path)


@pytest.mark.parametrize(
    "wrong",
    [
        {"critics": 1},
        {"hidden": ()},
        {"batch": 0},
        {"dropout": 1.0},
        {"prior_fraction": 1.5},
        {"discount": 2.0},
        {"polyak": 0.0},
        {"initial_temperature": 0.0},
        {"capacity": 1},
        {"warmup": -1},
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(SpecError, match="learner: "):
        LearnerConfig(**wrong)


def test_a_state_is_a_copy_that_another_learner_goes_on_from(
    contract: TaskContract, demonstration_and_practice: Experience
) -> None:
    one, two = Learner(contract, SMALL, seed=0), Learner(contract, SMALL, seed=1)
    add_all(one, demonstration_and_practice)
    batches = [one.experience.batch(np.random.default_rng(k)) for k in range(3)]
    one.update(batches[0])
    state = one.state_dict()
    kept = {name: array.copy() for name, array in state.items()}
    one.update(batches[1])
    one.update(batches[2])
    assert (one.state_dict()["actor"] != state["actor"]).any()
    two.load_state_dict(state)
    for batch in batches[1:]:
        two.update(batch)
    assert {n: a.tobytes() for n, a in two.state_dict().items()} == {
        n: a.tobytes() for n, a in one.state_dict().items()
    }
    assert all((state[name] == array).all() for name, array in kept.items())
    assert two.updates == 2 * SMALL.updates_per_step and two.alarm == ""


def test_batches_of_the_caller_s_own_are_not_counted_against_the_ratio(
    contract: TaskContract, demonstration_and_practice: Experience
) -> None:
    learner = Learner(contract, SMALL, seed=0)
    add_all(learner, demonstration_and_practice)
    owed = learner.due()
    assert owed > 0 and learner.update(learner.experience.batch(learner.rng))["critic_loss"] > 0
    assert learner.due() == owed and learner.updates == SMALL.updates_per_step


def test_a_state_of_other_networks_is_refused_whole(contract: TaskContract) -> None:
    other = Learner(contract, LearnerConfig(**SETTINGS | {"hidden": (16, 32)}), seed=1).state_dict()
    learner = Learner(contract, SMALL, seed=0)
    before = everything(learner)
    for state in (other, {k: v for k, v in learner.state_dict().items() if k != "targets"}):
        with pytest.raises(ContractMismatchError, match=r"critics|targets"):
            learner.load_state_dict(state)
    assert everything(learner) == before
