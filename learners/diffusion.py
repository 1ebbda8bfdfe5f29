"""A denoising diffusion model of actions (Ho et al. 2020, arXiv 2006.11239), as IDQL's actor is one
(Hansen-Estruch et al. 2023, arXiv 2304.10573): schedule, network and sampler.

Steps are numbered from 0, the last one of the sampling, to T - 1, the noisiest.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from learners.engine.kernels import LAYER_NORM_EPSILON
from learners.networks import Weights, xavier_

BETA_MIN, BETA_MAX = 0.1, 10.0
"""Ends of the variance-preserving schedule, of continuous time 0 to 1; the released program's."""

WIDENING: Final = 4
"""Of the hidden layer within a residual block."""
TIME_WIDTH: Final = 2
"""Width of the time's own layers, in numbers of its features."""

Epsilon = Callable[[Tensor, int], Tensor]
"""Noisy actions (..., A) and the number of the step to the noise that is in them."""


class Schedule:
    """How much noise there is after each of T steps; three tensors (T,)."""

    def __init__(self, steps: int) -> None:
        t = torch.arange(1, steps + 1, dtype=torch.get_default_dtype())
        spread = 0.5 * (BETA_MAX - BETA_MIN) * (2.0 * t - 1.0) / steps**2
        self.kept = (-BETA_MIN / steps - spread).exp()
        """Alpha: the share of the variance that a step keeps."""
        self.kept_since = self.kept.cumprod(0)
        """Its product up to this step, alpha-bar."""
        self.added = 1.0 - self.kept
        """Beta: the variance that a step adds."""

    def __len__(self) -> int:
        return len(self.kept)

    def noised(self, action: Tensor, step: Tensor, noise: Tensor) -> Tensor:
        """Actions (B, A) after ``step`` (B,), with standard normal ``noise`` (B, A)."""
        kept = self.kept_since[step][:, None]
        return kept.sqrt() * action + (1.0 - kept).sqrt() * noise

    def gains(self, step: int) -> tuple[float, float, float]:
        """Of one denoising step x -> by_x * x - by_epsilon * epsilon + by_noise * noise."""
        kept, since = float(self.kept[step]), float(self.kept_since[step])
        by_epsilon = (1.0 - kept) / math.sqrt((1.0 - since) * kept)
        return 1.0 / math.sqrt(kept), by_epsilon, math.sqrt(1.0 - kept) if step > 0 else 0.0


def denoise(schedule: Schedule, epsilon: Epsilon, noise: Tensor) -> Tensor:
    """Actions (..., A) in [-1, 1] from standard normal ``noise`` (T, ..., A): the first is where the sampling
    begins, the others are what each step but the last adds. As in the released program every step's result
    is clipped."""
    x = noise[0]
    for k in range(len(schedule)):
        step = len(schedule) - 1 - k
        by_x, by_epsilon, by_noise = schedule.gains(step)
        x = by_x * x - by_epsilon * epsilon(x, step)
        if step > 0:
            x = x + by_noise * noise[k + 1]
        x = x.clamp(-1.0, 1.0)
    return x


class EpsilonNetwork:
    """A residual network with LayerNorm: noisy action, observation and time to the noise in the action.

    Time: learned Fourier features, then two layers; with action and observation into a layer of ``width``,
    then ``blocks`` of x + Linear(swish(Linear(LayerNorm(Dropout(x))))), swish and a last layer.
    """

    def __init__(self, observations: int, actions: int, width: int, blocks: int, time_features: int) -> None:
        self.observations, self.actions = observations, actions
        self.width, self.blocks = width, blocks
        between = TIME_WIDTH * time_features
        self.shapes: dict[str, tuple[int, ...]] = {
            "frequency": (time_features // 2,),
            "time_weight0": (time_features, between),
            "time_bias0": (between,),
            "time_weight1": (between, between),
            "time_bias1": (between,),
            "by_action": (actions, width),
            "by_observation": (observations, width),
            "by_time": (between, width),
            "bias": (width,),
        }
        for k in range(blocks):
            self.shapes |= {
                f"norm_scale{k}": (width,),
                f"norm_bias{k}": (width,),
                f"up{k}": (width, WIDENING * width),
                f"up_bias{k}": (WIDENING * width,),
                f"down{k}": (WIDENING * width, width),
                f"down_bias{k}": (width,),
            }
        self.shapes |= {"out": (width, actions), "out_bias": (actions,)}

    def initialise(self, weights: Weights, generator: torch.Generator) -> None:
        together = torch.empty(sum(self.shapes[f"by_{name}"][0] for name in _INPUTS), self.width)
        xavier_(together, generator)
        sizes = [self.shapes[f"by_{name}"][0] for name in _INPUTS]
        for name, part in zip(_INPUTS, together.split(sizes), strict=True):
            weights[f"by_{name}"].copy_(part)
        for name, tensor in weights.items():
            if name == "frequency":
                tensor.copy_(0.2 * torch.randn(tensor.shape, generator=generator))
            elif "norm_scale" in name:
                tensor.fill_(1.0)
            elif tensor.dim() == 2 and not name.startswith("by_"):
                xavier_(tensor, generator)

    def time(self, weights: Weights, step: Tensor) -> Tensor:
        """What the numbers of steps (B,) add to the first layer, (B, width), its bias included."""
        turns = 2.0 * math.pi * step.to(weights["frequency"].dtype)[:, None] * weights["frequency"]
        features = torch.cat([turns.cos(), turns.sin()], -1)
        between = functional.silu(features @ weights["time_weight0"] + weights["time_bias0"])
        return (between @ weights["time_weight1"] + weights["time_bias1"]) @ weights["by_time"] + weights[
            "bias"
        ]

    def __call__(
        self,
        weights: Weights,
        action: Tensor,
        context: Tensor,
        drop: Callable[[Tensor], Tensor] | None = None,
    ) -> Tensor:
        """Noise in ``action`` (..., A). ``context`` (..., width): what observation and time add to the first
        layer. ``drop``: dropout, while learning."""
        x = action @ weights["by_action"] + context
        for k in range(self.blocks):
            h = x if drop is None else drop(x)
            h = functional.layer_norm(
                h, (self.width,), weights[f"norm_scale{k}"], weights[f"norm_bias{k}"], LAYER_NORM_EPSILON
            )
            h = functional.silu(h @ weights[f"up{k}"] + weights[f"up_bias{k}"])
            x = x + h @ weights[f"down{k}"] + weights[f"down_bias{k}"]
        return functional.silu(x) @ weights["out"] + weights["out_bias"]


_INPUTS: Final = ("action", "observation", "time")
"""Of the first layer, which is kept in three pieces: only the action's is new at every step of a sampling."""


def denoising_loss(
    network: EpsilonNetwork,
    schedule: Schedule,
    weights: Mapping[str, Tensor],
    observation: Tensor,
    action: Tensor,
    step: Tensor,
    noise: Tensor,
    drop: Callable[[Tensor], Tensor] | None,
) -> Tensor:
    """The mean over rows of |noise - its estimate|^2, of normalised observations (B, O), actions (B, A),
    steps (B,) and standard normal noise (B, A)."""
    context = observation @ weights["by_observation"] + network.time(weights, step)
    estimate = network(weights, schedule.noised(action, step, noise), context, drop)
    return (noise - estimate).square().sum(-1).mean()
