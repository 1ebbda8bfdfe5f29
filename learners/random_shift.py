"""Random shifts of pictures by a few pixels: DrQ's augmentation (Kostrikov et al. 2020, arXiv 2004.13649)."""

from __future__ import annotations

import torch
from torch import Tensor


def random_shift(pictures: Tensor, most: int, generator: torch.Generator) -> Tensor:
    """Each picture of (N, height, width, channels) moved by up to ``most`` pixels along both axes, uniformly
    and independently; all of its channels alike, so that a stack moves as one. Its edges are repeated."""
    count = len(pictures)
    offsets = torch.randint(-most, most + 1, (2, count), generator=generator)
    return shift(pictures, offsets[0], offsets[1]) if most else pictures


def shift(pictures: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """Pixel (y, x) of the result n is pixel (y + down[n], x + right[n]) of ``pictures``, or the nearest."""
    count, height, width, _ = pictures.shape
    number, row, column = (torch.arange(n, device=pictures.device) for n in (count, height, width))
    rows = (row + down[:, None]).clamp(0, height - 1)
    columns = (column + right[:, None]).clamp(0, width - 1)
    return pictures[number[:, None, None], rows[:, :, None], columns[:, None, :]]
