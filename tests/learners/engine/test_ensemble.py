"""Gradients by hand equal autograd's, in float64, one critic at a time."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from learners.engine.backend import Backend
from learners.engine.dropout import Dropout
from learners.engine.ensemble import Ensemble
from learners.engine.kernels import load_kernels
from learners.engine.torch_kernels import TorchKernels
from learners.engine.workers import Workers
from learners.networks import Critics

INPUTS, ACTIONS, ROWS = 9, 4, 11


pytestmark = pytest.mark.usefixtures("_float64")


def make(
    critics: int,
    hidden: tuple[int, ...],
    dropout: float,
    compiled: bool,
    threads: int = 1,
    layer_norm: bool = True,
) -> tuple[Ensemble, torch.Generator]:
    """An ensemble whose weights are all different from their initial values, and that does not learn."""
    generator = torch.Generator().manual_seed(0)
    kernels = load_kernels()[0] if compiled else TorchKernels()
    network = Critics(critics, INPUTS, hidden, layer_norm=layer_norm)
    backend = Backend(kernels, Workers(threads), torch.float64, generator)
    ensemble = Ensemble(network, ACTIONS, ROWS, 0.0, 0.5, dropout, backend)
    ensemble.parameters.flat.add_(0.3 * torch.randn(len(ensemble.parameters.flat)))
    return ensemble, generator


def value(
    weights: dict[str, Tensor], member: int, inputs: Tensor, masks: dict[tuple[int, int], Tensor]
) -> Tensor:
    h, layer = inputs, 0
    while f"weight{layer}" in weights:
        w = {name: tensor[member] for name, tensor in weights.items()}
        h = (h @ w[f"weight{layer}"] + w[f"bias{layer}"]) * masks[member, layer]
        if f"norm_scale{layer}" in w:
            scale, shift = w[f"norm_scale{layer}"], w[f"norm_bias{layer}"]
            h = torch.nn.functional.layer_norm(h, h.shape[1:], scale, shift, 1e-6)
        h = h.relu()
        layer += 1
    return (h @ w["value_weight"] + w["value_bias"])[:, 0]


def masks_to_come(
    generator: torch.Generator, critics: int, hidden: tuple[int, ...], share: float
) -> dict[tuple[int, int], Tensor]:
    twin = torch.Generator()
    twin.set_state(generator.get_state())
    dropout = Dropout(share, [ROWS * width for _ in range(critics) for width in hidden], twin)
    dropout.draw()
    return {
        (e, k): dropout.drops(e * len(hidden) + k).mask((ROWS, width))
        for e in range(critics)
        for k, width in enumerate(hidden)
    }


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("layer_norm", [True, False])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("share", [0.0, 0.2])
@pytest.mark.parametrize(("critics", "hidden"), [(10, (16, 24)), (2, (7,)), (3, (33, 20, 5)), (1, (8, 8))])
def test_gradients_equal_autograd_s(
    critics: int, hidden: tuple[int, ...], share: float, threads: int, layer_norm: bool, compiled: bool
) -> None:
    ensemble, generator = make(critics, hidden, share, compiled, threads, layer_norm)
    inputs, target = torch.randn(ROWS, INPUTS), torch.randn(ROWS)
    leaves = {name: w.clone().requires_grad_() for name, w in ensemble.parameters.tensors.items()}

    masks = masks_to_come(generator, critics, hidden, share)
    values = torch.stack([value(leaves, e, inputs, masks) for e in range(critics)])
    loss = (values - target).square().mean()
    gradients = torch.autograd.grad(loss, list(leaves.values()))
    torch.testing.assert_close(ensemble.regress(inputs, target), values.detach())
    first = ensemble.optimiser.arrays()["first"]  # a tenth of the gradient after the first step
    start = ensemble.parameters.flat.data_ptr()
    for (name, w), gradient in zip(ensemble.parameters.tensors.items(), gradients, strict=True):
        at = (w.data_ptr() - start) // w.element_size()
        found = torch.from_numpy(first[at : at + w.numel()]).view(w.shape) * 10
        torch.testing.assert_close(found, gradient, rtol=1e-9, atol=1e-12, msg=lambda m, n=name: f"{n}: {m}")

    inputs.requires_grad_()
    for least in (False, True):
        masks = masks_to_come(generator, critics, hidden, share)
        values = torch.stack([value(leaves, e, inputs, masks) for e in range(critics)])
        ascended = values.amin(0) if least else values.mean(0)
        (by_inputs,) = torch.autograd.grad(ascended.sum(), inputs)
        found_values, slope = ensemble.slope(inputs.detach(), least=least)
        torch.testing.assert_close(found_values, values.detach())
        torch.testing.assert_close(slope, by_inputs[:, -ACTIONS:], rtol=1e-9, atol=1e-12)


def test_values_are_the_target_critics_in_the_order_asked_for() -> None:
    ensemble, _ = make(5, (16, 24), 0.0, compiled=True, threads=2)
    inputs = torch.randn(ROWS, INPUTS)
    ensemble.regress(inputs, torch.zeros(ROWS))
    nothing = {(e, k): torch.ones(1) for e in range(5) for k in range(2)}
    wanted = torch.stack([value(ensemble.targets.tensors, e, inputs, nothing) for e in (4, 0, 2)])
    torch.testing.assert_close(ensemble.target_values(inputs, [4, 0, 2]), wanted)
