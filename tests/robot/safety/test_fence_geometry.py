"""The fence's parts one by one: planes, posts, doubt, frames of velocity, paths; alone and in batch."""

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
from robot.safety.fence import FAR, Fence
from robot.spec import RobotSpec

PENTAGON = [[-6.0, -1.0], [-1.0, -4.0], [7.0, -2.0], [5.0, 3.0], [-2.0, 4.0]]
TRIANGLE = [[0.0, 0.0], [0.5, 0.1], [0.1, 0.4]]
POSTS = [{"x": 1.0, "y": 1.0, "radius": 0.5}, {"x": -2.0, "y": 0.0, "radius": 0.25}]
ACTUATORS = [{"name": "speed", "device": "d", "unit": "m/s", "lower": -9, "upper": 9, "slew": 8}]
RADIUS, DECELERATION, REACTION = 0.3, 4.0, 0.1


def car(polygon: Any, posts: Any = (), velocity: int = 2, **more: Any) -> RobotSpec:
    state = [
        {"name": "position_world", "unit": "m", "elements": ["x", "y"]},
        {"name": "velocity_body", "unit": "m/s", "elements": ["x", "y", "z"][:velocity]},
        {"name": "heading", "unit": "rad"},
    ]
    fence = {
        "radius": RADIUS,
        "deceleration": DECELERATION,
        "reaction_s": REACTION,
        "turning_radius": 1.0,
        "reserve": 0.0,
        "actuator": "speed",
        "source": "",
        "site": {"polygon": polygon, "obstacles": list(posts)},
    }
    return small_robot(
        actuators=ACTUATORS,
        estimator={"driver": "x:Y", "state": state},
        stop={"kind": "brake", "hold_s": 1, "deadline_s": 1, "standstill": "heading", "standstill_below": 1},
        safety={"fence": fence | more},
    )


def fence_of(*arguments: Any, **more: Any) -> Fence:
    spec = car(*arguments, **more)
    assert spec.safety.fence is not None
    return Fence(spec, spec.safety.fence)


def clear(polygon: Any, posts: Any, x: float, y: float) -> list[float]:
    """Distances to the sides, by the area of the triangle with each, and to the posts."""
    found = []
    for (ax, ay), (bx, by) in zip(polygon, [*polygon[1:], polygon[0]], strict=True):
        twice_area = (bx - ax) * (y - ay) - (by - ay) * (x - ax)
        found.append(twice_area / math.hypot(bx - ax, by - ay) - RADIUS)
    return found + [math.hypot(p["x"] - x, p["y"] - y) - p["radius"] - RADIUS for p in posts]


@pytest.mark.parametrize("polygon", [PENTAGON, TRIANGLE])
@pytest.mark.parametrize("posts", [POSTS, []])
@given(x=st.floats(-6, 7), y=st.floats(-4, 4))
def test_distances_and_directions_are_those_of_geometry(polygon: Any, posts: Any, x: float, y: float) -> None:
    fence = fence_of(polygon, posts)
    assert fence.edges == len(polygon) + len(posts)
    distance, outward = fence.distances(np.array([x, y, 0, 0, 0]), np.zeros(5))
    assert distance == pytest.approx(clear(polygon, posts, x, y), abs=1e-9)
    for k, normal in enumerate(outward):
        if distance[k] > 1e-3 - RADIUS:
            assert np.hypot(*normal) == pytest.approx(1.0)
            nearer = clear(polygon, posts, x + 1e-4 * normal[0], y + 1e-4 * normal[1])[k]
            assert nearer == pytest.approx(distance[k] - 1e-4, abs=1e-8), "one step out is one step nearer"


def test_no_edge_is_a_kilometre_away() -> None:
    assert FAR == 1000.0
    fence = fence_of([])
    assert fence.edges == 0
    distance, outward = fence.distances(np.zeros(5), np.zeros(5))
    assert distance.shape == (0,) and outward.shape == (0, 2)
    assert fence.margin(np.zeros(5), np.zeros(5)) == 1000.0
    assert fence_of([], POSTS).edges == 2


