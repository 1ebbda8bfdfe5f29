"""The projection's promises, for any bits that 64-bit floats can be made of."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from robot.safety.projection import Projection
from robot.spec import Actuator

Array = NDArray[np.float64]

ACTUATORS = (
    Actuator(name="speed", device="d", unit="m/s", lower=-1.5, upper=5.0, slew=8.0),
    Actuator(name="steering", device="d", unit="rad", lower=-0.263, upper=0.263, slew=3.2),
    Actuator(name="current", device="d", unit="A", lower=2.0, upper=30.0, slew=1e4, rest=2.0),
)
RATE = 100.0
PROJECTION = Projection(ACTUATORS, RATE)

anything = arrays(np.uint64, (4, 3), elements=st.integers(0, 2**64 - 1)).map(lambda a: a.view(np.float64))
plausible = arrays(np.float64, (4, 3), elements=st.floats(-40, 40))
proposals = st.one_of(anything, plausible)
scales = st.one_of(st.just(1.0), st.floats(0.0, 1.0), st.floats())


def inside(last: Array) -> Array:
    """What a last setpoint counts as."""
    known = np.where(np.isfinite(last), last, PROJECTION.rest)
    return np.clip(known, PROJECTION.lower, PROJECTION.upper)


@given(proposals, proposals, scales)
def test_output_is_finite_within_limits_and_within_slew(proposed: Array, last: Array, scale: float) -> None:
    out = PROJECTION.project(proposed, last, scale)
    assert out.shape == (4, 3)
    assert np.isfinite(out).all()
    assert (out >= PROJECTION.lower).all()
    assert (out <= PROJECTION.upper).all()
    anchor = inside(last)
    assert (out <= anchor + PROJECTION.step).all()
    assert (out >= anchor - PROJECTION.step).all()


@given(proposals, proposals, scales)
def test_idempotent(proposed: Array, last: Array, scale: float) -> None:
    once = PROJECTION.project(proposed, last, scale)
    assert (PROJECTION.project(once, last, scale) == once).all()


@given(plausible, st.floats(0.0, 1.0))
def test_identity_where_feasible(last: Array, fraction: float) -> None:
    low, high = PROJECTION.interval(inside(last))
    feasible = np.minimum(low + fraction * (high - low), high)
    assert (PROJECTION.project(feasible, last) == feasible).all()


@given(proposals, proposals, scales)
def test_interval_is_never_empty_and_never_grows_by_derating(
    proposed: Array, last: Array, scale: float
) -> None:
    anchor = inside(last)
    low, high = PROJECTION.interval(anchor, scale)
    full_low, full_high = PROJECTION.interval(anchor)
    assert (low <= high).all()
    assert (low >= full_low).all()
    assert (high <= full_high).all()


@given(proposals, plausible, scales)
def test_nearest_feasible_point(proposed: Array, last: Array, scale: float) -> None:
    """Equality with the clamp written out element by element."""
    anchor = inside(last)
    low, high = PROJECTION.interval(anchor, scale)
    out = PROJECTION.project(proposed, last, scale)
    for index, wanted in np.ndenumerate(proposed):
        expected = min(max(wanted, low[index]), high[index]) if np.isfinite(wanted) else anchor[index]
        assert out[index] == min(max(expected, low[index]), high[index])


@given(proposals, proposals, scales)
def test_batch_equals_one_by_one(proposed: Array, last: Array, scale: float) -> None:
    batch = PROJECTION.project(proposed, last, scale)
    for k in range(len(proposed)):
        assert (PROJECTION.project(proposed[k], last[k], scale) == batch[k]).all()


@given(plausible, plausible)
def test_tighter_limits_never_allow_more(proposed: Array, last: Array) -> None:
    tight = Projection(
        [
            Actuator(
                name=a.name,
                device="d",
                unit=a.unit,
                lower=a.lower,
                upper=a.upper,
                slew=a.slew / 2,
                rest=a.rest,
            )
            for a in ACTUATORS
        ],
        RATE,
    )
    anchor = inside(last)
    change = np.abs(tight.project(proposed, anchor) - anchor)
    assert (change <= np.abs(PROJECTION.project(proposed, anchor) - anchor) + 1e-12).all()


def test_derated_speed_comes_back_into_its_range_at_its_slew() -> None:
    last = np.array([5.0, 0.2, 2.0])
    seen = [last]
    for _ in range(60):
        seen.append(PROJECTION.project(np.array([5.0, 0.2, 2.0]), seen[-1], 0.5))
    speeds = np.array(seen)[:, 0]
    assert speeds[-1] == pytest.approx(2.5)
    assert np.diff(speeds).min() == pytest.approx(-0.08)
    assert (np.array(seen)[:, 1] == 0.2).all(), "a position is not moved by derating"


def test_derated_position_moves_at_a_fraction_of_its_slew() -> None:
    out = PROJECTION.project(np.array([0.0, 0.263, 2.0]), np.array([0.0, 0.0, 2.0]), 0.5)
    assert out[1] == pytest.approx(0.016)


def test_nothing_is_asked_of_a_proposal_that_is_not_a_number() -> None:
    last = np.array([1.0, -0.1, 3.0])
    for bad in (np.nan, np.inf, -np.inf):
        assert (PROJECTION.project(np.full(3, bad), last) == last).all()
