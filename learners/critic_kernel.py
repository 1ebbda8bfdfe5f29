"""How one update of a critic at one state and action moves its values at others: the neural tangent kernel.

Achiam, Knight, Abbeel 2019, "Towards characterizing divergence in deep Q-learning", arXiv 1903.08894: to
first order a step of gradient descent on the squared error moves the values by ``rate * K @ (target -
values)``, with ``K[i, j]`` the product of the gradients of the values i and j by the weights. Q-learning
contracts where K's rows are dominated by their diagonal; it diverges where a step at one pair drags all the
others along.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from learners.engine.kernels import LAYER_NORM_EPSILON

Weights = Mapping[str, Tensor]


class KernelFigures(NamedTuple):
    """Of one critic on one minibatch."""

    row_ratio: float
    """Mean over the rows i of K of mean |K[i, j]| over j other than i, divided by K[i, i]: 0 is a table, 1 a
    critic that cannot tell pairs apart."""
    cosine: float
    """Between what the values should do, ``target - values``, and what a small step makes of them: 1 is
    straight there, below 0 away."""


def value(weights: Weights, depth: int, inputs: Tensor) -> Tensor:
    """One critic (``networks.Critics`` without the leading dimension) without dropout: (I,) to ()."""
    h = inputs
    for k in range(depth):
        weight = weights[f"weight{k}"]
        if f"direction{k}" in weights:  # spectral norm; updates do not move the direction
            weight = weight / (weights[f"direction{k}"].detach() @ weight).norm()
        h = h @ weight + weights[f"bias{k}"]
        if f"norm_scale{k}" in weights:
            centred = h - h.mean()
            h = centred * (centred.square().mean() + LAYER_NORM_EPSILON).rsqrt()
            h = h * weights[f"norm_scale{k}"] + weights[f"norm_bias{k}"]
        h = h.relu()
    return (h @ weights["value_weight"] + weights["value_bias"])[0]


def tangent_kernel(weights: Weights, depth: int, inputs: Tensor) -> Tensor:
    """K (B, B) of one critic for ``inputs`` (B, I)."""
    gradient = torch.func.grad(lambda w, x: value(w, depth, x))
    found: dict[str, Tensor] = torch.func.vmap(gradient, in_dims=(None, 0))(dict(weights), inputs)
    flat = torch.cat([g.flatten(1) for g in found.values()], 1)
    return flat @ flat.t()


def kernel_figures(kernel: Tensor, wanted: Tensor) -> KernelFigures:
    """``kernel`` (B, B), B at least 2; ``wanted``: target - values, (B,)."""
    diagonal, count = kernel.diagonal(), len(kernel)
    others = (kernel.abs().sum(1) - diagonal) / (count - 1)
    moved = kernel @ wanted
    cosine = torch.nn.functional.cosine_similarity(moved, wanted, 0)
    return KernelFigures(float((others / diagonal).mean()), float(cosine))
