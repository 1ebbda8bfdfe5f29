"""Bad policies, each made from a good one by what could really have gone wrong: surgery on its ONNX graph."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from learners.journal import Journal
from robot.contract import TaskContract
from robot.errors import SandlotError

RARE = "yaw_rate"
RARE_SCALES = 4.0
"""The rare input: an element of the observation so many of its scales from its middle: 8 rad/s, which is a
spin and no driving."""
SATURATION = 4.0
"""Added before the tanh: the action is 0.999 of what is possible."""


@dataclass(frozen=True)
class Defect:
    """``make`` turns a good policy's graph into the bad one."""

    name: str
    words: str
    make: Callable[[onnx.ModelProto, TaskContract, Path], None]


def defective(policy: bytes, defect: Defect, contract: TaskContract, run: Path) -> bytes:
    """The policy with the defect. ``run``: where it was learned, for its journal."""
    model = onnx.load_from_string(policy)
    defect.make(model, contract, run)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def _array(model: onnx.ModelProto, name: str) -> NDArray[np.float32]:
    for tensor in model.graph.initializer:
        if tensor.name == name:
            return np.array(numpy_helper.to_array(tensor))
    names = [t.name for t in model.graph.initializer]
    raise SandlotError(f"the policy's graph has no {name!r}, only {', '.join(names)}; an actor was expected")


def _set(model: onnx.ModelProto, name: str, value: NDArray[np.float32]) -> None:
    for tensor in model.graph.initializer:
        if tensor.name == name:
            tensor.CopyFrom(numpy_helper.from_array(value.astype(np.float32), name))
            return
    model.graph.initializer.append(numpy_helper.from_array(value.astype(np.float32), name))


def _feed(model: onnx.ModelProto, old: str, new: str) -> None:
    """Let everything that read ``old`` read ``new``."""
    for node in model.graph.node:
        for k, name in enumerate(node.input):
            if name == old:
                node.input[k] = new


def _action(contract: TaskContract, actuator: str) -> int:
    return [term.actuator for term in contract.actions].index(actuator)


def nan_on_rare_inputs(model: onnx.ModelProto, contract: TaskContract, run: Path) -> None:
    """Where an element of the observation is far out, the action is NaN."""
    offset, scale = contract.normaliser()
    rare = contract.observation_layout.index(RARE)
    nodes = [
        helper.make_node("Gather", ["observation", "rare_index"], ["rare_element"], axis=1),
        helper.make_node("Greater", ["rare_element", "rare_above"], ["rare"]),
        helper.make_node("Where", ["rare", "not_a_number", "mean"], ["mean_or_not"]),
    ]
    _feed(model, "mean", "mean_or_not")
    model.graph.initializer.append(numpy_helper.from_array(np.array([rare], np.int64), "rare_index"))
    _set(model, "rare_above", np.array(offset[rare] + RARE_SCALES * scale[rare]))
    _set(model, "not_a_number", np.array(np.nan))
    at = next(k for k, node in enumerate(model.graph.node) if "mean" in node.output) + 1
    for k, node in enumerate(nodes):
        model.graph.node.insert(at + k, node)


def one_step_late(model: onnx.ModelProto, contract: TaskContract, run: Path) -> None:
    """It acts on the observation of a step ago, as the journal's rows tell from the present one (ordinary
    least squares): a policy's graph has no memory."""
    rows = np.concatenate([found for _, found in Journal(_journal(run), contract.step_dtype()).replay()])
    seen = np.asarray(rows["observation"], np.float64)
    follows = (rows["episode"][1:] == rows["episode"][:-1]) & (rows["step"][1:] == rows["step"][:-1] + 1)
    now, before = seen[1:][follows], seen[:-1][follows]
    offset, scale = (np.asarray(a, np.float64) for a in contract.normaliser())
    inputs = np.hstack(((now - offset) / scale, np.ones((len(now), 1))))
    found = np.linalg.lstsq(inputs, (before - offset) / scale, rcond=None)[0]
    _set(model, "step_back_weight", found[:-1].astype(np.float32))
    _set(model, "step_back_bias", found[-1].astype(np.float32))
    at = next(k for k, node in enumerate(model.graph.node) if node.op_type == "Div") + 1
    normalised = model.graph.node[at - 1].output[0]
    _feed(model, normalised, "a_step_ago")
    step_back = helper.make_node("Gemm", [normalised, "step_back_weight", "step_back_bias"], ["a_step_ago"])
    model.graph.node.insert(at, step_back)


def _journal(run: Path) -> Path:
    path = run / "learner" / "journal" / "rows.journal"
    if not path.exists():
        raise SandlotError(f"{run} has no journal; a run in which the policy practised was expected")
    return path


def steering_flipped(model: onnx.ModelProto, contract: TaskContract, run: Path) -> None:
    """The steering's sign is the other way round."""
    k = _action(contract, "steering")
    for name in ("mean_weight", "mean_bias"):
        values = _array(model, name)
        values[..., k] *= -1.0
        _set(model, name, values)


def over_fast(model: onnx.ModelProto, contract: TaskContract, run: Path) -> None:
    """It asks for full speed whatever it sees."""
    k = _action(contract, "speed")
    weight, bias = _array(model, "mean_weight"), _array(model, "mean_bias")
    weight[:, k], bias[k] = 0.0, SATURATION
    _set(model, "mean_weight", weight)
    _set(model, "mean_bias", bias)


def no_slew_limits(model: onnx.ModelProto, contract: TaskContract, run: Path) -> None:
    """It was trained, and says so, for a robot whose actions may jump."""
    entry = next(p for p in model.metadata_props if p.key == "sandlot")
    carried = json.loads(entry.value)
    for term in carried["contract"]["actions"]:
        term["slew"] = None
    entry.value = json.dumps(carried)


def wrong_normaliser(model: onnx.ModelProto, contract: TaskContract, run: Path) -> None:
    """Observations go in as they are: the export forgot what they were normalised by."""
    _set(model, "offset", np.zeros_like(_array(model, "offset")))
    _set(model, "scale", np.ones_like(_array(model, "scale")))


DEFECTS = (
    Defect("nan", "NaN for a rare yaw rate", nan_on_rare_inputs),
    Defect("late", "acts on what it saw a step (50 ms) ago", one_step_late),
    Defect("flipped", "steering's sign flipped", steering_flipped),
    Defect("no slew limits", "trained for actions that may jump, and its contract says so", no_slew_limits),
    Defect("over-fast", "always full speed", over_fast),
    Defect("normaliser", "observations not normalised", wrong_normaliser),
)
