"""Gates that judge the policy's file: for another robot, broken, or not finite where nobody looked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from onnx import NodeProto, helper

from learners.export import policy_file
from robot.contract import TaskContract, task_contract
from robot.practice.course import load_course
from robot.practice.lap_task import LapTask
from robot.spec import load_spec
from sim.validation.network import (
    NetworkProbe,
    Parity,
    contract_gate,
    largest_difference,
    network_gate,
    probe,
)
from sim.validation.targets import Targets

ROOT = Path(__file__).parents[3]
SPEC = load_spec(ROOT / "launch/robots/racer.toml")
TASK = LapTask(SPEC, load_course(ROOT / "launch/courses/oval.toml"))
CONTRACT = task_contract(SPEC, TASK.name, TASK.observation, TASK.reward_terms, TASK.cost_terms)
TARGETS = Targets()
GOOD = NetworkProbe(1e-7, 5000, 0, 0, 0, 1e-4)
CALIBRATION = "c" * 64


def save(path: Path, last: list[NodeProto], contract: TaskContract = CONTRACT) -> Path:
    """A linear policy that ends in ``last``, from ``mean`` to ``action``."""
    size = contract.observation_size
    weight = np.random.default_rng(0).normal(0.0, 0.1, (size, 2)).astype(np.float32)
    constants = {
        "weight": weight,
        "one": np.ones(1, np.float32),
        "three": np.full(1, 3.0, np.float32),
        "half": np.full(1, 0.5, np.float32),
    }
    nodes = [
        helper.make_node("MatMul", ["observation", "weight"], ["linear"]),
        helper.make_node("Add", ["linear", "noise"], ["mean"]),
        *last,
    ]
    path.write_bytes(policy_file(contract, nodes, constants, 2, CALIBRATION, 1))
    return path


TANH = [helper.make_node("Tanh", ["mean"], ["action"])]


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return save(tmp_path / "good.onnx", TANH)


def gate(found: NetworkProbe) -> str:
    return network_gate(found, 0.05, TARGETS, Parity(None, "skipped")).verdict


def test_a_bounded_network_passes(good: Path) -> None:
    found = probe(good, CONTRACT, seed=0)
    assert found.not_finite == found.outside == found.broken_outside == 0
    assert found.batch_difference <= 1e-6
    assert gate(replace(found, latency_s=1e-4)) == "pass"


def test_a_network_that_is_not_finite_on_rare_inputs_is_found(tmp_path: Path) -> None:
    rare = [
        helper.make_node("Sub", ["three", "mean"], ["left"]),
        helper.make_node("Sqrt", ["left"], ["root"]),  # of a negative number beyond mean 3
        helper.make_node("Tanh", ["root"], ["action"]),
    ]
    found = probe(save(tmp_path / "rare.onnx", rare), CONTRACT, seed=0)
    assert 0 < found.not_finite < found.tried
    assert gate(replace(found, latency_s=1e-4)) == "fail"


def test_a_network_without_bounds_is_found(tmp_path: Path) -> None:
    unbounded = [helper.make_node("Mul", ["mean", "half"], ["action"])]
    found = probe(save(tmp_path / "unbounded.onnx", unbounded), CONTRACT, seed=0)
    assert found.outside > 0
    assert found.broken_outside > 0


def test_alone_and_in_a_batch_must_agree_on_what_is_finite() -> None:
    alone = np.array([[0.5, np.nan], [-0.25, 1.0]], np.float32)
    assert largest_difference(alone, alone + np.float32(0.25)) == 0.25
    assert largest_difference(alone, np.nan_to_num(alone)) == float("inf")


def test_each_fault_alone_fails() -> None:
    assert gate(GOOD) == "pass"
    for bad in (
        replace(GOOD, batch_difference=2e-5),
        replace(GOOD, batch_difference=float("inf")),
        replace(GOOD, batch_difference=float("nan")),
        replace(GOOD, not_finite=1),
        replace(GOOD, outside=1),
        replace(GOOD, broken_outside=1),
        replace(GOOD, latency_s=0.0051),
    ):
        assert gate(bad) == "fail"
    assert gate(replace(GOOD, latency_s=0.005)) == "pass"


def test_an_export_that_is_not_what_was_trained_fails() -> None:
    for difference, expected in ((1e-6, "pass"), (2e-5, "fail"), (float("nan"), "fail")):
        found = network_gate(GOOD, 0.05, TARGETS, Parity(difference, ""))
        assert found.verdict == expected


def test_a_policy_for_this_contract_passes_and_another_calibration_is_told(good: Path) -> None:
    same, other = (contract_gate(good, CONTRACT, h) for h in (CALIBRATION, "d" * 64))
    assert same.verdict == other.verdict == "pass"
    assert "calibration" not in same.detail
    assert f"under calibration {'c' * 12}, judged here under {'d' * 12}" in other.detail


def test_a_policy_for_another_rate_is_refused_with_the_difference(tmp_path: Path) -> None:
    path = save(tmp_path / "slow.onnx", TANH, msgspec.structs.replace(CONTRACT, policy_hz=10.0))
    found = contract_gate(path, CONTRACT, CALIBRATION)
    assert found.verdict == "fail"
    assert "policy_hz: ours 20.0, theirs 10.0" in found.detail


def test_a_truncated_file_is_refused(good: Path) -> None:
    good.write_bytes(good.read_bytes()[:-200])
    assert contract_gate(good, CONTRACT, CALIBRATION).verdict == "fail"
