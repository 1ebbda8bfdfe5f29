"""The kernels in C++, bound by address."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from learners.engine.dropout import Drops
from learners.engine.kernels import LAYER_NORM_EPSILON, Affine, Call, Head

_REAL = {torch.float32: ctypes.c_float, torch.float64: ctypes.c_double}


class CompiledKernels:
    """``Kernels`` of a loaded library. Raises ValueError for a tensor that is not dense."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library

    def layer(self, z: Tensor, affine: Affine, deviation: Tensor | None, drops: Drops, h: Tensor) -> Call:
        return self._layer(z, affine, deviation, drops, h, None, None)

    def layer_value(
        self, z: Tensor, affine: Affine, deviation: Tensor | None, drops: Drops, head: Head, value: Tensor
    ) -> Call:
        return self._layer(z, affine, deviation, drops, None, head, value)

    def _layer(
        self,
        z: Tensor,
        affine: Affine,
        deviation: Tensor | None,
        drops: Drops,
        h: Tensor | None,
        head: Head | None,
        value: Tensor | None,
    ) -> Call:
        real = _REAL[affine.bias.dtype]
        return self._bind(
            f"layer_{_name(z)}",
            z,
            *affine,
            h,
            *(head or (None, None)),
            value,
            deviation,
            *z.shape,
            real(LAYER_NORM_EPSILON),
            real(drops.keep),
            drops.positions,
            drops.edges,
            drops.start,
        )

    def layer_backward(
        self, z: Tensor, affine: Affine, deviation: Tensor | None, drops: Drops, up: Tensor, gradient: Affine
    ) -> Call:
        nothing = Head(None, None)
        return self._layer_backward(
            z, affine, deviation, drops, up, nothing, None, None, 0.0, gradient, nothing
        )

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
        return self._layer_backward(
            z, affine, deviation, drops, None, head, value, target, gain, gradient, head_gradient
        )

    def _layer_backward(
        self,
        z: Tensor,
        affine: Affine,
        deviation: Tensor | None,
        drops: Drops,
        up: Tensor | None,
        head: Head,
        value: Tensor | None,
        target: Tensor | None,
        gain: float,
        gradient: Affine,
        head_gradient: Head,
    ) -> Call:
        real = _REAL[affine.bias.dtype]
        return self._bind(
            f"layer_backward_{_name(z)}",
            z,
            up,
            value,
            target,
            real(gain),
            head.weight,
            affine.scale,
            affine.shift,
            deviation,
            *gradient,
            *head_gradient,
            *z.shape,
            real(drops.keep),
            drops.positions,
            drops.edges,
            drops.start,
        )

    def rectify(self, z: Tensor, bias: Tensor, h: Tensor) -> Call:
        return self._bind(f"rectify_{_name(z)}_{_name(h)}", z, bias, h, *z.shape)

    def rectify_backward(self, up: Tensor, h: Tensor, z: Tensor, bias: Tensor) -> Call:
        return self._bind(f"rectify_backward_{_name(z)}_{_name(h)}", up, h, z, bias, *z.shape)

    def adam(
        self,
        weight: Tensor,
        gradient: Tensor,
        moments: tuple[Tensor, Tensor],
        average: Tensor,
        operands: tuple[Tensor, Tensor] | None,
        constants: tuple[float, float, float, float],
    ) -> Callable[[float, float], object]:
        real = _REAL[weight.dtype]
        return self._bind(
            f"adam_{_name(gradient)}",
            weight,
            gradient,
            *moments,
            average,
            *(operands or (None, None)),
            weight.numel(),
            *(real(c) for c in constants),
            rest=(real, real),
        )

    def _bind(self, name: str, *arguments: Any, rest: tuple[type, ...] = ()) -> partial[None]:
        """The function with its arguments, converted once: tensors to addresses, integers to 64 bits.
        ``rest``: types of what comes with each call."""
        converted = [_convert(name, a) for a in arguments]
        function = self._library[name]
        function.restype = None
        function.argtypes = [*(type(c) for c in converted), *rest]
        return partial(function, *converted)


class _Address(ctypes.c_void_p):
    """Of a tensor, which it keeps alive."""

    def __init__(self, tensor: Tensor) -> None:
        super().__init__(tensor.data_ptr())
        self.tensor = tensor


def _convert(name: str, argument: Any) -> Any:
    if argument is None:
        return ctypes.c_void_p(None)
    if isinstance(argument, int):
        return ctypes.c_int64(argument)
    if isinstance(argument, Tensor):
        if not argument.is_contiguous():
            raise ValueError(f"{name}: expected dense tensors; got strides {argument.stride()}")
        return _Address(argument)
    return argument


def _name(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
