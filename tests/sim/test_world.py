"""Tracks: geometry against independent arithmetic, and files that are wrong."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from robot.errors import SpecError
from sim.world import World, load_world, world_path, worlds

TRACKS = tuple(name for name in worlds() if name != "yard")
"""The yard is a ring that is nearly all floor: nobody laps it."""

PLAIN = """
name = "ring"
description = ""
half_width = 0.5
wall = { height = 0.2, thickness = 0.1 }
start = { distance = 0.0 }
segments = [ { radius = 2.0, turn_degrees = 360.0 } ]
"""


@pytest.fixture(params=TRACKS)
def world(request: pytest.FixtureRequest) -> World:
    return load_world(world_path(request.param))


def distance_to(polyline: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Of each point to a closed polyline [m]."""
    start, edge = polyline[None], (np.roll(polyline, -1, axis=0) - polyline)[None]
    along = ((points[:, None] - start) * edge).sum(2) / (edge**2).sum(2)
    foot = start + np.clip(along, 0, 1)[..., None] * edge
    return np.linalg.norm(points[:, None] - foot, axis=2).min(axis=1)


def area(polyline: np.ndarray) -> float:
    x, y = polyline.T
    return float((x * np.roll(y, -1) - y * np.roll(x, -1)).sum() / 2)


def test_there_is_an_oval_and_a_kidney() -> None:
    assert {"oval", "kidney"} <= set(worlds())


def test_the_oval_is_two_straights_and_a_circle() -> None:
    assert load_world(world_path("oval")).length == pytest.approx(10 + 2 * math.pi * 1.6)


def test_the_kidney_turns_both_ways() -> None:
    kidney = load_world(world_path("kidney"))
    assert 25 <= kidney.length <= 30
    turns = np.diff(kidney.headings())
    assert turns.max() > 0 > turns.min()


def test_every_wall_stands_half_a_width_from_the_centreline(world: World) -> None:
    centreline = world.centreline(0.02)
    for wall in world.edges():
        distance = distance_to(wall, centreline)
        assert distance == pytest.approx(world.half_width, abs=0.015)


def test_the_track_is_driven_anticlockwise_between_its_walls(world: World) -> None:
    inner, outer = world.edges()
    assert 0 < area(inner) < area(world.centreline()) < area(outer)


def test_the_points_are_evenly_spaced_and_close(world: World) -> None:
    points = world.centreline(0.05)
    gaps = np.linalg.norm(np.roll(points, -1, axis=0) - points, axis=1)
    assert gaps == pytest.approx(world.length / len(points), rel=1e-3)


def test_headings_are_the_directions_of_the_points(world: World) -> None:
    points, headings = world.centreline(0.01), world.headings(0.01)
    step = np.roll(points, -1, axis=0) - points
    error = np.angle(np.exp(1j * (np.arctan2(step[:, 1], step[:, 0]) - headings)))
    assert np.abs(error).max() < 0.005


def test_the_origin_is_the_middle_of_the_room(world: World) -> None:
    points = world.centreline(0.01)
    assert (points.max(axis=0) + points.min(axis=0)) / 2 == pytest.approx([0, 0], abs=1e-3)


def test_the_start_is_on_a_straight(world: World) -> None:
    x, y, yaw = world.start_pose
    ahead = world.pose_at(world.start.distance + 0.5)
    assert ahead == pytest.approx((x + 0.5 * math.cos(yaw), y + 0.5 * math.sin(yaw), yaw))


def test_a_clockwise_track_has_its_inner_wall_on_the_right(tmp_path: Path) -> None:
    file = tmp_path / "ring.toml"
    file.write_text(PLAIN.replace("360.0", "-360.0"))
    inner, outer = load_world(file).edges()
    assert abs(area(inner)) < math.pi * 2.0**2 < abs(area(outer))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (("half_width", "half_widht"), "half_width"),
        (("360.0", "350.0"), "does not close"),
        (("radius = 2.0", "radius = 0.4"), "half_width"),
        (("radius = 2.0, turn_degrees = 360.0", "length = 1.0, radius = 2.0"), "a segment is"),
        (("height = 0.2", "height = 0.0"), "must be positive"),
        (('name = "ring"', "name = ring"), "not valid TOML"),
    ],
)
def test_a_wrong_file_is_refused_with_what_is_wrong(
    tmp_path: Path, change: tuple[str, str], complaint: str
) -> None:
    file = tmp_path / "ring.toml"
    file.write_text(PLAIN.replace(*change))
    with pytest.raises(SpecError, match=complaint) as raised:
        load_world(file)
    assert "ring.toml" in str(raised.value)


def test_an_unknown_world_names_the_nearest() -> None:
    with pytest.raises(SpecError, match="oval"):
        world_path("ovel")
    with pytest.raises(SpecError, match="oval"):
        load_world(Path("nowhere/ovel.toml"))
