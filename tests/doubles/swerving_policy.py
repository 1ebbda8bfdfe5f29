"""A policy that nobody would want."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from onnx import helper

from learners.export import policy_file
from robot.contract import TaskContract


def swerving_policy(contract: TaskContract, path: Path) -> Path:
    """Full speed and full lock, whatever it sees; two actions."""
    constants = {
        "nothing": np.zeros((contract.observation_size, 2), np.float32),
        "full": np.array([20.0, 20.0], np.float32),
    }
    nodes = [
        helper.make_node("Gemm", ["observation", "nothing", "full"], ["mean"]),
        helper.make_node("Add", ["mean", "noise"], ["sample"]),
        helper.make_node("Tanh", ["sample"], ["action"]),
    ]
    path.write_bytes(policy_file(contract, nodes, constants, 2, "", 1))
    return path
