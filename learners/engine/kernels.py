"""The engine's elementwise passes, bound to preallocated tensors once and then called without arguments."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from torch import Tensor

from learners.engine.compiled import NoCompilerError, load_library
from learners.engine.dropout import Drops

Call = Callable[[], object]

LAYER_NORM_EPSILON = 1e-6
"""Flax's default, which RLPD uses (torch's is 1e-5)."""


class Affine(NamedTuple):
    """The vectors of one hidden layer, or their gradients, each (width,): the bias before LayerNorm, and the
    scale and shift after it; None without LayerNorm."""

    bias: Tensor
    scale: Tensor | None
    shift: Tensor | None


class Head(NamedTuple):
    """The output layer, or its gradient: weight (width, 1) and bias (1,)."""

    weight: Tensor
    bias: Tensor


class Kernels(Protocol):
    """One hidden layer is ``h = relu(LayerNorm(dropout(z + bias)) * scale + shift)``, ``z`` (rows, width)
    being a product's result; without LayerNorm, which is where ``deviation`` is None, it is
    ``h = relu(dropout(z + bias))``. What is bound keeps its tensors alive."""

    def layer(self, z: Tensor, affine: Affine, deviation: Tensor | None, drops: Drops, h: Tensor) -> Call:
        """The layer; ``z`` becomes the normalised rows and ``deviation`` (rows,) the inverse of their
        standard deviation, which the way back needs. Without LayerNorm ``z`` becomes what is rectified."""
        ...

    def layer_value(
        self, z: Tensor, affine: Affine, deviation: Tensor | None, drops: Drops, head: Head, value: Tensor
    ) -> Call:
        """The last layer with its head: ``value = h @ weight + bias``, (rows,)."""
        ...

    def layer_backward(
        self, z: Tensor, affine: Affine, deviation: Tensor | None, drops: Drops, up: Tensor, gradient: Affine
    ) -> Call:
        """Back through ``layer``: ``up`` is the gradient by ``h``; ``z`` becomes that by what ``z`` was."""
        ...

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
        """Back through ``layer_value`` from the gradient by ``value``: ``gain * (value - target)``, or
        ``gain`` without a target."""
        ...

    def rectify(self, z: Tensor, bias: Tensor, h: Tensor) -> Call:
        """``h = relu(z + bias)``"""
        ...

    def rectify_backward(self, up: Tensor, h: Tensor, z: Tensor, bias: Tensor) -> Call:
        """From the gradient by ``h`` those by ``z`` and by the bias."""
        ...

    def adam(
        self,
        weight: Tensor,
        gradient: Tensor,
        moments: tuple[Tensor, Tensor],
        average: Tensor,
        operands: tuple[Tensor, Tensor] | None,
        constants: tuple[float, float, float, float],
    ) -> Callable[[float, float], object]:
        """A step of Adam; ``average`` then moves towards the weight, and both are rounded into ``operands``.

        ``constants``: decay of the two moments, epsilon, the average's share. Called with the learning rate
        and the second moment's correction.
        """
        ...


def load_kernels() -> tuple[Kernels, str | None]:
    """Compiled kernels, or plain torch ones and a line for a person that says why."""
    from learners.engine.compiled_kernels import CompiledKernels
    from learners.engine.torch_kernels import TorchKernels

    try:
        return CompiledKernels(load_library()), None
    except NoCompilerError as error:
        return TorchKernels(), f"learning more slowly, without compiled kernels: {error}"
