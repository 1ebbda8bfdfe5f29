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


UNITS = {
    "rad": True,
    "deg": True,
    "m": True,
    "mm": True,
    "m/s": False,
    "rad/s": False,
    "A": False,
    "1": False,
}
"""Which units measure a position: derating a position slows it, derating anything else makes it smaller."""


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("scale", [0.0, 0.25, 0.5, 1.0])
@pytest.mark.parametrize("rest", [-1.0, 0.0, 2.0])
def test_a_derated_actuator_ends_where_its_unit_says_at_the_pace_it_says(
    unit: str, scale: float, rest: float
) -> None:
    one = Projection(
        [Actuator(name="u", device="d", unit=unit, lower=-3.0, upper=5.0, slew=10.0, rest=rest)], RATE
    )
    for asked, end in ((np.inf, rest), (9.0, 5.0), (-9.0, -3.0)):
        value, paces = np.array([rest]), []
        for _ in range(1000):
            now = one.project(np.array([asked]), value, scale)
            paces.append(abs(float(now[0] - value[0])))
            value = now
        reached = end if UNITS[unit] and scale > 0.0 else rest + scale * (end - rest)
        assert value[0] == pytest.approx(rest if asked == np.inf else reached)
        pace = 10.0 / RATE * (scale if UNITS[unit] else 1.0)
        assert max(paces) <= pace + 1e-12
        if abs(value[0] - rest) > pace:
            assert max(paces) == pytest.approx(pace), "no slower than it must"


@given(proposals, plausible)
def test_derating_that_is_no_fraction_counts_as_the_nearest_and_none_at_all_as_zero(
    proposed: Array, last: Array
) -> None:
    for scale, counts_as in ((np.nan, 0.0), (-0.5, 0.0), (-np.inf, 0.0), (1.5, 1.0), (np.inf, 1.0)):
        strange = PROJECTION.project(proposed, last, scale)
        assert (strange == PROJECTION.project(proposed, last, counts_as)).all()


@pytest.mark.parametrize("rest", [0.1, -0.7])
def test_full_scale_reaches_the_very_limits(rest: float) -> None:
    """Shrinking a range by a factor of 1 is not exact: 0.1 + (0.6 - 0.1) is not 0.6 in floating point."""
    uppers = [u for u in np.arange(1, 60) / 13.0 if u > rest and rest + (u - rest) < u]
    assert uppers, "find other numbers"
    many = Projection(
        [
            Actuator(name=f"u{k}", device="d", unit="m/s", lower=-9.0, upper=u, slew=1.0, rest=rest)
            for k, u in enumerate(uppers)
        ],
        RATE,
    )
    limits = np.array(uppers)
    assert (many.project(limits, limits) == limits).all()
    assert (many.project(limits, limits, 1.0) == limits).all()
    assert (many.interval(limits)[1] == limits).all()
