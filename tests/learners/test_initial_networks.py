from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray

from learners.learner import Learner
from learners.presets import preset
from robot.contract import TaskContract
from robot.errors import ContractMismatchError, SandlotError
from robot.messages import Actor

Rows = NDArray[np.void]
SMALL: dict[str, Any] = {"hidden": [16, 8], "batch": 16, "updates_per_step": 2, "matmul": "float32"}
ONLINE: dict[str, Any] = SMALL | {"critics": 2}


@pytest.fixture
def offline(contract: TaskContract, make_rows: Callable[..., Rows], tmp_path: Path) -> Callable[..., Learner]:
    """``offline(algorithm, **settings)``: after ten updates, its checkpoint in ``tmp_path / checkpoints``."""

    def make(algorithm: str, **settings: Any) -> Learner:
        learner = Learner(contract, preset(algorithm, SMALL | {"actor_average": 0.3} | settings), 1)
        learner.add("s", make_rows(60, actor=Actor.SCRIPT))
        learner.pretrain(10)
        learner.save(tmp_path / "checkpoints")
        return learner

    return make


@pytest.mark.parametrize("algorithm", ["bc", "iql"])
@pytest.mark.parametrize("online", ["rlpd", "sac"])
def test_the_first_policy_is_the_offline_one(
    contract: TaskContract, offline: Callable[..., Learner], tmp_path: Path, algorithm: str, online: str
) -> None:
    before = offline(algorithm)
    learner = Learner(contract, preset(online, ONLINE | {"layer_norm": True}), 2)
    mine = learner.algorithm.critics.parameters.flat.clone()
    learner.begin_with(tmp_path)
    rng = np.random.default_rng(0)
    observation = rng.normal(size=(50, contract.observation_size)).astype(np.float32)
    noise = np.zeros((50, 2), np.float32)
    policies = [
        onnxruntime.InferenceSession(one.export(1), providers=["CPUExecutionProvider"]).run(
            None, {"observation": observation, "noise": noise}
        )[0]
        for one in (before, learner)
    ]
    np.testing.assert_array_equal(*policies)
    assert [learner.act(o).tolist() for o in observation] == [before.act(o).tolist() for o in observation]
    if algorithm == "bc":  # critics it has none, and its noise is the same
        assert (
            learner.act(observation[0], noise[0] + 1).tolist()
            == before.act(observation[0], noise[0] + 1).tolist()
        )
        assert torch.equal(learner.algorithm.critics.parameters.flat, mine)
    else:
        theirs = before.algorithm.critics.q
        for name in ("parameters", "targets"):
            assert torch.equal(getattr(learner.algorithm.critics, name).flat, getattr(theirs, name).flat)
        assert not torch.equal(theirs.parameters.flat, theirs.targets.flat)


def test_it_learns_on_from_there_and_its_products_read_what_was_taken_over(
    contract: TaskContract, make_rows: Callable[..., Rows], offline: Callable[..., Learner], tmp_path: Path
) -> None:
    """In bfloat16 products read rounded copies of the weights: they are of the new ones."""
    offline("iql", matmul="bfloat16")
    learner = Learner(contract, preset("rlpd", ONLINE | {"matmul": "bfloat16"}), 2)
    learner.begin_with(tmp_path / "checkpoints")
    for parameters in (learner.algorithm.actor.parameters, learner.algorithm.critics.targets):
        for name, operand in parameters.operands.items():
            assert torch.equal(operand, parameters.tensors[name].to(operand.dtype))
    before = learner.export(1)
    learner.add("s", make_rows(60))
    learner.pretrain(1)
    assert learner.export(1) != before


@pytest.mark.parametrize(
    ("algorithm", "theirs", "ours", "said"),
    [
        ("iql", {}, {"critics": 10}, "critics: ours 10, theirs 2"),
        ("iql", {}, {"hidden": [16, 9]}, r"hidden\[1\]: ours 9, theirs 8"),
        ("iql", {}, {"layer_norm": False}, "layer_norm: ours False, theirs True"),
        ("iql", {}, {"spectral_norm": True}, "spectral_norm: ours True, theirs False"),
        ("iql", {}, {"discount": 0.9}, "discount: ours 0.9, theirs 0.99"),
        ("iql", {"reward_scale": 2.0}, {}, "reward_scale: ours 1.0, theirs 2.0"),
        ("bc", {}, {"hidden": [16]}, "hidden: ours has 1, theirs 2"),
        ("idql", {}, {}, "expected a checkpoint of bc or iql to begin with; got one of idql"),
        ("rlpd", {"warmup": 0}, {}, "got one of sac"),
    ],
)
def test_what_does_not_fit_is_refused_in_words_and_changes_nothing(
    contract: TaskContract,
    offline: Callable[..., Learner],
    tmp_path: Path,
    algorithm: str,
    theirs: dict[str, Any],
    ours: dict[str, Any],
    said: str,
) -> None:
    offline(algorithm, **theirs)
    learner = Learner(contract, preset("rlpd", ONLINE | ours), 2)
    before = learner.export(1)
    with pytest.raises(SandlotError, match=said):
        learner.begin_with(tmp_path)
    assert learner.export(1) == before


def test_another_contract_and_other_learners_are_refused(
    contract: TaskContract, offline: Callable[..., Learner], tmp_path: Path
) -> None:
    offline("bc")
    other = msgspec.structs.replace(contract, policy_hz=10.0)
    with pytest.raises(ContractMismatchError, match=r"policy_hz: ours 10\.0, theirs 20\.0"):
        Learner(other, preset("rlpd", ONLINE), 2).begin_with(tmp_path)
    with pytest.raises(
        SandlotError, match="for rlpd and its relatives; this learner's settings are BcConfig"
    ):
        Learner(contract, preset("bc", SMALL), 2).begin_with(tmp_path)
    with pytest.raises(SandlotError, match="expected a whole checkpoint"):
        Learner(contract, preset("rlpd", ONLINE), 2).begin_with(tmp_path / "checkpoints" / "none")
