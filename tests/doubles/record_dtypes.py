"""Hypothesis: structured dtypes with C alignment, nested and with arrays, as records are made of."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

PRIMITIVES = ("?", "u1", "i1", "<u2", "<i2", "<u4", "<i4", "<u8", "<i8", "<f4", "<f8")


def _struct(formats: list[Any]) -> np.dtype[np.void]:
    return np.dtype(
        [(f"f{k}", *(f if isinstance(f, tuple) else (f,))) for k, f in enumerate(formats)], align=True
    )


_leaf = st.one_of(
    st.sampled_from(PRIMITIVES), st.tuples(st.sampled_from(PRIMITIVES), st.tuples(st.integers(0, 3)))
)
record_dtypes = st.recursive(
    st.lists(_leaf, min_size=1, max_size=6).map(_struct),
    lambda inner: st.lists(
        st.one_of(_leaf, inner, st.tuples(inner, st.tuples(st.integers(1, 2)))), min_size=1, max_size=5
    ).map(_struct),
    max_leaves=12,
).filter(lambda dtype: dtype.itemsize > 0)
