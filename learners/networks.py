"""The networks: an ensemble of critics and a tanh-Gaussian actor. ``engine`` computes with them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from learners.engine.kernels import LAYER_NORM_EPSILON
from learners.engine.parameters import direction_of

LOG_STD_MIN, LOG_STD_MAX = -20.0, 2.0
"""Bounds on the actor's log standard deviation, as in RLPD."""

Weights = Mapping[str, Tensor]


def xavier_(weight: Tensor, generator: torch.Generator) -> None:
    """Glorot-uniform over the last two dimensions (inputs, outputs), as every layer of RLPD."""
    bound = math.sqrt(6.0 / (weight.shape[-2] + weight.shape[-1]))
    weight.copy_((torch.rand(weight.shape, generator=generator) * 2.0 - 1.0) * bound)


class Critics:
    """E critics: (Linear, Dropout, LayerNorm, ReLU) for each hidden layer, then Linear to one value.

    Weights are (E, inputs, outputs). RLPD's first change to SAC is the LayerNorm: it bounds the values of
    actions that were never tried. The dropout is DroQ's, and off unless asked for; so is the spectral norm of
    the last hidden layer, and of no other: more of it keeps Q-learning from learning (Gogianu et al. 2021,
    arXiv 2105.05246).
    """

    def __init__(
        self,
        critics: int,
        inputs: int,
        hidden: tuple[int, ...],
        *,
        layer_norm: bool = True,
        spectral_norm: bool = False,
    ) -> None:
        self.critics, self.inputs, self.hidden, self.layer_norm = critics, inputs, hidden, layer_norm
        self.normalised = f"weight{len(hidden) - 1}" if spectral_norm else None
        """The weight that is spectrally normalised."""
        self.shapes: dict[str, tuple[int, ...]] = {}
        for k, width in enumerate(hidden):
            self.shapes |= {f"weight{k}": (critics, inputs, width), f"bias{k}": (critics, width)}
            if layer_norm:
                self.shapes |= {f"norm_scale{k}": (critics, width), f"norm_bias{k}": (critics, width)}
            if self.normalised == f"weight{k}":
                self.shapes[direction_of(self.normalised)] = (critics, inputs)
            inputs = width
        self.shapes |= {"value_weight": (critics, inputs, 1), "value_bias": (critics, 1)}

    def initialise(self, weights: Weights, generator: torch.Generator) -> None:
        for name, tensor in weights.items():
            if "weight" in name:
                xavier_(tensor, generator)
            elif "norm_scale" in name:
                tensor.fill_(1.0)
            elif "direction" in name:  # any; without a random number, so that all else begins alike
                tensor.fill_(tensor.shape[1] ** -0.5)


class Actor:
    """A Gaussian over the pre-tanh action: Linear and ReLU for each hidden layer, then mean and log-std.

    ``same_std``: one standard deviation for all states, at first 1; the log-std's weights stay zero.
    """

    def __init__(self, inputs: int, actions: int, hidden: tuple[int, ...], *, same_std: bool = False) -> None:
        self.inputs, self.actions, self.hidden, self.same_std = inputs, actions, hidden, same_std
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
            if "weight" in name and not (self.same_std and name == "log_std_weight"):
                xavier_(tensor, generator)


def critic_values(weights: Weights, depth: int, inputs: Tensor, keep: Tensor | None = None) -> Tensor:
    """Values (E, N) of critics with ``depth`` hidden layers from inputs (N, inputs) of any number. ``keep``:
    what hidden units are multiplied by, one layer's beside the other's, (E, N, units); None drops none."""
    h = inputs.expand(len(weights["bias0"]), -1, -1)
    begin = 0
    for k in range(depth):
        h = torch.baddbmm(weights[f"bias{k}"][:, None], h, weights[f"weight{k}"])
        width = h.shape[-1]
        if keep is not None:
            h = h * keep[..., begin : begin + width]
            begin += width
        if f"norm_scale{k}" in weights:
            h = functional.layer_norm(h, (width,), eps=LAYER_NORM_EPSILON)
            h = torch.addcmul(weights[f"norm_bias{k}"][:, None], h, weights[f"norm_scale{k}"][:, None])
        h = h.relu()
    return torch.baddbmm(weights["value_bias"][:, None], h, weights["value_weight"])[..., 0]


def gaussian(weights: Weights, depth: int, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and log-std before any tanh, each (N, A), of an actor with ``depth`` hidden layers from normalised
    observations (N, O)."""
    for k in range(depth):
        inputs = torch.addmm(weights[f"bias{k}"], inputs, weights[f"weight{k}"]).relu_()
    mean = torch.addmm(weights["mean_bias"], inputs, weights["mean_weight"])
    log_std = torch.addmm(weights["log_std_bias"], inputs, weights["log_std_weight"])
    return mean, log_std.clamp(LOG_STD_MIN, LOG_STD_MAX)


def act(weights: Weights, depth: int, inputs: Tensor, noise: Tensor) -> Tensor:
    """Raw actions (N, A) of an actor with ``depth`` hidden layers from normalised observations (N, O) and
    standard normal ``noise`` (N, A), zeros for the deterministic policy: what the exported file computes."""
    return sample(*gaussian(weights, depth, inputs), noise)[0]


def sample(mean: Tensor, log_std: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Raw action tanh(mean + std * noise) in (-1, 1), (..., actions), and its log-density, (...)."""
    before = mean + log_std.exp() * noise
    # log(1 - tanh(x)^2) = 2 (log 2 - x - softplus(-2x)), without cancellation for large |x|.
    log_slope = 2.0 * (math.log(2.0) - before - functional.softplus(-2.0 * before))
    log_density = -0.5 * noise.square() - log_std - 0.5 * math.log(2.0 * math.pi) - log_slope
    return before.tanh(), log_density.sum(-1)


def sample_gradient(
    raw: Tensor, log_std: Tensor, noise: Tensor, by_raw: Tensor, by_log_density: Tensor
) -> tuple[Tensor, Tensor]:
    """Back through ``sample``: gradients by the raw action (..., actions) and its log-density (...) to those
    by mean and log-std, each (..., actions)."""
    by_density = by_log_density[..., None]
    by_mean = by_raw * (1.0 - raw.square()) + by_density * 2.0 * raw
    return by_mean, by_mean * log_std.exp() * noise - by_density


class Normaliser:
    """The contract's fixed offset and scale: what a network sees is ``(observation - offset) / scale``."""

    def __init__(self, offset: Any, scale: Any) -> None:
        self.offset = torch.as_tensor(offset, dtype=torch.get_default_dtype())
        self.scale = torch.as_tensor(scale, dtype=torch.get_default_dtype())

    def __call__(self, observation: Tensor) -> Tensor:
        return (observation - self.offset) / self.scale
