"""torch's fused Adam on a device's parameters, with moments in the layout of ``engine.adam``'s."""

from __future__ import annotations

import torch
from torch import Tensor

from learners.engine.adam import DECAY_FIRST, DECAY_SECOND, EPSILON
from learners.engine.parameters import Parameters


class DeviceAdam:
    """``leaves``: the parameters for autograd, in the same memory."""

    def __init__(self, parameters: Parameters, rate: float) -> None:
        shapes = {name: tuple(tensor.shape) for name, tensor in parameters.tensors.items()}
        self.leaves = {name: t.detach().requires_grad_() for name, t in parameters.tensors.items()}
        device = parameters.flat.device
        with device:
            self.first, self.second = Parameters(shapes), Parameters(shapes)
            self.steps = torch.zeros(len(shapes), dtype=torch.float32)
        self._optimiser = torch.optim.Adam(
            self.leaves.values(),
            rate,
            (DECAY_FIRST, DECAY_SECOND),
            EPSILON,
            fused=True,
            capturable=device.type == "cuda",
        )
        moments = zip(self.steps, self.first.tensors.values(), self.second.tensors.values(), strict=True)
        for leaf, (step, first, second) in zip(self.leaves.values(), moments, strict=True):
            self._optimiser.state[leaf] = {"step": step, "exp_avg": first, "exp_avg_sq": second}

    def step(self) -> None:
        """Along the leaves' ``grad``."""
        self._optimiser.step()


def descend(loss: Tensor, *optimisers: DeviceAdam) -> None:
    """One step of each on ``loss``."""
    leaves = [leaf for optimiser in optimisers for leaf in optimiser.leaves.values()]
    for leaf, gradient in zip(leaves, torch.autograd.grad(loss, leaves), strict=True):
        leaf.grad = gradient.contiguous()  # the fused step goes through memory, whatever the strides
    for optimiser in optimisers:
        optimiser.step()
