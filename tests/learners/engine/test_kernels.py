"""The compiled kernels against the plain torch ones, for which the reference in test_sac.py vouches."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from learners.engine.compiled import load_library
from learners.engine.compiled_kernels import CompiledKernels
from learners.engine.dropout import Dropout, Drops
from learners.engine.kernels import Affine, Head, Kernels
from learners.engine.torch_kernels import TorchKernels

Draw = Callable[..., Tensor]
SHAPES = [(5, 1), (7, 13), (4, 32), (6, 64), (9, 129), (256, 256)]
"""(rows, width): around every multiple that the vectors and blocks have."""
TOLERANCE = {torch.float64: 1e-12, torch.float32: 2e-5, torch.bfloat16: 2e-2}
SUMS = {torch.float64: torch.float64, torch.float32: torch.float32, torch.bfloat16: torch.float32}


@pytest.fixture(scope="module")
def compiled() -> CompiledKernels:
    return CompiledKernels(load_library())


def drawing(seed: int, dtype: torch.dtype) -> Draw:
    generator = torch.Generator().manual_seed(seed)
    return lambda *shape, of=dtype: torch.randn(*shape, generator=generator).to(of)


def both(
    compiled: Kernels, operand: torch.dtype, work: Callable[[Kernels, Draw], tuple[Tensor, ...]]
) -> None:
    """Run the same work with both kernels on equal tensors and compare everything it returns."""
    torch.set_default_dtype(SUMS[operand])
    try:
        found, wanted = (work(k, drawing(3, SUMS[operand])) for k in (compiled, TorchKernels()))
    finally:
        torch.set_default_dtype(torch.float32)
    for ours, theirs in zip(found, wanted, strict=True):
        scale = max(1.0, theirs.double().abs().max().item())
        torch.testing.assert_close(ours, theirs, rtol=0.0, atol=TOLERANCE[operand] * scale)


def vectors(draw: Draw, width: int, layer_norm: bool) -> Affine:
    return Affine(*(draw(width) if k == 0 or layer_norm else None for k in range(3)))


def drops(rows: int, width: int, share: float) -> Drops:
    """Those of the second of two arrays, so that positions do not begin at 0."""
    dropout = Dropout(share, [3, rows * width], torch.Generator().manual_seed(1))
    dropout.draw()
    return dropout.drops(1)


@pytest.mark.parametrize("operand", TOLERANCE)
@pytest.mark.parametrize(("rows", "width"), SHAPES)
@pytest.mark.parametrize("share", [0.0, 0.01, 0.3])
@pytest.mark.parametrize("layer_norm", [True, False])
def test_a_layer_there_and_back(
    compiled: CompiledKernels, operand: torch.dtype, rows: int, width: int, share: float, layer_norm: bool
) -> None:
    def work(kernels: Kernels, draw: Draw) -> tuple[Tensor, ...]:
        z, affine = draw(rows, width, of=operand), vectors(draw, width, layer_norm)
        deviation = torch.empty(rows) if layer_norm else None
        h = torch.empty(rows, width, dtype=operand)
        at = (z, affine, deviation, drops(rows, width, share))
        kernels.layer(*at, h)()
        normalised = z.clone()
        gradient = vectors(draw, width, layer_norm)
        kernels.layer_backward(*at, draw(rows, width, of=operand), gradient)()
        found = [normalised, h, z, *(g for g in gradient if g is not None)]
        # A layer of one unit is constant: its deviation is that of nothing.
        return tuple(found if width == 1 or deviation is None else [*found, deviation])

    both(compiled, operand, work)


@pytest.mark.parametrize("operand", TOLERANCE)
@pytest.mark.parametrize(("rows", "width"), SHAPES)
@pytest.mark.parametrize("share", [0.0, 0.3])
@pytest.mark.parametrize("with_target", [True, False])
@pytest.mark.parametrize("layer_norm", [True, False])
def test_the_last_layer_with_its_head(
    compiled: CompiledKernels,
    operand: torch.dtype,
    rows: int,
    width: int,
    share: float,
    with_target: bool,
    layer_norm: bool,
) -> None:
    def work(kernels: Kernels, draw: Draw) -> tuple[Tensor, ...]:
        z, affine = draw(rows, width, of=operand), vectors(draw, width, layer_norm)
        head, target = Head(draw(width, 1), draw(1)), draw(rows) if with_target else None
        at = (z, affine, torch.empty(rows) if layer_norm else None, drops(rows, width, share))
        value = torch.empty(rows)
        kernels.layer_value(*at, head, value)()
        gradient, by_head = vectors(draw, width, layer_norm), Head(draw(width, 1), draw(1))
        kernels.value_backward(*at, head, value, target, 0.7, gradient, by_head)()
        return (value, z, *(g for g in gradient if g is not None), *by_head)

    both(compiled, operand, work)


@pytest.mark.parametrize(
    ("operand", "result"),
    [
        (torch.float64, torch.float64),
        (torch.float32, torch.float32),
        (torch.bfloat16, torch.bfloat16),
        (torch.bfloat16, torch.float32),
    ],
)
@pytest.mark.parametrize(("rows", "width"), SHAPES)
def test_a_rectifier_there_and_back(
    compiled: CompiledKernels, operand: torch.dtype, result: torch.dtype, rows: int, width: int
) -> None:
    def work(kernels: Kernels, draw: Draw) -> tuple[Tensor, ...]:
        z, bias = draw(rows, width, of=operand), draw(width)
        h, by_bias = torch.empty(rows, width, dtype=result), draw(width)
        kernels.rectify(z, bias, h)()
        kernels.rectify_backward(draw(rows, width, of=result), h, z, by_bias)()
        return h, z, by_bias

    both(compiled, operand, work)


@pytest.mark.parametrize("operand", TOLERANCE)
@pytest.mark.parametrize("size", [1, 31, 1000])
def test_three_steps_of_adam(compiled: CompiledKernels, operand: torch.dtype, size: int) -> None:
    def work(kernels: Kernels, draw: Draw) -> tuple[Tensor, ...]:
        weight, average, moments = draw(size), draw(size), (torch.zeros(size), torch.zeros(size))
        gradient = draw(size, of=operand)
        operands = None
        if operand == torch.bfloat16:
            operands = (torch.zeros(size, dtype=operand), torch.zeros(size, dtype=operand))
        step = kernels.adam(weight, gradient, moments, average, operands, (0.9, 0.999, 1e-8, 0.1))
        for k in range(3):
            step(0.01 * (k + 1), 2.0)
            gradient.neg_()
        return (weight, average, *moments, *(operands or ()))

    both(compiled, operand, work)


def test_rounding_is_to_the_nearest_and_to_even(compiled: CompiledKernels) -> None:
    bits = torch.randint(-(2**31), 2**31 - 1, (1, 100_000), dtype=torch.int64).to(torch.int32)
    numbers = bits.view(torch.float32)
    numbers = numbers[numbers.isfinite()][None]
    numbers[0, :4] = torch.tensor([1 + 2**-8, 1 + 3 * 2**-8, -1 - 2**-8, 0.0])  # ties
    rounded = torch.empty(numbers.numel(), dtype=torch.bfloat16)
    weight, zeros = numbers[0].clone(), torch.zeros(numbers.numel())
    moments = (zeros.clone(), zeros.clone())
    gradient, other = zeros.bfloat16(), torch.empty_like(rounded)
    compiled.adam(weight, gradient, moments, zeros.clone(), (rounded, other), (0.9, 0.999, 1e-8, 0.0))(
        0.0, 1.0
    )
    normal = numbers[0].abs() >= torch.finfo(torch.float32).tiny
    assert torch.equal(rounded[normal], numbers[0][normal].bfloat16())


@pytest.mark.parametrize("kernels", ["compiled", "torch"])
def test_a_nan_stays_one(compiled: CompiledKernels, kernels: str) -> None:
    """What has diverged must not look sound."""
    chosen: Kernels = compiled if kernels == "compiled" else TorchKernels()
    z, h = torch.randn(3, 40), torch.empty(3, 40)
    z[1, 7] = math.nan
    affine = Affine(torch.zeros(40), torch.ones(40), torch.zeros(40))
    chosen.layer(z, affine, torch.empty(3), drops(3, 40, 0.0), h)()
    assert h.isnan().any(1).tolist() == [False, True, False]
    z = torch.full((1, 40), math.nan)
    chosen.rectify(z, torch.zeros(40), h[:1])()
    assert h[:1].isnan().all()


def test_moments_of_dead_units_reach_zero(compiled: CompiledKernels) -> None:
    """And do not stay denormal for ever, which costs some processors a hundred cycles each."""
    weight, moments = torch.ones(50), (torch.full((50,), 1e-37), torch.zeros(50))
    step = compiled.adam(weight, torch.zeros(50), moments, torch.ones(50), None, (0.9, 0.999, 1e-8, 0.1))
    for _ in range(100):
        step(1e-3, 1.0)
    assert not moments[0].any()
    assert torch.tensor(1e-39) * 1.0 > 0  # and the thread's own arithmetic is as it was


def test_a_tensor_with_gaps_is_refused(compiled: CompiledKernels) -> None:
    with pytest.raises(ValueError, match="dense"):
        compiled.rectify(torch.zeros(4, 4).t(), torch.zeros(4), torch.zeros(4, 4))
