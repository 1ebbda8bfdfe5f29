"""Pictures of runs in which something did not happen: drawn, and without a word on standard error."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import pytest

from launch import figures

NONE = np.zeros(0)


@pytest.mark.parametrize(
    "draw",
    [
        lambda: figures.lap_times([("exploring policy", NONE, NONE)], [], NONE),
        lambda: figures.troubles(0.0, NONE, NONE, NONE),
        lambda: figures.speeds("m/s", [("demonstration", NONE), ("first 5.0 min", NONE)]),
        lambda: figures.curves("no run", [("case", [])], [], ("steps", "return")),
        lambda: figures.dots("no run", [figures.Dots("laps", [("case", NONE)])]),
    ],
    ids=["lap_times", "troubles", "speeds", "curves", "dots"],
)
def test_nothing_to_show_is_a_picture_without_a_warning(draw: Callable[[], bytes]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert draw().startswith(b"\x89PNG")
