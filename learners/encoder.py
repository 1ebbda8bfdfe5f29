"""A convolutional encoder: pictures to a few features, trained by whoever has a gradient by them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from learners.engine.adam import Adam
from learners.engine.kernels import Kernels
from learners.engine.parameters import Parameters
from robot.contract import ImageTerm
from robot.errors import SandlotError, SpecError

KERNEL: Final = 3
NORM_EPSILON: Final = 1e-5
"""DrQ's (torch's default)."""


class Network:
    """DrQ's (Kostrikov et al. 2020, arXiv 2004.13649): for each camera convolutions of 3 x 3 with ReLU, then
    of all cameras together one Linear, LayerNorm and tanh. Raises SpecError if a picture is too small for
    the convolutions."""

    def __init__(
        self, images: tuple[ImageTerm, ...], filters: tuple[int, ...], strides: tuple[int, ...], features: int
    ) -> None:
        least = 1
        for stride in reversed(strides):
            least = (least - 1) * stride + KERNEL
        for image in images:
            if min(image.height, image.width) < least:
                raise SpecError(
                    f"image {image.name!r} has {image.height} x {image.width} pixels; convolutions with the "
                    f"strides {', '.join(map(str, strides))} need at least {least} x {least}. Take larger "
                    "pictures, or fewer filters and strides"
                )
        self.images, self.strides = images, strides
        self.shapes: dict[str, tuple[int, ...]] = {}
        outputs = 0
        for camera, image in enumerate(images):
            height, width, below = image.height, image.width, image.channels * image.stack
            for k, (count, stride) in enumerate(zip(filters, strides, strict=True)):
                self.shapes[f"kernel{camera}_{k}"] = (count, below, KERNEL, KERNEL)
                self.shapes[f"kernel_bias{camera}_{k}"] = (count,)
                height, width = ((side - KERNEL) // stride + 1 for side in (height, width))
                below = count
            outputs += height * width * below
        self.shapes |= {
            "projection": (outputs, features),
            "projection_bias": (features,),
            "norm_scale": (features,),
            "norm_bias": (features,),
        }

    def initialise(self, weights: Mapping[str, Tensor], generator: torch.Generator) -> None:
        """Orthogonal, as DrQ."""
        for name, tensor in weights.items():
            if len(tensor.shape) > 1:
                gain = math.sqrt(2.0) if name.startswith("kernel") else 1.0
                torch.nn.init.orthogonal_(tensor, gain, generator=generator)
            elif name == "norm_scale":
                tensor.fill_(1.0)

    def __call__(self, weights: Mapping[str, Tensor], pictures: tuple[Tensor, ...]) -> Tensor:
        """For each camera (N, height, width, stack * channels), uint8, to (N, features) in (-1, 1)."""
        parts = []
        for camera, picture in enumerate(pictures):
            dtype = weights["projection"].dtype
            # In memory the channels stay last.
            h = picture.permute(0, 3, 1, 2).to(dtype).div_(255.0).sub_(0.5)
            for k, stride in enumerate(self.strides):
                kernel = weights[f"kernel{camera}_{k}"].contiguous(memory_format=torch.channels_last)
                h = functional.conv2d(h, kernel, weights[f"kernel_bias{camera}_{k}"], stride).relu()
            parts.append(h.permute(0, 2, 3, 1).flatten(1))
        h = torch.addmm(weights["projection_bias"], torch.cat(parts, 1), weights["projection"])
        size = (h.shape[1],)
        return functional.layer_norm(
            h, size, weights["norm_scale"], weights["norm_bias"], NORM_EPSILON
        ).tanh()


def merged(stacks: Tensor) -> Tensor:
    """Stacks (N, stack, height, width, channels) as pictures of more channels, oldest first:
    (N, height, width, stack * channels)."""
    return stacks.permute(0, 2, 3, 1, 4).flatten(3).contiguous()


class Encoder:
    """The network's weights, the running average of them that is published, and their descent, unless
    ``frozen``: then there is nothing that could change them."""

    def __init__(
        self,
        network: Network,
        rate: float,
        average: float,
        frozen: bool,
        generator: torch.Generator,
        kernels: Kernels,
    ) -> None:
        self.network = network
        self.parameters, self.published = Parameters(network.shapes), Parameters(network.shapes)
        network.initialise(self.parameters.tensors, generator)
        self.published.copy_(self.parameters.flat)
        self.optimiser: Adam | None = None
        if not frozen:
            self._gradients = self.parameters.gradients()
            self.optimiser = Adam(self.parameters, self._gradients, self.published, average, rate, kernels)
        self._leaves = {
            name: tensor.detach().requires_grad_(not frozen)
            for name, tensor in self.parameters.tensors.items()
        }

    def __call__(self, pictures: tuple[Tensor, ...]) -> Tensor:
        """Features (N, F), with what ``descend`` needs to come back from them."""
        return self.network(self._leaves, pictures)

    def descend(self, features: Tensor, by_features: Tensor) -> None:
        """One step of Adam along the gradient by the ``features`` of the last call; the published weights
        follow. Raises SandlotError if the encoder is frozen."""
        if self.optimiser is None:
            raise SandlotError("a frozen encoder does not descend; make one that is not frozen")
        leaves = list(self._leaves.values())
        found = torch.autograd.grad(features, leaves, by_features)
        for name, gradient in zip(self._leaves, found, strict=True):
            self._gradients[name].copy_(gradient)
        self.optimiser.step()
