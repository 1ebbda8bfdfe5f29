"""Bounded acceleration: whatever is asked, position, velocity and acceleration all hold; nothing less is
given."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robot.safety.projection import Projection
from robot.spec import Actuator

RATE = 100.0
LIMIT = {"lower": -1.0, "upper": 0.6, "slew": 2.0}


def joint(acceleration: float | None) -> Projection:
    return Projection(
        [Actuator(name="q", device="d", unit="rad", acceleration=acceleration, **LIMIT)],  # type: ignore[arg-type]
        RATE,
    )


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(st.floats(0.5, 300.0), st.integers(0, 2**32 - 1))
def test_every_bound_holds_at_once_against_any_sequence(acceleration: float, seed: int) -> None:
    """Sixty joints for 4 s: bang-bang, noise, NaN and infinities, with derating that comes and goes."""
    rng = np.random.default_rng(seed)
    projection = joint(acceleration)
    wild = np.array([-9.0, 9.0, np.nan, np.inf, -np.inf, -1.0, 0.6, 0.0])
    before = last = np.zeros((60, 1))
    goal = last
    scale = 1.0
    for _ in range(400):
        goal = np.where(rng.random((60, 1)) < 0.1, rng.choice(wild, (60, 1)), goal)
        goal = np.where(rng.random((60, 1)) < 0.1, rng.normal(size=(60, 1)), goal)
        scale = rng.choice([0.3, 1.0]) if rng.random() < 0.02 else scale
        now = projection.project(goal, last, scale, before)
        assert (now >= LIMIT["lower"]).all() and (now <= LIMIT["upper"]).all()
        assert (np.abs(now - last) <= LIMIT["slew"] / RATE + 1e-12).all()
        assert (np.abs(now - 2.0 * last + before) <= acceleration / RATE**2 + 1e-12).all()
        before, last = last, now


def stops_within(step: float, change: float) -> float:
    """How far a joint goes, this step included, if every following step is shorter by ``change``."""
    gone = 0.0
    while step > 0.0:
        gone += step
        step -= change
    return gone


@given(st.floats(1e-4, 0.5), st.floats(1.0, 100.0))
def test_the_step_towards_an_end_is_the_largest_that_can_still_stop(room: float, acceleration: float) -> None:
    projection, change = joint(acceleration), acceleration / RATE**2
    step = float(projection._stoppable(np.array([room]))[0])
    assert stops_within(step, change) <= room * (1 + 1e-9)
    assert stops_within(step * (1 + 1e-6) + 1e-12, change) > room * (1 - 1e-9)


@given(st.floats(-0.9, 0.5), st.floats(-0.9, 0.5))
def test_without_an_acceleration_limit_history_does_not_matter(last: float, before: float) -> None:
    free = joint(None)
    asked = np.array([0.3])
    assert free.project(asked, np.array([last]), 1.0, np.array([before])) == free.project(
        asked, np.array([last])
    )


@given(st.floats(-0.9, 0.5), st.sampled_from([np.nan, np.inf, -np.inf, 1e300]))
def test_a_history_that_is_none_counts_as_at_rest_or_at_full_rate(last: float, before: float) -> None:
    projection = joint(20.0)
    asked = projection.project(np.array([9.0]), np.array([last]), 1.0, np.array([before]))
    assert np.isfinite(asked).all()
    assert abs(asked[0] - last) <= LIMIT["slew"] / RATE + 1e-12
    if np.isnan(before):
        assert asked == projection.project(np.array([9.0]), np.array([last]), 1.0, np.array([last]))


def test_a_joint_that_comes_too_fast_brakes_all_it_can_and_keeps_its_range() -> None:
    projection = joint(5.0)
    last, before = np.array([0.595]), np.array([0.575])  # 2 m/s and 5 mm to go
    now = projection.project(np.array([9.0]), last, 1.0, before)
    assert now[0] == pytest.approx(0.6)
    away = projection.project(np.array([0.0]), np.array([0.0]), 1.0, np.array([-0.02]))
    assert away[0] == pytest.approx(0.02 - 5.0 / RATE**2)
