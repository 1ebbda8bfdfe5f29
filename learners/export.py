"""The actor as an ONNX file, built node by node: nothing is traced, so an export takes milliseconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper
from torch import Tensor

from learners.action_reach import ActionReach
from learners.networks import LOG_STD_MAX, LOG_STD_MIN
from robot.contract import TaskContract

Array = NDArray[Any]

OPSET = 17
IR_VERSION = 8
"""Conservative: onnxruntime 1.17 and everything since read them. 17 brought LayerNormalization."""


def export_actor(
    contract: TaskContract,
    weights: dict[str, Tensor],
    depth: int,
    calibration_hash: str,
    version: int,
    *,
    tanh_mean: bool = False,
    log_std_min: float = LOG_STD_MIN,
    reach: ActionReach | None = None,
) -> bytes:
    """A Gaussian actor; its ``noise`` is [N, A].

    ``weights``: the actor's (``networks.Actor.shapes``); ``depth``: its number of hidden layers. The action
    is tanh(mean + std * noise), or with ``tanh_mean`` tanh(mean) + std * noise within [-1, 1], and ``std`` at
    least exp(``log_std_min``). ``reach``: keep to its part of the action range.
    """
    nodes, constants = normalising(contract, "hidden")
    narrowed, limits = ([], {}) if reach is None else widening("wanted", reach)
    output = "wanted" if narrowed else "action"
    more, actor = acting("hidden", weights, depth, output, tanh_mean=tanh_mean, log_std_min=log_std_min)
    return policy_file(
        contract,
        [*nodes, *more, *narrowed],
        constants | actor | limits,
        contract.action_size,
        calibration_hash,
        version,
    )


def normalising(contract: TaskContract, output: str) -> tuple[list[NodeProto], dict[str, Array]]:
    """Nodes and constants from ``observation`` to what a network sees of it."""
    offset, scale = contract.normaliser()
    nodes = [
        helper.make_node("Sub", ["observation", "offset"], ["centred"]),
        helper.make_node("Div", ["centred", "scale"], [output]),
    ]
    return nodes, {"offset": offset, "scale": scale}


def acting(
    hidden: str,
    weights: dict[str, Tensor],
    depth: int,
    output: str = "action",
    *,
    tanh_mean: bool = False,
    log_std_min: float = LOG_STD_MIN,
) -> tuple[list[NodeProto], dict[str, Array]]:
    """Nodes and constants from the actor's inputs, called ``hidden``, and ``noise`` to the raw action."""
    constants = {name: w.numpy() for name, w in weights.items()}
    constants |= {
        "log_std_min": np.array(log_std_min, np.float32),
        "log_std_max": np.array(LOG_STD_MAX, np.float32),
    }
    nodes = []
    for k in range(depth):
        nodes.append(helper.make_node("Gemm", [hidden, f"weight{k}", f"bias{k}"], [f"linear{k}"]))
        nodes.append(helper.make_node("Relu", [f"linear{k}"], [f"hidden{k}"]))
        hidden = f"hidden{k}"
    nodes += [
        helper.make_node("Gemm", [hidden, "mean_weight", "mean_bias"], ["mean"]),
        helper.make_node("Gemm", [hidden, "log_std_weight", "log_std_bias"], ["log_std_free"]),
        helper.make_node("Clip", ["log_std_free", "log_std_min", "log_std_max"], ["log_std"]),
        helper.make_node("Exp", ["log_std"], ["std"]),
        helper.make_node("Mul", ["std", "noise"], ["deviation"]),
    ]
    if tanh_mean:
        constants |= {"lowest": np.array(-1.0, np.float32), "highest": np.array(1.0, np.float32)}
        nodes += [
            helper.make_node("Tanh", ["mean"], ["centre"]),
            helper.make_node("Add", ["centre", "deviation"], ["free"]),
            helper.make_node("Clip", ["free", "lowest", "highest"], [output]),
        ]
    else:
        nodes += [
            helper.make_node("Add", ["mean", "deviation"], ["before_tanh"]),
            helper.make_node("Tanh", ["before_tanh"], [output]),
        ]
    return nodes, constants


