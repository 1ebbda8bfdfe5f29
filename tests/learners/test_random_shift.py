from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from learners.random_shift import random_shift, shift


@settings(deadline=None, max_examples=60)
@given(
    st.integers(1, 4),
    st.integers(1, 9),
    st.integers(1, 9),
    st.integers(1, 7),
    st.integers(0, 6),
    st.integers(0, 99),
)
def test_a_shift_is_a_window_of_the_padded_picture(
    count: int, height: int, width: int, channels: int, most: int, seed: int
) -> None:
    """As the paper says it: repeat the edges ``most`` times, then cut a picture of the old size out."""
    rng = np.random.default_rng(seed)
    pictures = rng.integers(0, 256, (count, height, width, channels), np.uint8)
    down, right = rng.integers(-most, most + 1, (2, count))
    found = shift(torch.from_numpy(pictures), torch.from_numpy(down), torch.from_numpy(right)).numpy()
    for k in range(count):
        padded = np.pad(pictures[k], ((most, most), (most, most), (0, 0)), mode="edge")
        y, x = most + down[k], most + right[k]
        np.testing.assert_array_equal(found[k], padded[y : y + height, x : x + width])


def test_every_shift_is_equally_likely_and_the_generator_decides() -> None:
    """A picture of its coordinates tells by its centre where it went."""
    y, x = np.mgrid[:9, :9].astype(np.uint8)
    pictures = torch.from_numpy(np.stack([y, x], -1)).expand(8100, 9, 9, 2).contiguous()
    found = random_shift(pictures, 1, torch.Generator().manual_seed(0))
    centres = found[:, 4, 4].numpy().astype(int) - 4
    _, counts = np.unique(centres, axis=0, return_counts=True)
    assert len(counts) == 9 and abs(counts - 900).max() < 120  # 4 standard deviations
    again = random_shift(pictures, 1, torch.Generator().manual_seed(0))
    other = random_shift(pictures, 1, torch.Generator().manual_seed(1))
    assert torch.equal(found, again) and not torch.equal(found, other)


@pytest.mark.parametrize("most", [0])
def test_no_shift_leaves_pictures_alone(most: int) -> None:
    pictures = torch.randint(0, 256, (3, 5, 5, 3), dtype=torch.uint8)
    assert torch.equal(random_shift(pictures, most, torch.Generator()), pictures)
