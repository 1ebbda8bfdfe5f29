"""The barriers against their formulas, alone and together, whatever the order of actuators and state."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from safety_robot import small_robot

from robot.errors import SpecError
from robot.safety.barrier import Barrier
from robot.safety.fence import Fence
from robot.spec import RobotSpec

WHEELBASE, LATERAL, SLEW, RATE = 0.33, 6.0, 8.0, 100.0
# Neither the actuators nor the state are in an order that anything could take for granted.
ACTUATORS = [
    {"name": "steering", "device": "d", "unit": "rad", "lower": -0.4, "upper": 0.4, "slew": 3},
    {"name": "horn", "device": "d", "unit": "1", "lower": 0, "upper": 1, "slew": 50},
    {"name": "speed", "device": "d", "unit": "m/s", "lower": -2, "upper": 5, "slew": SLEW},
]
STATE = [
    {"name": "tilt", "unit": "rad"},
    {"name": "velocity_body", "unit": "m/s", "elements": ["x", "y"]},
    {"name": "heading", "unit": "rad"},
    {"name": "position_world", "unit": "m", "elements": ["x", "y"]},
]
FENCE = {
    "radius": 0.5,
    "deceleration": 4.0,
    "reaction_s": 0.1,
    "turning_radius": 0.7,
    "actuator": "speed",
    "source": "",
    "site": {"polygon": [[-5, -5], [5, -5], [5, 5], [-5, 5]], "obstacles": []},
}
TURN = {
    "lateral_acceleration": LATERAL,
    "speed": "speed",
    "steering": "steering",
    "measured": "velocity_body_x",
    "wheelbase": "wheelbase",
    "source": "",
}
KNOWN = np.zeros(6)


def car(fence: dict[str, Any] | None, turn: dict[str, Any] | None) -> RobotSpec:
    safety = ({"fence": fence} if fence else {}) | ({"turn": turn} if turn else {})
    return small_robot(
        actuators=ACTUATORS,
        estimator={"driver": "x:Y", "state": STATE},
        stop={"kind": "brake", "hold_s": 1, "deadline_s": 1, "standstill": "tilt", "standstill_below": 1},
        safety=safety,
        calibration={"wheelbase": {"value": WHEELBASE, "unit": "m", "source": ""}},
    )


def barrier(fence: dict[str, Any] | None, turn: dict[str, Any] | None) -> Barrier:
    spec = car(fence, turn)
    return Barrier(spec, Fence(spec, spec.safety.fence) if spec.safety.fence else None)


def state(x: float = 0.0, y: float = 0.0, heading: float = 0.0, speed: float = 0.0) -> Any:
    return np.array([0.1, speed, 0.2, heading, x, y])


def clip(value: float, bound: float) -> float:
    return math.copysign(min(abs(value), bound), value)


@given(st.floats(-9, 9), st.floats(-1, 1), st.floats(-0.6, 0.6), st.floats(-6, 6))
@example(5.0, 0.4, 0.0, -5.0)
@example(0.0, -0.4, 0.0, -5.0)
def test_the_turn_barrier_keeps_speed_and_steering_on_their_sides_of_the_hyperbola(
    speed: float, steering: float, pointing: float, measured: float
) -> None:
    """Speed squared times the tangent of the steering angle is at most lateral acceleration times wheelbase:
    for the speed that is asked for with the wheels as they are, and for the wheels that are asked for with
    the speed as it may be a tick from now."""
    product = LATERAL * WHEELBASE
    fastest = math.sqrt(product / max(math.tan(abs(pointing)), 1e-300))
    allowed_speed = clip(speed, fastest)
    soon = max(abs(measured), min(abs(allowed_speed), abs(measured) + SLEW / RATE))
    steepest = math.atan(product / max(soon**2, 1e-300))
    allowed = barrier(None, TURN).filter(
        np.array([steering, 0.7, speed]), np.array([pointing, 0.0, 1.0]), state(speed=measured), KNOWN
    )
    assert allowed[2] == pytest.approx(allowed_speed, rel=1e-9)
    assert allowed[0] == pytest.approx(clip(steering, steepest), rel=1e-9)
    assert allowed[1] == 0.7, "nobody asked about the horn"


def test_wheels_that_point_nobody_knows_where_allow_no_speed() -> None:
    asked, last = np.array([0.1, 0.0, 5.0]), np.array([math.nan, 0.0, 0.0])
    allowed = barrier(None, TURN).filter(asked, last, state(), KNOWN)
    assert allowed[2] == 0.0 and allowed[0] == 0.1
    unknown = barrier(None, TURN).filter(asked, np.zeros(3), state(speed=math.nan), KNOWN)
    assert unknown[0] == 0.0 and unknown[2] == 5.0


@pytest.mark.parametrize("pointing", [math.pi / 2, 2.0, -2.0, 3.0, 100.0, math.inf, -math.inf])
def test_wheels_across_the_way_allow_no_speed_worth_the_name(pointing: float) -> None:
    asked, last = np.array([0.0, 0.0, 5.0]), np.array([pointing, 0.0, 0.0])
    assert 0.0 <= barrier(None, TURN).filter(asked, last, state(), KNOWN)[2] < 0.01


@given(st.floats(-9, 9), st.floats(-4.4, 4.4), st.sampled_from([0.0, 0.25, 1.0]), st.floats(0.0, 0.3))
def test_straight_at_a_wall_what_is_allowed_stops_exactly_at_the_reserve(
    speed: float, x: float, reserve: float, follow: float
) -> None:
    """Head on, no steering is worse than none: the largest allowed speed stops where the reserve begins."""
    fence = FENCE | {"reserve": reserve, "turning_radius": 0.0, "follow_s": follow}
    wide = {"site": {"polygon": [[-5, -500], [5, -500], [5, 500], [-5, 500]], "obstacles": []}}
    allowed = barrier(fence | wide, None).filter(np.array([0.1, 0.2, speed]), np.zeros(3), state(x), KNOWN)
    assert allowed[:2].tolist() == [0.1, 0.2]
    room = max(min(5.0 - x, 5.0 + x) - FENCE["radius"] - reserve, 0.0)
    lag = FENCE["reaction_s"] + follow
    gone = abs(allowed[2]) * lag + allowed[2] ** 2 / (2 * FENCE["deceleration"])
    if allowed[2] == speed:
        assert gone <= room + 1e-9
    else:
        assert allowed[2] * speed >= 0.0
        assert gone == pytest.approx(room, abs=1e-9)


@pytest.mark.parametrize("turns", [True, False])
@pytest.mark.parametrize("fences", [True, False])
def test_each_barrier_acts_alone_and_with_the_other(fences: bool, turns: bool) -> None:
    one = barrier(FENCE if fences else None, TURN if turns else None)
    requested = np.array([0.4, 0.0, 5.0])
    kept = requested.copy()
    at_the_wall = one.filter(requested, np.zeros(3), state(4.4, 0.0, 0.0, 0.0), KNOWN)
    assert (at_the_wall[2] < 1.0) == fences
    in_a_bend = one.filter(requested, np.array([0.4, 0.0, 0.0]), state(0.0, 0.0, 0.0, 4.0), KNOWN)
    assert (in_a_bend[2] < 2.5) == turns and (in_a_bend[0] < 0.2) == turns
    assert (requested == kept).all(), "what was asked for is not written over"
    assert (at_the_wall is requested) == (not fences and not turns)


def test_a_fence_without_an_actuator_is_watched_and_holds_nothing_back() -> None:
    spec = car(FENCE | {"actuator": ""}, None)
    assert spec.safety.fence is not None
    requested = np.array([0.0, 0.0, 5.0])
    watched = Barrier(spec, Fence(spec, spec.safety.fence))
    assert watched.filter(requested, np.zeros(3), state(4.4), KNOWN) is requested
    assert Barrier(car(FENCE, None), None).filter(requested, np.zeros(3), state(4.4), KNOWN) is requested


@pytest.mark.parametrize(
    ("fence", "turn", "says"),
    [
        (FENCE | {"actuator": "sped"}, None, "r: safety.fence bounds actuator 'sped'; did you mean speed"),
        (None, TURN | {"speed": "sped"}, "r: safety.turn bounds actuator 'sped'"),
        (None, TURN | {"steering": "stering"}, "r: safety.turn bounds actuator 'stering'"),
    ],
)
def test_a_barrier_on_what_does_not_exist_is_refused(fence: Any, turn: Any, says: str) -> None:
    with pytest.raises(SpecError, match=says):
        barrier(fence, turn)


@given(st.integers(0, 2**32 - 1))
def test_a_batch_equals_one_by_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    one = barrier(FENCE, TURN)
    requested, last = rng.normal(size=(6, 3)) * (0.4, 1, 5), rng.normal(size=(6, 3)) * (0.3, 1, 3)
    states = rng.normal(size=(6, 6)) * (1, 3, 1, 3, 4, 4)
    doubt = np.abs(rng.normal(size=(6, 6))) * 0.1
    together = one.filter(requested, last, states, doubt)
    for k in range(6):
        assert together[k] == pytest.approx(one.filter(requested[k], last[k], states[k], doubt[k]), rel=1e-9)


@given(
    st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=6, max_size=6).map(np.array),
    st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=3, max_size=3).map(np.array),
    st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=3, max_size=3).map(np.array),
)
def test_whatever_bits_come_in_nothing_grows_and_nothing_is_said_on_the_console(
    states: Any, requested: Any, last: Any
) -> None:
    with np.errstate(divide="raise", over="raise", invalid="raise"):
        allowed = barrier(FENCE, TURN).filter(requested, last, states, KNOWN)
    known = ~np.isnan(requested)
    assert (np.abs(allowed[known]) <= np.abs(requested[known])).all()
