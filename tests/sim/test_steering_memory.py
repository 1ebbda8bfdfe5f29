"""What is kept of a steering's history is enough for any play."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from sim.steering_memory import POINTS, turning_points

ANGLES = st.lists(st.floats(-0.4, 0.4) | st.just(float("nan")), min_size=1, max_size=200)


def played(angles: NDArray[np.float64], play: float) -> float:
    """Where wheels stand that followed ``angles`` with so much play to either side."""
    wheels = angles[0]
    for angle in angles:
        wheels = min(max(wheels, angle - play), angle + play)
    return float(wheels)


@given(ANGLES, st.floats(0.0, 0.2))
def test_the_turning_points_say_what_the_whole_history_says(angles: list[float], play: float) -> None:
    """Where a swing that is kept goes through the whole play; else nothing says where the wheels are."""
    history = np.array([0.0, *angles])
    told = turning_points(np.append(history, 0.0), [len(history)])[0]
    sent = history[np.isfinite(history)]
    assert told[-1] == sent[-1]
    if np.abs(np.diff(told)).max() >= 2.0 * play:
        assert played(told, play) == pytest.approx(played(sent, play), abs=1e-12)


def test_small_swings_do_not_drive_out_wide_ones() -> None:
    rng = np.random.default_rng(0)
    history = np.concatenate(([0.3, -0.2, 0.1], 0.1 + 0.004 * rng.standard_normal(500)))
    told = turning_points(np.append(history, 0.0), [len(history)])[0]
    for play in (0.0, 0.005, 0.02, 0.1):
        assert played(told, play) == pytest.approx(played(history, play), abs=1e-3)


def test_before_the_first_command_the_steering_is_straight() -> None:
    assert turning_points(np.array([0.2, 0.1]), [0, 1]).tolist() == [[0.0] * POINTS, [0.2] * POINTS]