@given(st.floats(0, 2), st.floats(0, 2))
def test_doubt_about_the_position_is_the_radius_of_its_standard_deviations(sx: float, sy: float) -> None:
    fence = fence_of(PENTAGON, POSTS, sigmas=2.5)
    known, _ = fence.distances(np.zeros(5), np.zeros(5))
    unsure, _ = fence.distances(np.zeros(5), np.array([sx, sy, 9.0, 9.0, 9.0]))
    assert known - unsure == pytest.approx(np.full(7, 2.5 * math.hypot(sx, sy)), abs=1e-9)


def test_in_the_very_middle_of_a_post_the_margin_is_a_number() -> None:
    with np.errstate(all="raise"):
        margin = fence_of([], POSTS).margin(np.array([1.0, 1.0, 2.0, 0.0, 0.0]), np.zeros(5))
    assert margin == pytest.approx(-0.5 - RADIUS)


@pytest.mark.parametrize("heading", ["heading", ""])
def test_of_a_velocity_in_three_dimensions_the_first_two_count(heading: str) -> None:
    flat, solid = fence_of(PENTAGON, heading=heading), fence_of(PENTAGON, velocity=3, heading=heading)
    plane = np.array([0.5, -1.0, 2.0, -0.7, 0.4])
    space = np.array([0.5, -1.0, 2.0, -0.7, 99.0, 0.4])
    assert solid.velocity(space) == pytest.approx(flat.velocity(plane))
    assert solid.margin(space, np.zeros(6)) == pytest.approx(flat.margin(plane, np.zeros(5)))
    turn = 0.4 if heading else 0.0
    expected = complex(2.0, -0.7) * complex(math.cos(turn), math.sin(turn))
    assert flat.velocity(plane) == pytest.approx([expected.real, expected.imag])


@given(st.floats(-1, 1), st.floats(0, 4), st.sampled_from([1.0, 2.0]))
def test_doubt_about_the_heading_turns_the_motion_towards_every_edge(
    cosine: float, deviation: float, sigmas: float
) -> None:
    fence = fence_of(PENTAGON, sigmas=sigmas)
    doubt = np.array([0, 0, 0, 0, deviation])
    angle = max(math.acos(cosine) - sigmas * deviation, 0.0)
    assert fence.facing(np.array([cosine]), doubt) == pytest.approx([math.cos(angle)], abs=1e-9)
    assert fence_of(PENTAGON, heading="").facing(np.array([cosine]), doubt).tolist() == [cosine]


@pytest.mark.parametrize("beyond", [1.0 + 1e-12, -1.0 - 1e-12])
def test_a_cosine_a_rounding_error_beyond_one_is_one(beyond: float) -> None:
    fence, known = fence_of(PENTAGON), np.zeros(5)
    with np.errstate(all="raise"):
        assert fence.facing(np.array([beyond]), known) == pytest.approx([math.copysign(1.0, beyond)])
        at_one = fence.path(np.array([0.7]), np.array([math.copysign(1.0, beyond)]))
        assert fence.path(np.array([0.7]), np.array([beyond])) == pytest.approx(at_one)


def progress(length: float, angle: float, radius: float) -> float:
    """How far towards an edge one gets on a path of that length, turning towards it from ``angle`` off."""
    if length >= radius * angle:
        return radius * math.sin(angle) + length - radius * angle
    return radius * (math.sin(angle) - math.sin(angle - length / radius))


@given(st.floats(1e-3, 5.0), st.floats(-1, 1), st.sampled_from([0.2, 1.0, 2.5]))
@example(0.1, -1.0, 2.5)
@example(5.0, -1.0, 0.2)
def test_the_path_is_used_up_exactly_at_the_edge(distance: float, cosine: float, radius: float) -> None:
    fence = fence_of(PENTAGON, turning_radius=radius)
    length = float(fence.path(np.array([distance]), np.array([cosine]))[0])
    assert progress(length, math.acos(cosine), radius) == pytest.approx(distance, abs=1e-6)
    for share in np.linspace(0.0, 1.0, 20):
        assert progress(share * length, math.acos(cosine), radius) <= distance + 1e-6


