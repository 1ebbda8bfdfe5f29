"""A course against analytic circles and stadiums, and projection against its own inverse."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robot.errors import SpecError
from robot.practice.course import Checkpoint, Course, CourseFile, load_course, save_course

TASK = "robot.practice.lap_task:LapTask"


def course_through(points: np.ndarray, **settings) -> Course:
    checkpoints = tuple(Checkpoint(x=float(x), y=float(y)) for x, y in points)
    return Course(CourseFile(name="test", task=TASK, checkpoints=checkpoints, start_heading=0.0, **settings))


def circle(radius: float, count: int, direction: int = 1) -> Course:
    angle = direction * np.arange(count) * 2 * math.pi / count
    return course_through(radius * np.column_stack((np.cos(angle), np.sin(angle))))


CIRCLE = circle(3.0, 24)
HAIRPIN = course_through(
    np.array(
        [(0, 0), (2, 0), (4, 0), (6, 0), (6.8, 0.6), (6, 1.2), (4, 1.2), (2, 1.2), (0, 1.2), (-0.8, 0.6)]
    )
)


@pytest.mark.parametrize("direction", [1, -1])
def test_circle_has_the_analytic_length_curvature_and_heading(direction: int) -> None:
    course = circle(3.0, 24, direction)
    assert course.length == pytest.approx(2 * math.pi * 3.0, rel=1e-4)
    for s in np.linspace(-5.0, 25.0, 50):
        assert course.curvature(s) == pytest.approx(direction / 3.0, rel=7e-3)  # (2 pi / 24)^2 / 12
        angle = direction * s / 3.0
        assert math.remainder(
            course.heading(s) - angle - direction * math.pi / 2, 2 * math.pi
        ) == pytest.approx(0.0, abs=1e-3)
        assert course.point(s) == pytest.approx((3 * math.cos(angle), 3 * math.sin(angle)), abs=2e-3)


def test_vectorised_points_equal_scalar_ones() -> None:
    s = np.linspace(-7.0, 40.0, 101)
    points = HAIRPIN.points(s)
    assert np.allclose([complex(*HAIRPIN.point(float(v))) for v in s], points)


def test_arc_length_is_the_distance_along_the_curve() -> None:
    for course in (CIRCLE, HAIRPIN):
        s = np.linspace(0.0, course.length, 20_001)
        walked = np.abs(np.diff(course.points(s))).sum()
        assert walked == pytest.approx(course.length, rel=1e-3)


@given(s=st.floats(0, 60), share=st.floats(-1, 1), error=st.floats(-0.5, 0.5))
@pytest.mark.parametrize(("course", "wide"), [(CIRCLE, 1.5), (HAIRPIN, 0.2)], ids=["circle", "hairpin"])
def test_projection_inverts_offset(course: Course, wide: float, s: float, share: float, error: float) -> None:
    """As far out as the nearest point is unique: half the smallest radius. The table is linear between its
    entries, which costs 1 cm where the hairpin is tightest."""
    lateral = share * wide
    (x, y), heading = course.point(s), course.heading(s)
    x, y = x - lateral * math.sin(heading), y + lateral * math.cos(heading)
    found, offset = course.project(x, y, s + error)
    assert abs(course.advance(s, found)) < 0.02
    assert offset == pytest.approx(lateral, abs=5e-3)
    assert 0.0 <= found < course.length


@given(x=st.floats(-3, 9), y=st.floats(-2, 3), hint=st.floats(0, 15))
def test_a_hinted_projection_never_jumps(x: float, y: float, hint: float) -> None:
    found, _ = HAIRPIN.project(x, y, hint)
    assert abs(HAIRPIN.advance(hint, found)) <= 1.2 + 3 * HAIRPIN.step


def test_a_car_between_two_stretches_stays_on_its_own() -> None:
    """Cutting to the neighbouring straight is no progress; a global search would call it 8 m."""
    s, lateral = HAIRPIN.project(3.0, 0.9, 3.0)
    assert s == pytest.approx(3.0, abs=0.1) and lateral == pytest.approx(0.9, abs=0.1)
    assert abs(HAIRPIN.advance(3.0, HAIRPIN.project(3.0, 0.9)[0])) > 5.0


def test_without_a_hint_the_nearest_point_of_all_is_found() -> None:
    table = HAIRPIN.points(np.linspace(0, HAIRPIN.length, 5000))
    for x, y in np.random.default_rng(0).uniform((-2, -1), (8, 2), (200, 2)):
        s, _ = HAIRPIN.project(x, y)
        assert abs(complex(*HAIRPIN.point(s)) - complex(x, y)) <= np.abs(table - complex(x, y)).min() + 1e-2


def test_saved_course_loads_equal(tmp_path: Path) -> None:
    course = course_through(
        3.0 * np.random.default_rng(1).uniform(0.9, 1.1, 12)[:, None] * circle(1.0, 12).file.points(),
        options={"failure_weight": -2.0},
    )
    save_course(course, tmp_path / "test.toml")
    again = load_course(tmp_path / "test.toml")
    assert again.file == course.file and again.length == course.length


def test_a_wrong_course_says_what_is_wrong(tmp_path: Path) -> None:
    save_course(CIRCLE, tmp_path / "oval.toml")
    with pytest.raises(SpecError, match="did you mean oval"):
        load_course(tmp_path / "ovall.toml")
    path = tmp_path / "bad.toml"
    path.write_text((tmp_path / "oval.toml").read_text().replace("checkpoints", "chekpoints"))
    with pytest.raises(SpecError, match="did you mean checkpoints"):
        load_course(path)
    with pytest.raises(SpecError, match="at least 4"):
        course_through(np.array([(0, 0), (1, 0), (0, 1)]))
    with pytest.raises(SpecError, match="less than 1 mm"):
        course_through(np.array([(0, 0), (1, 0), (1, 0), (0, 1)]))
    with pytest.raises(SpecError, match="closed"):
        course_through(CIRCLE.file.points(), closed=False)
