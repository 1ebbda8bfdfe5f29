"""Dropout (DroQ, Hiraoka et al. 2022, arXiv 2110.02034) as lists of what is dropped.

Of a hundred units one is dropped, so it is cheaper to draw the gaps between dropped units, which are
geometric, than to draw for each unit: the masks are the same independent Bernoulli ones.
"""

from __future__ import annotations

import itertools
import math
from collections import deque
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
        self._total = sum(sizes)
        self._starts = torch.tensor([0, *itertools.accumulate(sizes)], dtype=torch.float64)[:-1]
        self._edges = torch.zeros(len(sizes) + 1, dtype=torch.int64)
        self._positions = torch.zeros(self._enough(self._total), dtype=torch.int64)
        self._ahead: deque[tuple[Tensor, Tensor]] = deque()

    def draw_ahead(self, draws: int) -> None:
        """Prepare so many calls of ``draw`` at once, which costs less; what was prepared before is void."""
        self._ahead.clear()
        if self._share == 0.0:
            return
        end = draws * self._total
        uniform = torch.rand(self._enough(end), dtype=torch.float64, generator=self._generator)
        gaps = uniform.neg_().log1p_().div_(math.log1p(-self._share)).floor_().add_(1.0)
        positions = gaps.cumsum_(0).sub_(1.0)
        firsts = torch.arange(0, end, self._total, dtype=torch.float64)
        starts = torch.cat([(firsts[:, None] + self._starts).flatten(), torch.tensor([end])])
        arrays = len(self._starts)
        edges = torch.searchsorted(positions, starts).unfold(0, arrays + 1, arrays)
        counts = (edges[:, -1] - edges[:, 0]).tolist()
        within = positions[: sum(counts)].remainder_(self._total).long().split(counts)
        self._ahead.extend(zip(within, edges - edges[:, :1], strict=True))

    def draw(self) -> None:
        """Other masks from here on."""
        if self._share == 0.0:
            return
        if not self._ahead:
            self.draw_ahead(1)
        positions, edges = self._ahead.popleft()
        self._positions[: len(positions)].copy_(positions)
        self._edges.copy_(edges)

    def _enough(self, units: int) -> int:
        """How many gaps reach across so many units: ten standard deviations more than on average."""
        spread = math.sqrt(units * self._share * (1.0 - self._share))
        return math.ceil(units * self._share + 10.0 * spread) + 10

    def drops(self, array: int) -> Drops:
        """Of the given array; the tensors are the same after every ``draw``."""
        start = int(self._starts[array])
        return Drops(self._positions, self._edges[array : array + 2], start, 1.0 / (1.0 - self._share))
