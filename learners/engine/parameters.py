"""A network's weights in one piece of memory."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from learners.engine.spectral_norm import normalised

ALIGNMENT = 16
"""Every tensor starts at a multiple of this many floats: 64 bytes, a cache line and an AVX-512 register."""


class Parameters:
    """Named tensors laid out in one flat tensor, so that averaging and saving are one operation.

    ``operands``: what matrix products read, of type ``operand``: the very same memory, or copies rounded to
    fewer bits, which whoever changes the flat tensor keeps up to date (``round``). That of a ``weight`` with
    a ``direction`` beside it is a copy in any type: it is spectrally normalised.
    """

    def __init__(self, shapes: Mapping[str, tuple[int, ...]], operand: torch.dtype | None = None) -> None:
        starts, size = {}, 0
        for name, shape in shapes.items():
            starts[name] = size
            size += -(-math.prod(shape) // ALIGNMENT) * ALIGNMENT
        self.flat = torch.zeros(size)
        self.operand = operand or self.flat.dtype
        self.tensors: dict[str, Tensor] = {
            name: self.flat[starts[name] : starts[name] + math.prod(shape)].view(shape)
            for name, shape in shapes.items()
        }
        self.operands: dict[str, Tensor] = {
            name: tensor.to(self.operand, copy=direction_of(name) in self.tensors)
            for name, tensor in self.tensors.items()
            if is_operand(name)
        }

    def copy_(self, flat: Tensor) -> None:
        """Take over the values of another flat tensor."""
        self.flat.copy_(flat)
        self.round()

    def round(self) -> None:
        """Bring ``operands`` up to date."""
        for name, tensor in self.operands.items():
            weight, direction = self.tensors[name], self.tensors.get(direction_of(name))
            tensor.copy_(weight if direction is None else normalised(weight, direction))

    def decay(self, share: float) -> None:
        """Take ``share`` of every weight away; biases and the scales of LayerNorm stay."""
        for name, tensor in self.tensors.items():
            if "weight" in name:
                tensor.mul_(1.0 - share)
        self.round()

    def gradients(self) -> dict[str, Tensor]:
        """Room for a gradient: that of an operand is a product's result and has its type."""
        return {
            name: torch.zeros(tensor.shape, dtype=self.operand if name in self.operands else tensor.dtype)
            for name, tensor in self.tensors.items()
        }


def is_operand(name: str) -> bool:
    """Hidden layers' weights; heads are read by kernels or are small."""
    return name.startswith("weight")


def direction_of(weight: str) -> str:
    """The name of what ``spectral_norm`` remembers beside a weight."""
    return weight.replace("weight", "direction")
