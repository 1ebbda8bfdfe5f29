"""A policy that laps a course without ever having learned: pure pursuit as one matrix and a tanh, in ONNX."""

from __future__ import annotations

import numpy as np
from onnx import helper

from learners.export import policy_file
from robot.contract import ActionMap, TaskContract

AHEAD = 2
"""Which preview point it steers for: 1.3 m ahead."""
CURVATURE = 2.0 / 1.3**2
"""Of the arc to a point so far ahead, per metre that it lies to the side [1/m^2] (Coulter 1992)."""


def line_follower(
    contract: TaskContract, speed: float, calibration_hash: str, version: int = 1, wheelbase: float = 0.33
) -> bytes:
    """Drives the racer at ``speed`` [m/s] towards the course's line. Raw output u moves an action by u times
    its largest change per step, so that it is the distance to the wanted action in such steps."""
    layout = contract.observation_layout
    reach = ActionMap(contract.actions, contract.policy_hz)
    previous = contract.previous_action
    weights = np.zeros((contract.observation_size, 2), np.float32)
    bias = np.zeros(2, np.float32)
    wanted = float(reach.from_units(np.array([speed, 0.0]))[0])
    bias[0] = wanted / reach.max_change[0]
    weights[previous.start, 0] = -1.0 / reach.max_change[0]
    per_metre = CURVATURE * wheelbase / reach.upper[1]
    weights[layout.index(f"preview_{AHEAD}_y"), 1] = per_metre / reach.max_change[1]
    weights[previous.start + 1, 1] = -1.0 / reach.max_change[1]
    nodes = [
        helper.make_node("Gemm", ["observation", "weights", "bias"], ["wanted"]),
        helper.make_node("Tanh", ["wanted"], ["mean"]),
        helper.make_node("Mul", ["noise", "spread"], ["deviation"]),
        helper.make_node("Add", ["mean", "deviation"], ["free"]),
        helper.make_node("Clip", ["free", "lowest", "highest"], ["action"]),
    ]
    constants = {"weights": weights, "bias": bias, "spread": np.float32([0.3, 0.3])}
    constants |= {"lowest": np.array(-1.0, np.float32), "highest": np.array(1.0, np.float32)}
    return policy_file(contract, nodes, constants, 2, calibration_hash, version)