def test_who_turns_on_the_spot_has_no_longer_path_than_straight_on() -> None:
    fence = fence_of(PENTAGON, turning_radius=0.0)
    with np.errstate(all="raise"):
        path = fence.path(np.array([-1.0, 0.0, 2.0]), np.array([-1.0, 0.5, 1.0]))
    assert path.tolist() == [0.0, 0.0, 2.0]


def test_everything_in_batch_equals_one_by_one() -> None:
    rng = np.random.default_rng(5)
    fence = fence_of(PENTAGON, POSTS, sigmas=1.5)
    states, doubt = rng.normal(size=(4, 3, 5)) * 2, np.abs(rng.normal(size=(4, 3, 5))) * 0.2
    margins, velocities = fence.margin(states, doubt), fence.velocity(states)
    distances, outward = fence.distances(states, doubt)
    directions = fence.direction(states)
    assert margins.shape == (4, 3) and distances.shape == (4, 3, 7) and outward.shape == (4, 3, 7, 2)
    assert velocities.shape == directions.shape == (4, 3, 2)
    for at in np.ndindex(4, 3):
        assert margins[at] == pytest.approx(fence.margin(states[at], doubt[at]))
        one, out = fence.distances(states[at], doubt[at])
        assert distances[at] == pytest.approx(one) and outward[at] == pytest.approx(out)
        assert velocities[at] == pytest.approx(fence.velocity(states[at]))
        assert directions[at] == pytest.approx(fence.direction(states[at]))
        assert np.hypot(*directions[at]) == pytest.approx(1.0)


@pytest.mark.parametrize(
    "polygon",
    [
        [[0.0, 0.0], [0.0, 0.0], [4.0, 0.0], [4.0, 4.0]],
        [[0.0, 0.0], [4.0, 0.0], [4.0, 4.0], [4.0, 4.0]],
        [[0.0, 0.0], [2.0, 0.0], [4.0, 0.0], [4.0, 4.0]],
    ],
)
def test_a_corner_at_which_nothing_turns_is_a_slip_and_is_refused(polygon: Any) -> None:
    with pytest.raises(SpecError, match="the corners of safety"):
        fence_of(polygon)


@given(st.floats(0.05, 3.0), st.floats(-math.pi, math.pi), st.sampled_from([-8.0, 8.0]), st.floats(0.3, 2.0))
@example(1.0, 2.4, 8.0, 1.0)
@example(1.0, 0.7, -8.0, 1.0)
def test_beside_one_wall_the_barrier_allows_what_stops_within_the_path(
    distance: float, heading: float, asked: float, radius: float
) -> None:
    """The wall is at x = 5, everything else far away: the speed allowed stops after a path on which even the
    tightest turn just reaches the wall."""
    wide = [[-5000, -5000], [5, -5000], [5, 5000], [-5000, 5000]]
    spec = car(wide, turning_radius=radius)
    assert spec.safety.fence is not None
    state = np.array([5.0 - RADIUS - distance, 0.0, 0.0, 0.0, heading])
    allowed = Barrier(spec, Fence(spec, spec.safety.fence)).filter(
        np.array([asked]), np.zeros(1), state, np.zeros(5)
    )
    speed = abs(float(allowed[0]))
    assert allowed[0] * asked >= 0.0
    length = speed * REACTION + speed**2 / (2 * DECELERATION)
    towards = math.acos(math.cos(heading) * math.copysign(1.0, asked))
    reached = progress(length, towards, radius)
    if speed < 8.0:
        assert reached == pytest.approx(distance, abs=1e-5)
    else:
        assert reached <= distance + 1e-5
