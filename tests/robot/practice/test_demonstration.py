"""A recorded lap of a stadium gives back the stadium; a lap that does not close is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
from driven_stadium import LAP, LENGTH, off_stadium, stadium

from robot.errors import SpecError
from robot.practice.demonstration import course_from_trajectory


@pytest.mark.parametrize("noise", [0.0, 0.02])
@pytest.mark.parametrize(
    "metres", [LAP - 0.6, LAP, LAP + 0.7, 1.6 * LAP], ids=["short", "exact", "over", "more"]
)
def test_one_lap_gives_back_the_course(metres: float, noise: float) -> None:
    course = course_from_trajectory(stadium(metres, noise=noise), "stadium", source="test")
    _, x, y, _ = course.table()
    assert off_stadium(x, y).max() < 0.05 + noise
    assert course.length == pytest.approx(LAP, rel=0.02)
    assert course.start == pytest.approx((-1.5, -1.6, 0.0), abs=0.05 + noise)
    # Once round, driven anticlockwise: the course does not double back.
    assert np.unwrap([course.heading(s) for s in np.linspace(0, course.length, 400)])[-1] == pytest.approx(
        2 * math.pi, abs=0.05
    )


def test_checkpoints_are_denser_in_bends() -> None:
    points = course_from_trajectory(stadium(LAP), "stadium").file.points()
    gaps = np.hypot(*(np.roll(points, -1, axis=0) - points).T)
    middle = np.abs((points + np.roll(points, -1, axis=0))[:, 0] / 2)
    assert gaps[middle > LENGTH / 2 + 0.5].max() < 0.7 * gaps[middle < LENGTH / 2 - 1.0].min()


def test_standing_still_and_lost_samples_do_not_matter() -> None:
    lap = stadium(LAP)
    waiting = np.repeat(lap[:1], 100, axis=0) + np.random.default_rng(0).normal(0, 0.003, (100, 2))
    holes = np.full((3, 2), np.nan)
    course = course_from_trajectory(np.concatenate((waiting, lap[:80], holes, lap[80:])), "stadium")
    assert course.length == pytest.approx(LAP, rel=0.02)


def test_an_open_lap_is_refused_with_how_far_it_came() -> None:
    with pytest.raises(SpecError, match=r"does not close: 10\.\d m were driven.*Drive on"):
        course_from_trajectory(stadium(LAP / 2), "stadium")


def test_coming_back_the_other_way_is_not_a_lap() -> None:
    there = stadium(9.0)
    with pytest.raises(SpecError, match="driving the same way"):
        course_from_trajectory(np.concatenate((there, there[::-1] + 0.3)), "stadium")


def test_a_recording_that_hardly_moves_is_refused() -> None:
    with pytest.raises(SpecError, match="moves 0\\."):
        course_from_trajectory(np.random.default_rng(0).normal(0, 0.001, (500, 2)), "still")
