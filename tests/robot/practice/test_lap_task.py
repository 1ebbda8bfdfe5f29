"""Laps are arc length driven forward; observations and rewards depend on states and actions only."""

from __future__ import annotations

import cmath
import itertools
import math

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robot.contract import TaskContract
from robot.errors import SpecError
from robot.practice.course import Checkpoint, Course
from robot.practice.lap_task import PREVIEW_METRES, LapTask
from robot.spec import RobotSpec

REST = np.array([-1.0, 0.0])


def state_at(
    spec: RobotSpec, course: Course, s: float, lateral: float = 0.0, turned: float = 0.0, speed: float = 1.0
):
    (x, y), heading = course.point(s), course.heading(s)
    state = np.zeros(spec.state_layout.size)
    state[:2] = x - lateral * math.sin(heading), y + lateral * math.cos(heading)
    state[spec.state_layout.index("heading")] = heading + turned
    state[spec.state_layout.index("velocity_body_x")] = speed
    state[spec.state_layout.index("upright")] = 1.0
    return state


def drive(task: LapTask, spec: RobotSpec, course: Course, places: np.ndarray):
    task.reset(state_at(spec, course, places[0]))
    outcomes = []
    for before, after in itertools.pairwise(places):
        a, b = state_at(spec, course, before), state_at(spec, course, after)
        task.observe(a, REST)
        outcomes.append(task.outcome(a, REST, b, False))
    return outcomes


def test_progress_is_arc_length_and_laps_are_counted_from_the_line(task, spec, course) -> None:
    places = np.arange(0.0, 2.5 * course.length, 0.15)
    outcomes = drive(task, spec, course, places)
    metres = sum(o.reward_terms[0] for o in outcomes) * task.options.top_speed / spec.rates.policy_hz
    assert metres == pytest.approx(places[-1], abs=0.02)
    assert outcomes[-1].cycles == 2 and outcomes[-1].progress == pytest.approx(
        places[-1] / course.length, abs=1e-3
    )


def test_five_metres_a_second_earns_one_per_step(task, spec, course) -> None:
    outcomes = drive(task, spec, course, np.arange(0.0, 5.0, 0.25))
    assert [o.reward_terms[0] for o in outcomes] == pytest.approx([1.0] * len(outcomes), abs=0.03)


def test_an_episode_from_mid_course_laps_from_the_next_line(task, spec, course) -> None:
    start = 0.4 * course.length
    outcomes = drive(task, spec, course, np.arange(start, start + 2.0 * course.length, 0.15))
    assert outcomes[0].progress < 0.0
    crossed = [i for i, o in enumerate(outcomes) if o.cycles > 0]
    driven = start + (crossed[0] + 1) * 0.15
    assert driven == pytest.approx(2 * course.length, abs=0.16)


def test_going_back_is_negative_and_no_lap_and_soon_a_failure(task, spec, course) -> None:
    backwards = np.arange(6.0, -2.0 * course.length, -0.15)
    outcomes = drive(task, spec, course, backwards)
    assert all(o.reward_terms[0] < 0 for o in outcomes) and outcomes[-1].cycles == 0
    trouble = [o.trouble for o in outcomes]
    assert trouble.index("wrong_way") == pytest.approx(task.options.wrong_way_metres / 0.15, abs=1.5)


def test_shuffling_over_the_line_is_no_lap(task, spec, course) -> None:
    s = np.concatenate([np.arange(0.0, 1.0, 0.1), np.arange(1.0, -1.0, -0.1)] * 20)
    outcomes = drive(task, spec, course, s)
    assert max(o.cycles for o in outcomes) == 0


def test_crossing_to_a_neighbouring_stretch_is_no_progress(spec, course) -> None:
    """Out along a straight, over to the one that leads back: a short cut earns nothing and makes no lap."""
    points = [(0, 0), (2, 0), (4, 0), (6, 0), (6.8, 0.6), (6, 1.2), (4, 1.2), (2, 1.2), (0, 1.2), (-0.8, 0.6)]
    checkpoints = tuple(Checkpoint(x=float(x), y=float(y)) for x, y in points)
    hairpin = Course(msgspec.structs.replace(course.file, checkpoints=checkpoints))
    task = LapTask(spec, hairpin)
    states = np.zeros((40, spec.state_layout.size))
    states[:, 0], states[:, 1] = 2.0, np.linspace(0.0, 1.2, 40)
    task.reset(states[0])
    outcomes = [task.outcome(a, REST, b, False) for a, b in itertools.pairwise(states)]
    assert abs(sum(o.reward_terms[0] for o in outcomes)) < 0.5 * spec.rates.policy_hz / 5.0
    assert outcomes[-1].progress < 0.0


def test_observation_has_the_declared_terms(task, spec, course, contract: TaskContract) -> None:
    s = 1.0  # on a straight heading +x
    state = state_at(spec, course, s, lateral=0.2, turned=0.1, speed=2.0)
    state[spec.state_layout.index("specific_force_x")] = -500.0
    task.reset(state)
    seen = task.observe(state, np.array([0.3, -0.7]))
    layout = contract.observation_layout
    assert seen.dtype == np.float32 and seen.shape == (contract.observation_size,)
    assert seen[contract.previous_action] == pytest.approx([0.3, -0.7])
    assert seen[layout["lateral_offset"]] == pytest.approx([0.2], abs=1e-3)
    assert seen[layout["course_heading"]] == pytest.approx([math.sin(0.1), math.cos(0.1)], abs=1e-3)
    assert seen[layout.index("specific_force_x")] == -20.0
    for k, ahead in enumerate(PREVIEW_METRES[:2]):  # still on the straight
        expected = complex(ahead, -0.2) * cmath.exp(-0.1j)
        found = complex(*seen[layout["preview"]][2 * k : 2 * k + 2])
        assert abs(found - expected) < 0.02  # the spline is not perfectly straight there


