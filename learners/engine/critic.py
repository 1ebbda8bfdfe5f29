"""One critic's forward and backward pass, as lists of operations bound to one worker's buffers."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor

from learners.engine.dropout import Dropout
from learners.engine.kernels import Affine, Call, Head, Kernels
from learners.engine.parameters import Parameters


class Scratch:
    """Activations of one critic, which the next one of the same worker overwrites: they stay in its core's
    cache."""

    def __init__(self, rows: int, hidden: tuple[int, ...], operand: torch.dtype, *, layer_norm: bool) -> None:
        self.z = [torch.empty(rows, width, dtype=operand) for width in hidden]
        self.h = [torch.empty(rows, width, dtype=operand) for width in hidden[:-1]]
        self.up = [torch.empty(rows, width, dtype=operand) for width in hidden[:-1]]
        self.deviation = [torch.empty(rows) if layer_norm else None for _ in hidden]


class Critic:
    """Critic ``member`` of an ensemble's weights, on ``inputs`` (rows, inputs) and a worker's ``scratch``.

    ``value``: the result, (rows,). After ``backward`` ``scratch.z[0]`` is the gradient by the first layer's
    product, (rows, width).
    """

    def __init__(
        self,
        member: int,
        weights: Parameters,
        scratch: Scratch,
        inputs: Tensor,
        value: Tensor,
        dropout: Dropout,
        kernels: Kernels,
    ) -> None:
        self._weights, self._member = weights, member
        self._scratch, self._value = scratch, value
        self._before = [inputs, *scratch.h]
        """What each layer is given."""
        self._depth = len(scratch.z)
        self._drops = [dropout.drops(member * self._depth + k) for k in range(self._depth)]
        self._kernels = kernels

    def forward(self) -> list[Call]:
        """From the inputs to the value."""
        calls: list[Call] = []
        s = self._scratch
        for k, drops in enumerate(self._drops):
            calls.append(partial(torch.mm, self._before[k], self._weight(k), out=s.z[k]))
            at = (s.z[k], _affine(self._weights.tensors, k, self._member), s.deviation[k], drops)
            if k < self._depth - 1:
                calls.append(self._kernels.layer(*at, s.h[k]))
            else:
                head = _head(self._weights.tensors, self._member)
                calls.append(self._kernels.layer_value(*at, head, self._value))
        return calls

    def backward(
        self, target: Tensor | None, gain: float, gradients: Mapping[str, Tensor], weights_too: bool
    ) -> list[Call]:
        """From the gradient by the value, ``gain * (value - target)`` or ``gain``, to that by the first
        layer's product. ``weights_too``: with gradients by the products' weights."""
        calls: list[Call] = []
        s = self._scratch
        for k in reversed(range(self._depth)):
            at = (s.z[k], _affine(self._weights.tensors, k, self._member), s.deviation[k], self._drops[k])
            gradient = _affine(gradients, k, self._member)
            if k < self._depth - 1:
                calls.append(self._kernels.layer_backward(*at, s.up[k], gradient))
            else:
                heads = (_head(self._weights.tensors, self._member), self._value, target, gain)
                head_gradient = _head(gradients, self._member)
                calls.append(self._kernels.value_backward(*at, *heads, gradient, head_gradient))
            if weights_too:
                by_weight = gradients[f"weight{k}"][self._member]
                calls.append(partial(torch.mm, self._before[k].t(), s.z[k], out=by_weight))
            if k > 0:
                calls.append(partial(torch.mm, s.z[k], self._weight(k).t(), out=s.up[k - 1]))
        return calls

    def _weight(self, layer: int) -> Tensor:
        return self._weights.operands[f"weight{layer}"][self._member]


def _affine(tensors: Mapping[str, Tensor], layer: int, member: int) -> Affine:
    found = (tensors.get(f"{name}{layer}") for name in ("bias", "norm_scale", "norm_bias"))
    return Affine(*(None if tensor is None else tensor[member] for tensor in found))


def _head(tensors: Mapping[str, Tensor], member: int) -> Head:
    return Head(tensors["value_weight"][member], tensors["value_bias"][member])
