"""IDQL's policy as an ONNX file: sampling, critics and the choice among the candidates in one graph.

All randomness is the input ``noise`` [N, T * candidates * A]; a row of zeros stands for the noise of the
deterministic policy, which the file carries. What depends on the observation only, or on the weights only,
is computed once and not for every candidate and step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from onnx import NodeProto, helper

from learners.engine.kernels import LAYER_NORM_EPSILON
from learners.export import policy_file

if TYPE_CHECKING:
    from learners.idql import Idql


def export_idql(idql: Idql, calibration_hash: str, version: int) -> bytes:
    """The published actor and the target critics, as ``Idql.act`` uses them."""
    graph = _Graph()
    offset, scale = idql.contract.normaliser()
    centred = graph.add("Sub", "observation", graph.constant(offset))
    inputs = graph.add("Div", centred, graph.constant(scale))
    raw = _candidates(graph, idql, inputs)
    values = _values(graph, idql, inputs, _executed(graph, idql, raw))
    best = graph.add("ArgMax", values, axis=1, keepdims=1)
    chosen = graph.add("Expand", best, graph.constant([1, 1, idql.actions], np.int64))
    action = graph.add("GatherElements", raw, chosen, axis=1)
    graph.add("Reshape", action, graph.constant([-1, idql.actions], np.int64), result="action")
    return policy_file(
        idql.contract, graph.nodes, graph.constants, idql.noise_size, calibration_hash, version
    )


def _candidates(graph: _Graph, idql: Idql, inputs: str) -> str:
    """``diffusion.denoise``, (N, candidates, A)."""
    weights, schedule, network = idql.published.tensors, idql.schedule, idql.network
    largest = graph.add("ReduceMax", graph.add("Abs", "noise"), axes=[1], keepdims=1)
    still = graph.add("Equal", largest, graph.constant(0.0))
    drawn = graph.add("Where", still, graph.constant(idql.fixed_noise[None]), "noise")
    shape = [-1, len(schedule), idql.config.candidates, idql.actions]
    noise = graph.add("Reshape", drawn, graph.constant(shape, np.int64))
    observed = graph.add("MatMul", inputs, graph.constant(weights["by_observation"]))
    seen = graph.add("Unsqueeze", observed, graph.constant([1], np.int64))
    times = network.time(weights, torch.arange(len(schedule)))

    def epsilon(x: str, step: int) -> str:
        context = graph.add("Add", seen, graph.constant(times[step]))
        x = graph.add("Add", graph.add("MatMul", x, graph.constant(weights["by_action"])), context)
        for k in range(network.blocks):
            h = graph.norm(x, weights[f"norm_scale{k}"], weights[f"norm_bias{k}"])
            h = graph.swish(graph.linear(h, weights[f"up{k}"], weights[f"up_bias{k}"]))
            x = graph.add("Add", x, graph.linear(h, weights[f"down{k}"], weights[f"down_bias{k}"]))
        return graph.linear(graph.swish(x), weights["out"], weights["out_bias"])

    def fresh(k: int) -> str:
        return graph.add("Gather", noise, graph.constant(k, np.int64), axis=1)

    x = fresh(0)
    for k in range(len(schedule)):
        step = len(schedule) - 1 - k
        by_x, by_epsilon, by_noise = schedule.gains(step)
        less = graph.add("Mul", epsilon(x, step), graph.constant(by_epsilon))
        x = graph.add("Sub", graph.add("Mul", x, graph.constant(by_x)), less)
        if step > 0:
            x = graph.add("Add", x, graph.add("Mul", fresh(k + 1), graph.constant(by_noise)))
        x = graph.add("Clip", x, graph.constant(-1.0), graph.constant(1.0))
    return x


def _executed(graph: _Graph, idql: Idql, raw: str) -> str:
    """``ActionReach``, (N, candidates, A)."""
    one, reach = graph.constant(1.0), idql.reach
    columns = np.arange(idql.contract.observation_size)[reach.previous_columns]
    last = graph.add("Gather", "observation", graph.constant(columns, np.int64), axis=1)
    previous = graph.add("Unsqueeze", last, graph.constant([1], np.int64))
    change = graph.constant(reach.max_change)
    low = graph.add("Max", graph.add("Sub", previous, change), graph.constant(-1.0))
    high = graph.add("Min", graph.add("Add", previous, change), one)
    share = graph.add("Mul", graph.add("Add", raw, one), graph.constant(0.5))
    target = graph.add("Add", low, graph.add("Mul", graph.add("Sub", high, low), share))
    way = graph.add("Mul", graph.constant(reach.smoothing), graph.add("Sub", target, previous))
    return graph.add("Add", previous, way)


def _values(graph: _Graph, idql: Idql, inputs: str, executed: str) -> str:
    """The least of the target critics' values, (N, candidates, 1)."""
    observations = idql.contract.observation_size
    values = []
    for member in range(idql.config.critics):
        w = {name: tensor[member] for name, tensor in idql.critics.q.targets.tensors.items()}
        seen = graph.linear(inputs, w["weight0"][:observations], w["bias0"])
        by_action = graph.add("MatMul", executed, graph.constant(w["weight0"][observations:]))
        h = graph.add("Add", by_action, graph.add("Unsqueeze", seen, graph.constant([1], np.int64)))
        for k in range(len(idql.config.hidden)):
            h = h if k == 0 else graph.linear(h, w[f"weight{k}"], w[f"bias{k}"])
            h = graph.add("Relu", graph.norm(h, w[f"norm_scale{k}"], w[f"norm_bias{k}"]))
        values.append(graph.linear(h, w["value_weight"], w["value_bias"]))
    return graph.add("Min", *values)


class _Graph:
    """Nodes with numbered results, and constants, each once."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self._names: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self.constants: dict[str, NDArray[Any]] = {}

    def add(self, operation: str, *inputs: str, result: str = "", **attributes: float | list[int]) -> str:
        """A node with ONNX attributes; the name of its result."""
        name = result or f"{operation.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operation, list(inputs), [name], **attributes))
        return name

    def constant(self, value: Any, kind: Any = np.float32) -> str:
        plain = value.numpy() if isinstance(value, torch.Tensor) else value
        array = np.array(plain, kind, order="C")
        name = self._names.setdefault(
            (array.dtype.str, array.shape, array.tobytes()), f"constant_{len(self.constants)}"
        )
        self.constants[name] = array
        return name

    def linear(self, x: str, weight: Any, bias: Any) -> str:
        return self.add("Add", self.add("MatMul", x, self.constant(weight)), self.constant(bias))

    def swish(self, x: str) -> str:
        return self.add("Mul", x, self.add("Sigmoid", x))

    def norm(self, x: str, scale: Any, shift: Any) -> str:
        affine = self.constant(scale), self.constant(shift)
        return self.add("LayerNormalization", x, *affine, axis=-1, epsilon=LAYER_NORM_EPSILON)