@settings(deadline=None)
@given(
    angle=st.floats(-3, 3),
    dx=st.floats(-20, 20),
    dy=st.floats(-20, 20),
    s=st.floats(0, 19),
    lateral=st.floats(-0.5, 0.5),
)
def test_observation_does_not_know_where_the_world_frame_lies(
    spec: RobotSpec, course: Course, angle: float, dx: float, dy: float, s: float, lateral: float
) -> None:
    turn = cmath.exp(1j * angle)
    moved = [complex(c.x, c.y) * turn + complex(dx, dy) for c in course.file.checkpoints]
    file = msgspec.structs.replace(
        course.file, checkpoints=tuple(Checkpoint(x=p.real, y=p.imag) for p in moved)
    )
    elsewhere = Course(file)
    here, there = LapTask(spec, course), LapTask(spec, elsewhere)
    a = state_at(spec, course, s, lateral, 0.2)
    b = a.copy()
    position = complex(a[0], a[1]) * turn + complex(dx, dy)
    b[:2] = position.real, position.imag
    b[spec.state_layout.index("heading")] += angle
    here.reset(a)
    there.reset(b)
    assert there.observe(b, REST) == pytest.approx(here.observe(a, REST), abs=2e-3)


def test_rewards_recomputed_offline_are_the_same(task, spec, course) -> None:
    rng = np.random.default_rng(0)
    places = np.cumsum(rng.uniform(-0.05, 0.3, 300))
    states = [state_at(spec, course, s, float(rng.uniform(-0.4, 0.4))) for s in places]
    actions = rng.uniform(-1, 1, (len(states), 2))

    def replay(ask_twice: bool) -> np.ndarray:
        fresh = LapTask(spec, course)
        fresh.reset(states[0])
        rows = []
        previous = REST
        for i in range(len(states) - 1):
            fresh.observe(states[i], previous)
            outcome = fresh.outcome(states[i], actions[i], states[i + 1], False)
            if ask_twice:
                outcome = fresh.outcome(states[i], actions[i], states[i + 1], False)
            rows.append(outcome.reward_terms)
            previous = actions[i]
        return np.array(rows)

    once = replay(False)
    assert np.array_equal(once, replay(True))
    assert once[1:, 2] == pytest.approx(((actions[1:-1] - actions[:-2]) ** 2).sum(axis=1))


def test_recovery_advice_turns_towards_the_course(task, spec, course) -> None:
    facing_right = state_at(spec, course, 2.0, turned=-0.8)  # must turn left
    assert task.recovery_signs(facing_right, {"speed": -0.8, "steering": 0.26}) == {"steering": -1.0}
    assert task.recovery_signs(facing_right, {"speed": 0.8, "steering": 0.26}) == {"steering": 1.0}
    assert task.oriented(facing_right) and not task.oriented(state_at(spec, course, 2.0, turned=2.5))


@pytest.fixture
def walled(spec: RobotSpec, course: Course) -> LapTask:
    options = {"corridor_metres": 0.5}
    return LapTask(spec, Course(msgspec.structs.replace(course.file, options=options)))


@pytest.mark.parametrize("lateral", [-0.7, -0.5, 0.0, 0.4, 0.62])
def test_the_corridor_costs_what_lies_outside_it(walled, spec, course, lateral) -> None:
    before, after = (state_at(spec, course, s, lateral=lateral) for s in (2.0, 2.2))
    unwalled = LapTask(spec, Course(msgspec.structs.replace(course.file, options={})))
    for judge, outside in ((walled, max(0.0, abs(lateral) - 0.5)), (unwalled, 0.0)):
        judge.reset(before)
        judge.observe(before, REST)
        assert judge.outcome(before, REST, after, False).reward_terms[3] == pytest.approx(outside, abs=5e-3)


@pytest.mark.parametrize("turned", [-1.2, -0.5, 0.0, 0.5, 1.2])
@pytest.mark.parametrize("lateral", [-0.5, 0.0, 0.5])
def test_a_recovered_car_has_room_to_turn(walled, spec, course, lateral, turned) -> None:
    """The car at full lock, driven step by step on a straight, stays off the walls where it may go on."""
    y, heading = lateral, turned
    farthest = abs(y)
    while heading * turned > 0.0:
        heading -= math.copysign(0.01 / walled.options.turning_radius, turned)
        y += 0.01 * math.sin(heading)
        farthest = max(farthest, abs(y))
    assert walled.oriented(state_at(spec, course, 2.0, lateral=lateral, turned=turned)) == (farthest < 0.6)


def test_an_unknown_option_names_the_nearest(spec: RobotSpec, course: Course) -> None:
    file = msgspec.structs.replace(course.file, options={"failure_wieght": 1.0})
    with pytest.raises(SpecError, match="failure_weight"):
        LapTask(spec, Course(file))
