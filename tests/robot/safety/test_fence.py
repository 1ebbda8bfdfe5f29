"""The fence against geometry and simple mechanics computed independently, and the barrier in closed loop
against a driver who wants out."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from safety_robot import small_robot

from robot.errors import SpecError
from robot.safety.barrier import Barrier
from robot.safety.fence import FAR, Fence
from robot.safety.projection import Projection
from robot.spec import RobotSpec

SQUARE = [[-5.0, -5.0], [5.0, -5.0], [5.0, 5.0], [-5.0, 5.0]]
POST = {"x": 1.0, "y": 2.0, "radius": 0.5}
STATE = [
    {"name": "position_world", "unit": "m", "elements": ["x", "y"]},
    {"name": "heading", "unit": "rad"},
    {"name": "velocity_body", "unit": "m/s", "elements": ["x", "y"]},
]
ACTUATORS = [
    {"name": "speed", "device": "d", "unit": "m/s", "lower": -2, "upper": 5, "slew": 8},
    {"name": "steering", "device": "d", "unit": "rad", "lower": -0.3, "upper": 0.3, "slew": 3},
]
KNOWN = np.zeros(5)
WHEELBASE = 0.33


def car(polygon: Any = SQUARE, obstacles: Any = (), turn: float | None = None, **more: Any) -> RobotSpec:
    fence = {
        "radius": 0.0,
        "deceleration": 4.0,
        "reaction_s": 0.1,
        "turning_radius": 1.0,
        "actuator": "speed",
        "source": "",
        "site": {"polygon": polygon, "obstacles": list(obstacles)},
    } | more
    safety: dict[str, Any] = {"fence": fence}
    if turn is not None:
        safety["turn"] = {
            "lateral_acceleration": turn,
            "speed": "speed",
            "steering": "steering",
            "measured": "velocity_body_x",
            "wheelbase": "wheelbase",
            "source": "",
        }
    return small_robot(
        actuators=ACTUATORS,
        estimator={"driver": "x:Y", "state": STATE},
        stop={"kind": "brake", "hold_s": 1, "deadline_s": 1, "standstill": "heading", "standstill_below": 1},
        safety=safety,
        calibration={"wheelbase": {"value": WHEELBASE, "unit": "m", "source": ""}},
    )


def fence_of(spec: RobotSpec) -> Fence:
    assert spec.safety.fence is not None
    return Fence(spec, spec.safety.fence)


def state(x: float = 0.0, y: float = 0.0, heading: float = 0.0, vx: float = 0.0, vy: float = 0.0) -> Any:
    return np.array([x, y, heading, vx, vy])


inside = st.floats(-4.9, 4.9)
angles = st.floats(-np.pi, np.pi)


@given(inside, inside, angles, st.floats(-3, 5), st.floats(-1, 1))
def test_the_margin_is_what_is_left_after_reacting_and_braking(x, y, heading, vx, vy) -> None:
    """Towards each wall and the post: move on for the reaction time, then brake, step by step."""
    turn = np.exp(1j * heading)
    velocity = complex(vx, vy) * turn
    to_post = complex(POST["x"], POST["y"]) - complex(x, y)
    ways = [(5 - x, velocity.real), (5 + x, -velocity.real), (5 - y, velocity.imag), (5 + y, -velocity.imag)]
    towards = velocity * np.conj(to_post / abs(to_post)) if abs(to_post) > 1e-6 else velocity
    ways.append((abs(to_post) - POST["radius"], towards.real))
    left = []
    for distance, closing in ways:
        v, dt = max(closing, 0.0), 1e-3
        gone = v * 0.1
        while v > 0.0:
            gone += v * dt - 0.5 * min(4.0 * dt, v) * dt
            v -= 4.0 * dt
        left.append(distance - gone)
    margin = fence_of(car(obstacles=[POST])).margin(state(x, y, heading, vx, vy), KNOWN)
    assert margin == pytest.approx(min(left), abs=5e-3)


@given(inside, inside, angles, st.floats(-3, 5), angles)
def test_turning_the_world_changes_nothing(x, y, heading, vx, turned) -> None:
    def at(angle: float) -> float:
        rotate = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        polygon = (np.array(SQUARE) @ rotate.T).tolist()
        post = rotate @ [POST["x"], POST["y"]]
        spec = car(polygon, [POST | {"x": float(post[0]), "y": float(post[1])}])
        px, py = rotate @ [x, y]
        return float(fence_of(spec).margin(state(px, py, heading + angle, vx), KNOWN))

    assert at(turned) == pytest.approx(at(0.0), abs=1e-9)


def test_doubt_takes_from_the_margin_and_ignorance_all_of_it() -> None:
    fence = fence_of(car())
    sure = fence.margin(state(vx=3.0), KNOWN)
    for place in (0, 1, 2):
        unsure = KNOWN.copy()
        unsure[place] = 0.2
        assert fence.margin(state(vx=3.0, heading=0.4), unsure) < fence.margin(
            state(vx=3.0, heading=0.4), KNOWN
        )
        unsure[place] = np.inf
        lost = fence.margin(state(vx=3.0), unsure)
        assert lost == -np.inf if place < 2 else lost == pytest.approx(sure)
    # A heading that is anybody's guess: as if it drove straight at the nearest wall.
    unsure = np.array([0, 0, np.inf, 0, 0])
    assert fence.margin(state(4.0, heading=np.pi, vx=2.0), unsure) == pytest.approx(
        fence.margin(state(4.0, heading=0.0, vx=2.0), KNOWN)
    )


def test_velocity_may_be_in_the_world_frame() -> None:
    fence = fence_of(car(heading=""))
    assert fence.margin(state(heading=1.0, vx=2.0), KNOWN) == fence_of(car()).margin(state(vx=2.0), KNOWN)


def test_without_a_site_the_fence_is_far_away() -> None:
    spec = car(polygon=[])
    fence = fence_of(spec)
    assert fence.margin(state(1e5, vx=5.0), KNOWN) == FAR
    requested = np.array([5.0, 0.3])
    assert Barrier(spec, fence).filter(requested, requested, state(vx=5.0), KNOWN) is requested


@pytest.mark.parametrize(
    ("polygon", "says"),
    [
        ([[0, 0], [1, 0]], "three finite corners"),
        ([[0, 0], [1, 0], [np.inf, 1]], "three finite corners"),
        (SQUARE[::-1], "anticlockwise"),
        ([[0, 0], [4, 0], [4, 4], [2, 1], [0, 4]], "convex"),
        ([[0, 0], [4, 0], [0, 4], [4, 4]], "convex"),
        ([*SQUARE, *SQUARE], "convex"),
    ],
)
def test_a_fence_that_is_none_is_refused(polygon: Any, says: str) -> None:
    with pytest.raises(SpecError, match=says):
        fence_of(car(polygon))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"deceleration": 0.0}, "deceleration > 0"),
        ({"radius": -1.0}, "radius"),
        ({"position": "heading"}, "two elements"),
        ({"velocity": "heading"}, "two elements"),
        ({"actuator": "sped"}, "speed"),
        ({"site": {"obstacles": [POST | {"radius": 0.0}]}}, "radius > 0"),
    ],
)
def test_a_fence_that_makes_no_sense_is_refused(change: Any, says: str) -> None:
    with pytest.raises(SpecError, match=says):
        spec = car(**change)
        Barrier(spec, fence_of(spec))


@given(st.floats(0.0, 3.0), st.floats(-1.0, 1.0))
def test_no_way_of_steering_within_the_path_crosses_the_edge(distance: float, cosine: float) -> None:
    """Turn towards the edge as hard as possible, step by step, until the path is used up."""
    fence = fence_of(car())
    length = float(fence.path(np.array(distance), np.array(cosine)))
    angle, gone, farthest, ds = float(np.arccos(cosine)), 0.0, 0.0, 1e-3
    for _ in range(int(length / ds)):
        angle = max(0.0, angle - ds / 1.0)
        gone += np.cos(angle) * ds
        farthest = max(farthest, gone)
    assert farthest <= distance + 3e-3
    # And a longer one would: the bound is tight, unless it is a robot that may turn round on the spot.
    for _ in range(int(0.02 / ds)):
        angle = max(0.0, angle - ds / 1.0)
        gone += np.cos(angle) * ds
    assert gone >= distance - 5e-3 or length == 0.0 or distance == 0.0


requests = st.tuples(st.floats(-10, 10), st.floats(-1, 1)).map(np.array)
states = st.builds(state, st.floats(-6, 6), st.floats(-6, 6), angles, st.floats(-3, 6), st.floats(-1, 1))


@given(requests, requests, states)
def test_a_barrier_only_reduces_and_leaves_what_is_safe(requested, last, now) -> None:
    spec = car(obstacles=[POST], turn=8.0)
    barrier = Barrier(spec, fence_of(spec))
    allowed = barrier.filter(requested, last, now, KNOWN)
    assert (np.abs(allowed) <= np.abs(requested)).all() and (allowed * requested >= 0.0).all()
    assert np.array_equal(barrier.filter(allowed, last, now, KNOWN), allowed)
    still = np.zeros(2)
    assert np.array_equal(barrier.filter(still, last, now, KNOWN), still)
    free = Barrier(car(polygon=[], turn=1e9), None).filter(requested, last, now, KNOWN)
    assert np.array_equal(free, requested)


@given(
    st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=5, max_size=5),
    st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=5, max_size=5),
)
@example([0.0, 0.0, np.inf, 0.0, 0.0], [0.0] * 5)  # room enough in every direction
def test_a_state_that_is_not_known_allows_no_motion(values, deviation) -> None:
    spec = car(turn=8.0)
    now, sigma = np.array(values), np.array(deviation)
    with np.errstate(divide="raise", over="raise", invalid="raise"):
        allowed = Barrier(spec, fence_of(spec)).filter(np.array([5.0, 0.3]), np.zeros(2), now, sigma)
    assert np.isfinite(allowed).all()
    if not np.isfinite(now[:3]).all() or not np.isfinite(sigma[:2]).all():
        assert allowed[0] == 0.0
    if np.isnan(now[3]):
        assert allowed[1] == 0.0


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_nobody_drives_out_of_the_fence_or_into_the_post(seed: int) -> None:
    """Fifty cars at once, 10 s, drivers who go for the wall, the post or anywhere, steering as they like."""
    rng = np.random.default_rng(seed)
    count, dt = 50, 0.01
    spec = car(obstacles=[POST], turning_radius=WHEELBASE / math.tan(0.3))
    barrier = Barrier(spec, fence_of(spec))
    projection = Projection(spec.actuators, 1.0 / dt)
    now = np.zeros((count, 5))
    now[:, :3] = rng.uniform((-4, -4.5, -np.pi), (-1, 4.5, np.pi), (count, 3))
    last = np.zeros((count, 2))
    goal = np.zeros((count, 2))
    for _ in range(1000):
        anew = rng.random(count) < 0.02
        goal[anew] = rng.choice([-9.0, 9.0], (int(anew.sum()), 2)) * rng.random((int(anew.sum()), 2))
        safe = barrier.filter(goal, last, now, np.zeros((count, 5)))
        last = projection.project(safe, last)
        # The drive follows its setpoint at no more than 4 m/s^2; the steering is where it is told to be.
        v = now[:, 3] + np.clip(last[:, 0] - now[:, 3], -4.0 * dt, 4.0 * dt)
        now[:, 2] += v * np.tan(last[:, 1]) / WHEELBASE * dt
        now[:, 0] += v * np.cos(now[:, 2]) * dt
        now[:, 1] += v * np.sin(now[:, 2]) * dt
        now[:, 3] = v
        assert (np.abs(now[:, :2]) <= 5.0).all()
        assert (np.hypot(now[:, 0] - POST["x"], now[:, 1] - POST["y"]) >= POST["radius"]).all()


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_nobody_turns_faster_than_the_track_width_bears(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count, dt, limit = 50, 0.01, 6.0
    spec = car(polygon=[], turn=limit)
    barrier = Barrier(spec, fence_of(spec))
    projection = Projection(spec.actuators, 1.0 / dt)
    now, last, goal = np.zeros((count, 5)), np.zeros((count, 2)), np.zeros((count, 2))
    worst = 0.0
    for _ in range(600):
        anew = rng.random(count) < 0.03
        goal[anew] = rng.choice([-9.0, 0.0, 9.0], (int(anew.sum()), 2))
        last = projection.project(barrier.filter(goal, last, now, np.zeros((count, 5))), last)
        now[:, 3] += np.clip(last[:, 0] - now[:, 3], -8.0 * dt, 8.0 * dt)
        worst = max(worst, float((now[:, 3] ** 2 * np.abs(np.tan(last[:, 1]))).max()) / WHEELBASE)
    assert 0.9 * limit < worst <= limit * 1.05
