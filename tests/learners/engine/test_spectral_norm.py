"""The largest singular value, and gradients, against torch's own in float64."""

from __future__ import annotations

import pytest
import torch

from learners.engine.parameters import Parameters
from learners.engine.spectral_norm import follow, normalised, pull_back
from learners.networks import Critics

pytestmark = pytest.mark.usefixtures("_float64")


def test_what_a_product_reads_stretches_nothing_once_its_direction_is_found() -> None:
    weight, operand = torch.randn(3, 9, 14), torch.empty(3, 9, 14)
    direction = torch.full((3, 9), 9**-0.5)
    for _ in range(500):
        follow(weight, direction, operand)
    torch.testing.assert_close(torch.linalg.matrix_norm(operand, 2), torch.ones(3))
    torch.testing.assert_close(operand, weight / torch.linalg.matrix_norm(weight, 2)[:, None, None])


def test_the_gradient_equals_autograd_s_whatever_the_direction() -> None:
    weight, gradient = torch.randn(3, 9, 14, requires_grad=True), torch.randn(3, 9, 14)
    direction = torch.nn.functional.normalize(torch.randn(3, 9), dim=1)
    along = torch.einsum("eio,ei->eo", weight, direction)
    product = weight / along.square().sum(1).sqrt()[:, None, None]
    (wanted,) = torch.autograd.grad(product, weight, gradient)
    torch.testing.assert_close(normalised(weight.detach(), direction), product.detach())
    pull_back(weight.detach(), direction, gradient)
    torch.testing.assert_close(gradient, wanted)


@pytest.mark.parametrize("operand", [torch.float64, torch.bfloat16])
def test_only_what_the_product_of_the_last_layer_reads_is_normalised(operand: torch.dtype) -> None:
    network = Critics(2, 3, (5, 6), spectral_norm=True)
    made, same = Parameters(network.shapes, operand), Parameters(network.shapes, operand)
    network.initialise(made.tensors, torch.Generator().manual_seed(0))
    made.round()
    weight, direction = made.tensors["weight1"], made.tensors["direction1"]
    torch.testing.assert_close(made.operands["weight1"], normalised(weight, direction).to(operand))
    torch.testing.assert_close(made.operands["weight0"], made.tensors["weight0"].to(operand))
    same.copy_(made.flat)
    for name, found in made.operands.items():
        assert torch.equal(found, same.operands[name])
