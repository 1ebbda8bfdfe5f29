"""The kernels as plain torch operations: where there is no compiler, and to test the compiled ones by."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from learners.engine.dropout import Drops
from learners.engine.kernels import LAYER_NORM_EPSILON, Affine, Call, Head


class TorchKernels:
    """``Kernels`` in several sweeps over memory and with temporaries."""

    def layer(self, z: Tensor, affine: Affine, deviation: Tensor | None, drops: Drops, h: Tensor) -> Call:
        def call() -> None:
            _normalise(z, affine, deviation, drops)
            h.copy_(_rectified(z, affine))

        return call

    def layer_value(
        self, z: Tensor, affine: Affine, deviation: Tensor | None, drops: Drops, head: Head, value: Tensor
    ) -> Call:
        def call() -> None:
            _normalise(z, affine, deviation, drops)
            torch.addmv(head.bias, _rectified(z, affine), head.weight[:, 0], out=value)

        return call

    def layer_backward(
        self, z: Tensor, affine: Affine, deviation: Tensor | None, drops: Drops, up: Tensor, gradient: Affine
    ) -> Call:
        def call() -> None:
            _backward(z, affine, deviation, drops, up.to(affine.bias.dtype), gradient)

        return call

    def value_backward(
        self,
        z: Tensor,
        affine: Affine,
        deviation: Tensor | None,
        drops: Drops,
        head: Head,
        value: Tensor,
        target: Tensor | None,
        gain: float,
        gradient: Affine,
        head_gradient: Head,
    ) -> Call:
        def call() -> None:
            by_value = torch.full_like(value, gain) if target is None else gain * (value - target)
            head_gradient.bias.copy_(by_value.sum())
            torch.mv(_rectified(z, affine).t(), by_value, out=head_gradient.weight[:, 0])
            _backward(z, affine, deviation, drops, torch.outer(by_value, head.weight[:, 0]), gradient)

        return call

    def rectify(self, z: Tensor, bias: Tensor, h: Tensor) -> Call:
        return lambda: h.copy_((z.to(bias.dtype) + bias).relu_())

    def rectify_backward(self, up: Tensor, h: Tensor, z: Tensor, bias: Tensor) -> Call:
        def call() -> None:
            by_z = torch.where(h > 0, up, 0.0).to(bias.dtype)
            torch.sum(by_z, 0, out=bias)
            z.copy_(by_z)

        return call

    def adam(
        self,
        weight: Tensor,
        gradient: Tensor,
        moments: tuple[Tensor, Tensor],
        average: Tensor,
        operands: tuple[Tensor, Tensor] | None,
        constants: tuple[float, float, float, float],
    ) -> Callable[[float, float], object]:
        decay_first, decay_second, epsilon, share = constants
        first, second = moments

        def step(rate: float, correction: float) -> None:
            g = gradient.to(weight.dtype)
            first.lerp_(g, 1.0 - decay_first)
            second.lerp_(g * g, 1.0 - decay_second)
            weight.sub_(rate * first / (second.sqrt() * correction + epsilon))
            average.lerp_(weight, share)
            if operands is not None:
                operands[0].copy_(weight)
                operands[1].copy_(average)

        return step


def _normalise(z: Tensor, affine: Affine, deviation: Tensor | None, drops: Drops) -> None:
    x = (z.to(affine.bias.dtype) + affine.bias) * drops.mask(z.shape)
    if deviation is not None:
        x -= x.mean(1, keepdim=True)
        torch.rsqrt(x.square().mean(1) + LAYER_NORM_EPSILON, out=deviation)
        x *= deviation[:, None]
    z.copy_(x)


def _scaled(normalised: Tensor, affine: Affine) -> Tensor:
    x = normalised.to(affine.bias.dtype)
    return x if affine.scale is None else x * affine.scale + affine.shift


def _rectified(normalised: Tensor, affine: Affine) -> Tensor:
    return _scaled(normalised, affine).relu()


def _backward(
    z: Tensor, affine: Affine, deviation: Tensor | None, drops: Drops, up: Tensor, gradient: Affine
) -> None:
    n = z.to(affine.bias.dtype)
    x = torch.where(_scaled(n, affine) > 0, up, 0.0)
    if deviation is not None:
        torch.sum(x * n, 0, out=gradient.scale)
        torch.sum(x, 0, out=gradient.shift)
        x = x * affine.scale
        x = x - x.mean(1, keepdim=True) - n * (x * n).mean(1, keepdim=True)
        x *= deviation[:, None]
    x *= drops.mask(z.shape)
    torch.sum(x, 0, out=gradient.bias)
    z.copy_(x)
