"""The networks: an ensemble of critics and a tanh-Gaussian actor."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional

LOG_STD_MIN, LOG_STD_MAX = -20.0, 2.0
"""Bounds on the actor's log standard deviation, as in RLPD."""
LAYER_NORM_EPSILON = 1e-6
"""Flax's default, which RLPD uses (torch's is 1e-5)."""
ALIGNMENT = 16
"""Every tensor starts at a multiple of this many floats: 64 bytes, a cache line and an AVX-512 register."""

Weights = Mapping[str, Tensor]


class Parameters:
    """Named tensors laid out in one flat tensor, so that averaging and saving are one operation.

    ``leaves`` are what gradients are taken for; ``frozen`` the same memory without gradients.
    """

    def __init__(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        starts, size = {}, 0
        for name, shape in shapes.items():
            starts[name] = size
            size += -(-math.prod(shape) // ALIGNMENT) * ALIGNMENT
        self.flat = torch.zeros(size)
        self.frozen: dict[str, Tensor] = {
            name: self.flat[starts[name] : starts[name] + math.prod(shape)].view(shape)
            for name, shape in shapes.items()
        }
        self.leaves: dict[str, Tensor] = {
            name: view.detach().requires_grad_() for name, view in self.frozen.items()
        }


def xavier_(weight: Tensor, generator: torch.Generator) -> None:
    """Glorot-uniform over the last two dimensions (inputs, outputs), as every layer of RLPD."""
    bound = math.sqrt(6.0 / (weight.shape[-2] + weight.shape[-1]))
    weight.copy_((torch.rand(weight.shape, generator=generator) * 2.0 - 1.0) * bound)


class Critics:
    """E critics: (Linear, LayerNorm, ReLU) for each hidden layer, then Linear to one value.

    Weights are (E, inputs, outputs). RLPD's first change to SAC is the LayerNorm: it bounds the values of
    actions that were never tried.
    """

    def __init__(self, critics: int, inputs: int, hidden: tuple[int, ...]) -> None:
        self.depth = len(hidden)
        self.shapes: dict[str, tuple[int, ...]] = {}
        for k, width in enumerate(hidden):
            self.shapes |= {
                f"weight{k}": (critics, inputs, width),
                f"bias{k}": (critics, width),
                f"norm_scale{k}": (critics, width),
                f"norm_bias{k}": (critics, width),
            }
            inputs = width
        self.shapes |= {"value_weight": (critics, inputs, 1), "value_bias": (critics, 1)}

    def initialise(self, weights: Weights, generator: torch.Generator) -> None:
        for name, tensor in weights.items():
            if "weight" in name:
                xavier_(tensor, generator)
            elif "norm_scale" in name:
                tensor.fill_(1.0)

    def __call__(self, weights: Weights, inputs: Tensor) -> Tensor:
        """Normalised observation and executed action, (N, inputs), to values (E, N).

        One critic after the other, so that its activations stay in the core's own cache: one batched product
        for all of them takes a quarter more processor time when other processes are busy.
        """
        members = zip(*(w.unbind(0) for w in weights.values()), strict=True)
        return torch.stack([self._value(dict(zip(weights, m, strict=True)), inputs) for m in members])

    def _value(self, weights: Weights, h: Tensor) -> Tensor:
        for k in range(self.depth):
            h = torch.addmm(weights[f"bias{k}"], h, weights[f"weight{k}"])
            scale, bias = weights[f"norm_scale{k}"], weights[f"norm_bias{k}"]
            h = functional.layer_norm(h, h.shape[-1:], scale, bias, LAYER_NORM_EPSILON).relu_()
        return torch.addmm(weights["value_bias"], h, weights["value_weight"]).squeeze(-1)


class Actor:
    """A Gaussian over the pre-tanh action: Linear and ReLU for each hidden layer, then mean and log-std."""

    def __init__(self, inputs: int, actions: int, hidden: tuple[int, ...]) -> None:
        self.depth = len(hidden)
        self.shapes: dict[str, tuple[int, ...]] = {}
        for k, width in enumerate(hidden):
            self.shapes |= {f"weight{k}": (inputs, width), f"bias{k}": (width,)}
            inputs = width
        self.shapes |= {
            "mean_weight": (inputs, actions),
            "mean_bias": (actions,),
            "log_std_weight": (inputs, actions),
            "log_std_bias": (actions,),
        }

    def initialise(self, weights: Weights, generator: torch.Generator) -> None:
        for name, tensor in weights.items():
            if "weight" in name:
                xavier_(tensor, generator)

    def __call__(self, weights: Weights, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised observation (N, inputs) to mean and log-std before the tanh, each (N, actions)."""
        h = inputs
        for k in range(self.depth):
            h = torch.addmm(weights[f"bias{k}"], h, weights[f"weight{k}"]).relu()
        mean = torch.addmm(weights["mean_bias"], h, weights["mean_weight"])
        log_std = torch.addmm(weights["log_std_bias"], h, weights["log_std_weight"])
        return mean, log_std.clamp(LOG_STD_MIN, LOG_STD_MAX)


def sample(mean: Tensor, log_std: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Raw action tanh(mean + std * noise) in (-1, 1), (N, actions), and its log-density, (N,)."""
    before = mean + log_std.exp() * noise
    # log(1 - tanh(x)^2) = 2 (log 2 - x - softplus(-2x)), without cancellation for large |x|.
    log_slope = 2.0 * (math.log(2.0) - before - functional.softplus(-2.0 * before))
    log_density = -0.5 * noise.square() - log_std - 0.5 * math.log(2.0 * math.pi) - log_slope
    return before.tanh(), log_density.sum(-1)


@contextmanager
def matmul_precision(inputs: Literal["float32", "bfloat16"]) -> Iterator[None]:
    """Round the inputs of matrix products to bfloat16 (8 bits of mantissa) or leave them, as ``inputs`` says.

    Without instructions for it (AVX-512 BF16 or AMX) torch leaves them in either case.
    """
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision({"float32": "highest", "bfloat16": "medium"}[inputs])
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


class Normaliser:
    """The contract's fixed offset and scale: what a network sees is ``(observation - offset) / scale``."""

    def __init__(self, offset: Any, scale: Any) -> None:
        self.offset = torch.as_tensor(offset, dtype=torch.get_default_dtype())
        self.scale = torch.as_tensor(scale, dtype=torch.get_default_dtype())

    def __call__(self, observation: Tensor) -> Tensor:
        return (observation - self.offset) / self.scale
