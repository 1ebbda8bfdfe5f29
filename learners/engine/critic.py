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
    cache. ``z`` of the first layer is given to each pass, since all critics share the first product."""

    def __init__(self, rows: int, hidden: tuple[int, ...], operand: torch.dtype, *, layer_norm: bool) -> None:
        self.z = [torch.empty(rows, width, dtype=operand) for width in hidden]
        self.h = [torch.empty(rows, width, dtype=operand) for width in hidden[:-1]]
        self.up = [torch.empty(rows, width, dtype=operand) for width in hidden[:-1]]
        self.deviation = [torch.empty(rows) if layer_norm else None for _ in hidden]


class Critic:
    """Critic ``member`` of an ensemble's weights on a worker's ``scratch``.

    ``z``: the product of the first layer, (rows, width), and after ``backward`` the gradient by it;
    ``value``: the result, (rows,).
    """

    def __init__(
        self,
        member: int,
        weights: Parameters,
        scratch: Scratch,
        z: Tensor,
        value: Tensor,
        dropout: Dropout,
        kernels: Kernels,
    ) -> None:
        self._weights, self._member = weights, member
        self._scratch, self._value = scratch, value
        self._z = [z, *scratch.z[1:]]
        self._depth = len(self._z)
        self._drops = [dropout.drops(member * self._depth + k) for k in range(self._depth)]
        self._kernels = kernels

    def forward(self) -> list[Call]:
        """From the first layer's product to the value."""
        calls: list[Call] = []
        s = self._scratch
        for k, (z, drops) in enumerate(zip(self._z, self._drops, strict=True)):
            if k > 0:
                calls.append(partial(torch.mm, s.h[k - 1], self._weight(k), out=z))
            at = (z, _affine(self._weights.tensors, k, self._member), s.deviation[k], drops)
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
        layer's product. ``weights_too``: with gradients by the weights of the other products."""
        calls: list[Call] = []
        s = self._scratch
        for k in reversed(range(self._depth)):
            at = (self._z[k], _affine(self._weights.tensors, k, self._member), s.deviation[k], self._drops[k])
            gradient = _affine(gradients, k, self._member)
            if k < self._depth - 1:
                calls.append(self._kernels.layer_backward(*at, s.up[k], gradient))
            else:
                heads = (_head(self._weights.tensors, self._member), self._value, target, gain)
                head_gradient = _head(gradients, self._member)
                calls.append(self._kernels.value_backward(*at, *heads, gradient, head_gradient))
            if k > 0 and weights_too:
                by_weight = gradients[f"weight{k}"][self._member]
                calls.append(partial(torch.mm, s.h[k - 1].t(), self._z[k], out=by_weight))
            if k > 0:
                calls.append(partial(torch.mm, self._z[k], self._weight(k).t(), out=s.up[k - 1]))
        return calls

    def _weight(self, layer: int) -> Tensor:
        return self._weights.operands[f"weight{layer}"][self._member]


def _affine(tensors: Mapping[str, Tensor], layer: int, member: int) -> Affine:
    found = (tensors.get(f"{name}{layer}") for name in ("bias", "norm_scale", "norm_bias"))
    return Affine(*(None if tensor is None else tensor[member] for tensor in found))


def _head(tensors: Mapping[str, Tensor], member: int) -> Head:
    return Head(tensors["value_weight"][member], tensors["value_bias"][member])
