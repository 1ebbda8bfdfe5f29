"""The scripted driver stays on the course, and its speed profile within its limits."""

from __future__ import annotations

import numpy as np
import pytest

from robot.interface import load_class
from robot.messages import Actor
from robot.teleop.pure_pursuit import PurePursuit, speed_profile


def test_the_profile_respects_every_limit_and_touches_one_everywhere(course) -> None:
    top, lateral, acceleration, braking = 4.0, 4.0, 3.0, 5.0
    profile = speed_profile(course, top, lateral, acceleration, braking)
    _, _, _, curvature = course.table()
    gain = np.diff(np.append(profile, profile[0]) ** 2) / (2 * course.step)
    assert profile.max() <= top + 1e-9
    assert (profile**2 * np.abs(curvature)).max() <= lateral + 1e-6
    assert gain.max() <= acceleration + 1e-6 and gain.min() >= -braking - 1e-6
    bound = np.minimum(top, np.sqrt(lateral / np.maximum(np.abs(curvature), 1e-6)))
    limited = (
        (bound - profile < 1e-6) | (gain > acceleration - 1e-6) | (np.roll(gain, 1) > acceleration - 1e-6)
    )
    assert np.all(limited | (gain < -braking + 1e-6))


@pytest.mark.parametrize("speed", [1.0, 2.0])
def test_it_follows_the_course(bench, spec, course, speed: float) -> None:
    pilot = bench.make_pilot(demonstrator=PurePursuit(spec, course, speed), demonstration_laps=3)
    offsets, s = [], 0.0
    for _ in range(round(1.5 * course.length / speed * 20)):
        bench.step(pilot)
        s, lateral = course.project(bench.x, bench.y, s)
        offsets.append(abs(lateral))
    assert max(offsets) < 0.25
    assert all(c["actor"] == Actor.SCRIPT for c in bench.commands)


def test_it_goes_on_where_it_is_put_down(spec, course) -> None:
    driver = PurePursuit(spec, course, 1.0)
    state = np.zeros(spec.state_layout.size)
    for s in (0.0, 12.0, 3.0):
        state[:2], state[2] = course.point(s), course.heading(s)
        driver.read(0, state)
        assert abs(course.advance(driver._s, s)) < 0.05


def test_the_baseline_can_be_named_as_a_demonstrator(spec, course) -> None:
    driver = load_class("robot.teleop.pure_pursuit:tuned", "test")(spec, course)
    assert driver.profile.max() > 4.5
