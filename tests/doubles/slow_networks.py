"""Networks and optimisers once more, slowly: one network at a time, for autograd and float64."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from robot.contract import TaskContract

Weights = dict[str, Tensor]


def leaves(weights: Weights, member: int | None = None) -> Weights:
    """Copies that autograd follows; of one member of an ensemble, if asked for."""
    return {
        k: (v if member is None else v[member]).detach().clone().requires_grad_() for k, v in weights.items()
    }


def normalised(contract: TaskContract, observation: Tensor) -> Tensor:
    offset, scale = (torch.as_tensor(a, dtype=torch.float64) for a in contract.normaliser())
    return (observation - offset) / scale


def layer_norm(h: Tensor) -> Tensor:
    centred = h - h.mean(-1, keepdim=True)
    return centred / (centred.pow(2).mean(-1, keepdim=True) + 1e-6).sqrt()


def critic(weights: Weights, depth: int, inputs: Tensor) -> Tensor:
    """Values (B,)."""
    h = inputs
    for k in range(depth):
        h = layer_norm(h @ weights[f"weight{k}"] + weights[f"bias{k}"])
        h = (h * weights[f"norm_scale{k}"] + weights[f"norm_bias{k}"]).clamp(min=0)
    return (h @ weights["value_weight"] + weights["value_bias"])[:, 0]


def actor(weights: Weights, depth: int, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and log-std as they leave the network."""
    h = inputs
    for k in range(depth):
        h = (h @ weights[f"weight{k}"] + weights[f"bias{k}"]).clamp(min=0)
    mean = h @ weights["mean_weight"] + weights["mean_bias"]
    return mean, h @ weights["log_std_weight"] + weights["log_std_bias"]


def raw_action(contract: TaskContract, executed: Tensor, previous: Tensor) -> Tensor:
    """What a policy must have put out for this to be executed."""
    columns = []
    for i, term in enumerate(contract.actions):
        change = math.inf if term.slew is None else term.slew / contract.policy_hz
        change = 2 * change / (term.upper - term.lower)
        low, high = (previous[:, i] - change).clamp(min=-1), (previous[:, i] + change).clamp(max=1)
        wanted = (executed[:, i] - (1 - term.smoothing) * previous[:, i]) / term.smoothing
        columns.append((2 * wanted - low - high) / (high - low))
    return torch.stack(columns, -1).clamp(-1, 1)


class SlowAdam:
    """Adam by its paper; with ``decay``, AdamW by its."""

    def __init__(self, weights: list[Tensor], decay: float = 0.0) -> None:
        self.weights, self.decay, self.t = weights, decay, 0
        self.moments = [(torch.zeros_like(w), torch.zeros_like(w)) for w in weights]

    def descend(self, loss: Tensor, rate: float) -> None:
        self.t += 1
        gradients = torch.autograd.grad(loss, self.weights, allow_unused=True)
        for k, (w, gradient) in enumerate(zip(self.weights, gradients, strict=True)):
            g = torch.zeros_like(w) if gradient is None else gradient
            m, v = self.moments[k]
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
            self.moments[k] = m, v
            step = (m / (1 - 0.9**self.t)) / ((v / (1 - 0.999**self.t)).sqrt() + 1e-8)
            with torch.no_grad():
                w -= rate * (step + self.decay * w)


def cosine(rate: float, step: int, steps: int) -> float:
    return rate * (1 + math.cos(math.pi * min(1.0, step / steps))) / 2 if steps else rate
