"""A policy is refused unless it is what it says, for this robot and this task."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest

from robot.clock import MonotonicClock
from robot.errors import ContractMismatchError, PolicyError
from robot.policy import Policy, PolicyLoader


@pytest.fixture
def write(bench, contract):
    def write(**settings) -> Path:
        bench.publish_policy(5, **settings)
        return bench.directory / "000005.onnx"

    return write


def test_it_computes_what_the_graph_says(write, contract) -> None:
    policy = Policy(write(), contract, "calibrated")
    rng = np.random.default_rng(0)
    for _ in range(20):
        observation = rng.normal(size=contract.observation_size).astype(np.float32)
        noise = rng.normal(size=contract.action_size).astype(np.float32)
        at = contract.observation_layout.index("preview_2_y")
        expected = np.tanh(np.array([-0.5, 1.5 * observation[at]]) + noise)
        assert policy.act(observation, noise) == pytest.approx(expected, abs=1e-6)
    assert policy.version == 5


def test_the_runtime_keeps_no_identity_and_reports_nothing(tmp_path: Path) -> None:
    """ONNX Runtime 1.29 and later write a device identity into the cache directory and report their use."""
    quiet = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    homes = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-c", "import robot.policy"], env=quiet | homes, check=True)
    assert not list(tmp_path.rglob("*onnxruntime*"))


def test_another_contract_is_refused_with_the_difference(write, contract) -> None:
    first = contract.observation[0]
    other = msgspec.structs.replace(
        contract, observation=(msgspec.structs.replace(first, scale=3.0), *contract.observation[1:])
    )
    path = write(about={"contract": other.plain(), "contract_hash": other.hash()})
    with pytest.raises(
        ContractMismatchError, match=r"observation\[velocity_body\]\.scale: ours 2\.0, theirs 3\.0"
    ):
        Policy(path, contract, "calibrated")


@pytest.mark.parametrize(
    ("about", "message"),
    [
        ({"contract_hash": "f" * 64}, "does not belong to the contract"),
        ({"calibration_hash": "other"}, "quick gate"),
        ({"contract": {"robot": {}}}, "cannot be read"),
        ({"version": "five"}, "cannot be read"),
    ],
)
def test_wrong_metadata_is_refused(write, contract, about, message: str) -> None:
    with pytest.raises(PolicyError, match=message):
        Policy(write(about=about), contract, "calibrated")


def test_another_calibration_is_accepted_only_when_told(write, contract) -> None:
    assert Policy(write(about={"calibration_hash": "other"}), contract, None).version == 5


@pytest.mark.parametrize("content", [b"", b"not a model", None], ids=["empty", "noise", "cut"])
def test_a_file_that_is_no_model_is_refused_in_one_line(write, contract, content) -> None:
    path = write()
    path.write_bytes(path.read_bytes()[:300] if content is None else content)
    with pytest.raises(PolicyError) as caught:
        Policy(path, contract, "calibrated")
    assert "000005.onnx" in str(caught.value) and "\n" not in str(caught.value)


def test_a_policy_of_nan_is_refused_before_it_drives(write, contract) -> None:
    with pytest.raises(PolicyError, match="diverged"):
        Policy(write(bias=float("nan")), contract, "calibrated")


@pytest.mark.parametrize(
    ("name", "kind", "shape"),
    [("noise", onnx.TensorProto.FLOAT, []), ("noise", onnx.TensorProto.DOUBLE, ["N", 2])],
    ids=["scalar", "double"],
)
def test_another_signature_is_refused(write, contract, name: str, kind: int, shape: list) -> None:
    path = write()
    model = onnx.load(path)
    (given,) = (node for node in model.graph.input if node.name == name)
    given.CopyFrom(onnx.helper.make_tensor_value_info(name, kind, shape))
    if kind == onnx.TensorProto.DOUBLE:  # a sound model, only not one of ours
        model.graph.node.insert(0, onnx.helper.make_node("Cast", [name], ["cast"], to=onnx.TensorProto.FLOAT))
        next(node for node in model.graph.node if node.op_type == "Add").input[1] = "cast"
    onnx.save(model, path)
    with pytest.raises(PolicyError, match="inputs and output"):
        Policy(path, contract, "calibrated")


def test_the_learner_s_export_runs_here(bench, spec, contract) -> None:
    if importlib.util.find_spec("torch") is None:
        pytest.skip("the learner's exporter needs torch")
    import torch

    from learners.export import export_actor

    def weights(*shape: int) -> torch.Tensor:
        return 0.1 * torch.ones(shape)

    o, a = contract.observation_size, contract.action_size
    tensors = {
        "weight0": weights(o, 8),
        "bias0": weights(8),
        "mean_weight": weights(8, a),
        "mean_bias": weights(a),
        "log_std_weight": weights(8, a),
        "log_std_bias": weights(a),
    }
    path = bench.directory / "000009.onnx"
    path.write_bytes(export_actor(contract, tensors, 1, spec.calibration_hash(), 9))
    policy = Policy(path, contract, spec.calibration_hash())
    assert (
        policy.version == 9
        and np.abs(policy.act(np.ones(o, np.float32), np.ones(a, np.float32))).max() <= 1.0
    )


def test_a_loading_thread_delivers_refuses_and_destroys(bench, contract, monkeypatch) -> None:
    loader = PolicyLoader(
        bench.directory, contract, "calibrated", bench.board, MonotonicClock(), background=True
    )
    try:

        def wait(what):
            for _ in range(500):
                found = what()
                if found:
                    return found
                time.sleep(0.01)
            raise AssertionError("nothing came within 5 s")

        bench.publish_policy(1)
        first = wait(loader.take)
        bench.publish_policy(2, about={"calibration_hash": "other"})
        assert wait(loader.messages)[0].kind == "policy_refused"
        assert loader.take() is None
        with monkeypatch.context() as patch:  # somebody's bug must not end the thread unseen
            patch.setattr("robot.policy._check_signature", lambda *_: [].pop())
            bench.publish_policy(3)
            assert "IndexError" in wait(loader.messages)[0].text
        bench.publish_policy(4)
        assert wait(loader.take).version == 4
        loader.retire(first)
        wait(lambda: not loader._retired)
    finally:
        loader.close()
