"""Acceleration-limited and other actuators side by side: each as if it were alone."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robot.safety.projection import Projection
from robot.spec import Actuator

RATE = 100.0
JOINT = Actuator(name="q", device="d", unit="rad", lower=-1.0, upper=0.6, slew=2.0, acceleration=20.0)
WHEEL = Actuator(name="w", device="d", unit="m/s", lower=-2.0, upper=5.0, slew=8.0, rest=0.5)
DERIVED = Actuator(name="r", device="d", unit="rad", lower=-3.0, upper=3.0, slew=6.0, acceleration=150.0)
MOTORS = (JOINT, WHEEL, DERIVED)


@given(
    st.lists(st.tuples(*[st.sampled_from([-9.0, -0.4, 0.0, 0.3, 9.0, np.nan])] * 3), min_size=1, max_size=60),
    st.sampled_from([1.0, 0.5]),
)
def test_each_actuator_moves_as_if_it_were_alone(goals: list[tuple[float, ...]], scale: float) -> None:
    together, alone = Projection(MOTORS, RATE), [Projection([motor], RATE) for motor in MOTORS]
    last = before = np.array([motor.rest for motor in MOTORS])
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # an actuator without the limit is no division by zero
        for goal in goals:
            now = together.project(np.array(goal), last, scale, before)
            for k, one in enumerate(alone):
                part = slice(k, k + 1)
                assert now[k] == one.project(np.array(goal)[part], last[part], scale, before[part])[0]
            before, last = last, now


@pytest.mark.parametrize("toward", [-1.0, 1.0])
def test_a_bang_to_the_end_is_as_quick_as_the_limits_allow_and_no_quicker(toward: float) -> None:
    """Speed up at the acceleration, cruise at the slew, brake at the acceleration, stand on the end: in as
    many ticks as the trapezium needs, give or take those of its corners."""
    motor = Projection([DERIVED], RATE)
    end, slew, acceleration = toward * 3.0, 6.0, 150.0
    last = before = np.zeros(1)
    places = [0.0]
    while abs(last[0] - end) > 1e-9:
        now = motor.project(np.array([toward * 99.0]), last, 1.0, before)
        before, last = last, now
        places.append(float(now[0]))
        assert len(places) < 200
    steps = np.diff(places) * RATE
    assert np.abs(steps).max() == pytest.approx(slew)
    assert np.abs(np.diff(steps)).max() * RATE <= acceleration * (1 + 1e-9)
    ideal = 3.0 / slew + slew / acceleration
    assert ideal * RATE - 1 <= len(places) - 1 <= ideal * RATE + 4


def test_without_a_history_the_actuator_is_at_rest() -> None:
    motor = Projection([JOINT], RATE)
    for last in (-0.5, 0.0, 0.3):
        at = np.array([last])
        for asked in (np.array([9.0]), np.array([-9.0]), np.array([np.nan])):
            assert motor.project(asked, at) == motor.project(asked, at, 1.0, at)


def test_a_target_within_reach_is_reached_and_kept() -> None:
    motor = Projection([JOINT], RATE)
    last = before = np.zeros(1)
    for _ in range(200):
        before, last = last, motor.project(np.array([0.25]), last, 1.0, before)
    assert last[0] == before[0] == 0.25
