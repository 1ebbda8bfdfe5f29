from __future__ import annotations

import json

import msgspec
import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from learners.config import LearnerConfig
from learners.learner import Learner
from learners.networks import sample
from robot.contract import TaskContract


def open_session(exported: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(exported, options, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("hidden", [(256, 256), (32,), (16, 24, 8)])
@pytest.mark.parametrize("spread", [1.0, 30.0])
def test_the_file_acts_as_the_actor_does(
    contract: TaskContract, hidden: tuple[int, ...], spread: float
) -> None:
    """``spread`` 30 drives log-std into its bounds and tanh into saturation."""
    learner = Learner(contract, LearnerConfig(hidden=hidden, batch=64, matmul="float32"), seed=3)
    sac = learner.algorithm
    rng = np.random.default_rng(0)
    published = sac.actor.published
    published.tensors["mean_bias"].copy_(torch.from_numpy(rng.normal(size=2)))
    published.tensors["log_std_bias"].copy_(torch.from_numpy(rng.normal(size=2)))
    sac.actor.parameters.copy_(published.flat)
    observation = (spread * rng.normal(size=(64, contract.observation_size))).astype(np.float32)
    session = open_session(learner.export(7))
    for noise in (np.zeros((64, 2), np.float32), rng.normal(size=(64, 2)).astype(np.float32)):
        mean, log_std = sac.actor(sac.normalise(torch.from_numpy(observation))[None])
        ours, _ = sample(mean[0], log_std[0], torch.from_numpy(noise))
        (theirs,) = session.run(["action"], {"observation": observation, "noise": noise})
        np.testing.assert_allclose(theirs, ours.numpy(), atol=1e-5)
        (one,) = session.run(None, {"observation": observation[:1], "noise": noise[:1]})
        np.testing.assert_allclose(one, theirs[:1], atol=1e-6)


def test_the_file_carries_its_contract_at_full_precision(contract: TaskContract) -> None:
    learner = Learner(contract, LearnerConfig(), seed=0, calibration_hash="cal")
    exported = learner.export(12)
    model = onnx.load_model_from_string(exported)
    onnx.checker.check_model(model, full_check=True)
    assert model.ir_version <= 9 and model.opset_import[0].version <= 19  # what onnxruntime 1.17 reads
    about = json.loads(open_session(exported).get_modelmeta().custom_metadata_map["sandlot"])
    assert (about["contract_hash"], about["calibration_hash"], about["version"]) == (
        contract.hash(),
        "cal",
        12,
    )
    assert msgspec.convert(about["contract"], TaskContract) == contract


def test_equal_actors_give_equal_bytes(contract: TaskContract) -> None:
    one, two = (Learner(contract, LearnerConfig(), seed=0).export(1) for _ in range(2))
    assert one == two
