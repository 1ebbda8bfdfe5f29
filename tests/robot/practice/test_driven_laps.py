"""Laps are found wherever a drive comes by the same place again, the same way."""

from __future__ import annotations

import numpy as np
import pytest
from driven_stadium import LAP, off_stadium, stadium

from robot.practice.demonstration import course_from_trajectory
from robot.practice.driven_laps import find_laps


def test_every_lap_of_a_long_drive_is_found_between_the_same_places() -> None:
    drive = stadium(3.4 * LAP, noise=0.003)
    laps = find_laps(drive)
    assert len(laps) == 3
    for k, lap in enumerate(laps):
        assert lap.gap < 0.1 and lap.length == pytest.approx(LAP, rel=0.05)
        assert np.hypot(*(drive[lap.first] - drive[0])) < 0.1, k
    assert [lap.last for lap in laps[:-1]] == [lap.first for lap in laps[1:]]


def test_the_way_to_the_course_is_no_part_of_a_lap() -> None:
    """It begins 2 m beside the track, and comes nowhere near there again."""
    y = np.arange(-4.0, -1.6, 0.05)
    approach = np.column_stack((np.full(len(y), -2.5), y))
    drive = np.concatenate((approach, stadium(2.2 * LAP, start=0.05)))
    laps = find_laps(drive)
    assert len(laps) == 2 and laps[0].first >= len(approach) - 8
    course = course_from_trajectory(drive[laps[0].first : laps[0].last + 1], "stadium")
    _, x, y, _ = course.table()
    assert off_stadium(x, y).max() < 0.1 and course.length == pytest.approx(LAP, rel=0.02)


def test_stops_and_lost_samples_on_the_way_do_not_matter() -> None:
    lap = stadium(1.1 * LAP)
    wait = np.repeat(lap[100:101], 200, axis=0) + np.random.default_rng(0).normal(0, 0.003, (200, 2))
    drive = np.concatenate((lap[:100], wait, np.full((5, 2), np.nan), lap[100:]))
    (one,) = find_laps(drive)
    assert one.length == pytest.approx(LAP, rel=0.02)


def test_what_does_not_come_back_has_no_lap() -> None:
    assert find_laps(stadium(0.8 * LAP)) == []
    there = stadium(9.0)
    assert find_laps(np.concatenate((there, there[::-1] + 0.3))) == [], "it came back the other way"
    assert find_laps(np.zeros((500, 2))) == []


def test_a_lap_that_stops_a_little_short_is_one() -> None:
    (one,) = find_laps(stadium(LAP - 0.6))
    assert one.gap == pytest.approx(0.6, abs=0.1)
