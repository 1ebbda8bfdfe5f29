"""Spectral normalisation (Miyato et al. 2018, arXiv 1802.05957): a product reads W / s in place of its weight
W, s being W's largest singular value, so that the layer stretches nothing.

s = |W^T u|, where u follows the first left singular vector by a step of power iteration whenever W has
changed. For a given u this is a plain function of W, so nothing but u has to be remembered, and the gradient
is exact. Weights W are (E, inputs, outputs), directions u (E, inputs).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

SETTLE = 20
"""Steps of power iteration on new weights."""


def normalised(weight: Tensor, direction: Tensor) -> Tensor:
    """W / s."""
    return weight / _stretched(weight, direction).norm(dim=2, keepdim=True)


def follow(weight: Tensor, direction: Tensor, operand: Tensor) -> None:
    """The weight has changed: take ``direction`` a step of power iteration towards its first left singular
    vector, and write what the product reads."""
    right = functional.normalize(_stretched(weight, direction), dim=2)
    direction.copy_(functional.normalize((weight @ right.mT)[..., 0], dim=1))
    operand.copy_(normalised(weight, direction))


def pull_back(weight: Tensor, direction: Tensor, gradient: Tensor) -> None:
    """From the gradient by W / s, G, to that by W, in place: (G - <G, W / s> u v^T) / s with v = W^T u / s,
    since the derivative of s is u v^T."""
    along = _stretched(weight, direction)
    size = along.norm(dim=2, keepdim=True)
    by_operand = gradient.to(weight.dtype)
    share = (by_operand * weight).sum((1, 2), keepdim=True) / size
    gradient.copy_((by_operand - share * direction[..., None] * (along / size)) / size)


def _stretched(weight: Tensor, direction: Tensor) -> Tensor:
    """(W^T u)^T, (E, 1, outputs)."""
    return torch.bmm(direction[:, None], weight)
