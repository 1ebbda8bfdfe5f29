"""Dropout's masks are independent Bernoulli ones, however they are drawn."""

from __future__ import annotations

import pytest
import torch

from learners.engine.dropout import Dropout

SIZES = [30, 1, 500, 69]


def masks(dropout: Dropout) -> list[torch.Tensor]:
    dropout.draw()
    return [dropout.drops(k).mask((size,)) for k, size in enumerate(SIZES)]


@pytest.mark.parametrize("ahead", [1, 7])
@pytest.mark.parametrize("share", [0.01, 0.3, 0.9])
def test_every_unit_is_dropped_as_often_and_independently(share: float, ahead: int) -> None:
    dropout = Dropout(share, SIZES, torch.Generator().manual_seed(0))
    draws, drawn = 2100, []
    for k in range(draws):
        if k % ahead == 0:
            dropout.draw_ahead(ahead)
        drawn.append(torch.cat(masks(dropout)) == 0)
    dropped = torch.stack(drawn).double()
    deviation = (share * (1 - share) / draws) ** 0.5
    assert ((dropped.mean(0) - share).abs() < 5 * deviation).all()
    for apart in (1, 2, 31):  # neighbours, and units of different arrays
        together = (dropped[:, apart:] * dropped[:, :-apart]).mean()
        pairs = draws * (600 - apart)
        assert abs(together - share**2) < 5 * (share**2 * (1 - share**2) / pairs) ** 0.5 * 3**0.5
    later = (dropped[1:] * dropped[:-1]).mean()
    assert abs(later - share**2) < 5 * (3 * share**2 / (draws * 600)) ** 0.5


def test_kept_units_keep_the_mean() -> None:
    dropout = Dropout(0.25, SIZES, torch.Generator().manual_seed(0))
    values = torch.cat(masks(dropout)).unique()
    torch.testing.assert_close(values, torch.tensor([0.0, 4 / 3]))


def test_without_dropout_nothing_is_drawn_or_changed() -> None:
    generator = torch.Generator().manual_seed(0)
    before = generator.get_state()
    assert all((mask == 1).all() for mask in masks(Dropout(0.0, SIZES, generator)))
    assert torch.equal(generator.get_state(), before)
