"""Dropout (DroQ, Hiraoka et al. 2022, arXiv 2110.02034) as lists of what is dropped.

Of a hundred units one is dropped, so it is cheaper to draw the gaps between dropped units, which are
geometric, than to draw for each unit: the masks are the same independent Bernoulli ones.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class Drops(NamedTuple):
    """What is dropped in one array of units: ``positions[edges[0]:edges[1]] - start``, ascending, in the flat
    array; the others are multiplied by ``keep``."""

    positions: Tensor
    edges: Tensor
    start: int
    keep: float

    def mask(self, shape: Sequence[int]) -> Tensor:
        """0 where dropped, ``keep`` elsewhere."""
        mask = torch.full(tuple(shape), self.keep)
        first, last = self.edges.tolist()
        mask.view(-1)[self.positions[first:last].long() - self.start] = 0.0
        return mask


class Dropout:
    """Fresh masks for several arrays of units at each ``draw``; ``share`` of the units is dropped.

    ``sizes``: how many units each array has.
    """

    def __init__(self, share: float, sizes: Sequence[int], generator: torch.Generator) -> None:
        self._share, self._generator = share, generator
        total = sum(sizes)
        self._starts = torch.tensor([0, *itertools.accumulate(sizes)], dtype=torch.float64)
        self._edges = torch.zeros(len(sizes) + 1, dtype=torch.int64)
        # Ten standard deviations more than are dropped on average.
        spread = math.sqrt(total * share * (1.0 - share))
        self._positions = torch.zeros(math.ceil(total * share + 10.0 * spread) + 10, dtype=torch.int64)

    def draw(self) -> None:
        """Other masks from here on."""
        if self._share == 0.0:
            return
        uniform = torch.rand(len(self._positions), dtype=torch.float64, generator=self._generator)
        gaps = uniform.neg_().log1p_().div_(math.log1p(-self._share)).floor_().add_(1.0)
        positions = gaps.cumsum_(0).sub_(1.0)
        torch.searchsorted(positions, self._starts, out=self._edges)
        self._positions.copy_(positions)

    def drops(self, array: int) -> Drops:
        """Of the given array; the tensors are the same after every ``draw``."""
        start = int(self._starts[array])
        return Drops(self._positions, self._edges[array : array + 2], start, 1.0 / (1.0 - self._share))