def widening(raw: str, reach: ActionReach) -> tuple[list[NodeProto], dict[str, Array]]:
    """Nodes and constants from a ``raw`` action in a part of the range to ``action`` in the whole:
    ``ActionReach.widened``."""
    at = reach.previous_columns
    constants: dict[str, Array] = {
        "previous_start": np.array([at.start]),
        "previous_stop": np.array([at.stop]),
        "columns": np.array([1]),
        "max_change": reach.max_change.numpy(),
        "range_lowest": reach.lowest.numpy(),
        "range_highest": reach.highest.numpy(),
        **{
            name: np.array(value, np.float32)
            for name, value in (("minus_one", -1.0), ("one", 1.0), ("half", 0.5))
        },
    }
    nodes = [
        helper.make_node(kind, inputs, [found])
        for kind, inputs, found in (
            ("Slice", ["observation", "previous_start", "previous_stop", "columns"], "previous"),
            ("Sub", ["previous", "max_change"], "least"),
            ("Max", ["least", "minus_one"], "low"),
            ("Add", ["previous", "max_change"], "most"),
            ("Min", ["most", "one"], "high"),
            ("Max", ["range_lowest", "low"], "lowest_above"),
            ("Min", ["lowest_above", "high"], "first"),
            ("Max", ["range_highest", "low"], "highest_above"),
            ("Min", ["highest_above", "high"], "last"),
            ("Sub", ["last", "first"], "width"),
            ("Add", [raw, "one"], "raised"),
            ("Mul", ["raised", "half"], "portion"),
            ("Mul", ["width", "portion"], "way"),
            ("Add", ["first", "way"], "target"),
            ("Sub", ["target", "low"], "above"),
            ("Sub", ["high", "low"], "span"),
            ("Mul", ["span", "half"], "half_span"),
            ("Div", ["above", "half_span"], "twice"),
            ("Sub", ["twice", "one"], "unbounded"),
            ("Clip", ["unbounded", "minus_one", "one"], "action"),
        )
    ]
    return nodes, constants


def policy_file(
    contract: TaskContract,
    nodes: Sequence[NodeProto],
    constants: Mapping[str, NDArray[Any]],
    noise_size: int,
    calibration_hash: str,
    version: int,
    images: Sequence[ValueInfoProto] = (),
) -> bytes:
    """A model of ``nodes`` with inputs ``observation`` [N, O] in physical units and ``noise`` [N, noise_size]
    (zeros for the deterministic policy), output ``action`` [N, A], raw in [-1, 1], all float32. The contract,
    both hashes and the version are in the metadata under ``sandlot``, at full precision. ``images``: inputs
    beside these."""
    graph = helper.make_graph(
        nodes,
        f"{contract.task}_policy",
        [
            helper.make_tensor_value_info("observation", TensorProto.FLOAT, ["N", contract.observation_size]),
            helper.make_tensor_value_info("noise", TensorProto.FLOAT, ["N", noise_size]),
            *images,
        ],
        [helper.make_tensor_value_info("action", TensorProto.FLOAT, ["N", contract.action_size])],
        [numpy_helper.from_array(np.asarray(a, order="C"), name) for name, a in constants.items()],
    )
    model = helper.make_model(
        graph,
        producer_name="sandlot",
        ir_version=IR_VERSION,
        opset_imports=[helper.make_opsetid("", OPSET)],
    )
    about = {
        "contract": contract.plain(),
        "contract_hash": contract.hash(),
        "calibration_hash": calibration_hash,
        "version": version,
    }
    helper.set_model_props(model, {"sandlot": msgspec.json.encode(about).decode()})
    exported: bytes = model.SerializeToString()
    return exported
