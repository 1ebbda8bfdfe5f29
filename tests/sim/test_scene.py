"""The compiled room: walls stand where the world says, without gaps, whichever way the track is driven."""

from __future__ import annotations

from pathlib import Path

import msgspec
import mujoco
import numpy as np
import pytest

from robot.spec import load_spec
from sim.car import car_parameters
from sim.scene import scene
from sim.world import Segment, World, load_world, world_path, worlds

CAR = car_parameters(load_spec(Path(__file__).parents[2] / "launch/robots/racer.toml"))
WALLS_ONLY = np.array([1, 0, 0, 0, 0, 0], np.uint8)
TRACKS = tuple(name for name in worlds() if name != "yard")
"""The yard is a ring that is nearly all floor: nobody laps it."""


def reversed_world(world: World) -> World:
    """The same kind of track, driven clockwise."""
    segments = tuple(
        Segment(length=s.length, radius=s.radius, turn_degrees=-s.turn_degrees) for s in world.segments
    )
    return msgspec.structs.replace(world, segments=segments)


@pytest.fixture(params=[(name, way) for name in TRACKS for way in ("left", "right")], ids=str)
def world(request: pytest.FixtureRequest) -> World:
    name, way = request.param
    world = load_world(world_path(name))
    return world if way == "left" else reversed_world(world)


@pytest.fixture
def model(world: World) -> mujoco.MjModel:
    return scene(world, CAR, 0.001)


def range_of(model: mujoco.MjModel, data: mujoco.MjData, start: np.ndarray, angle: float) -> float:
    ray = np.array([np.cos(angle), np.sin(angle), 0.0])
    return float(mujoco.mj_ray(model, data, start, ray, WALLS_ONLY, True, -1, np.zeros(1, np.int32), None))


def test_both_walls_are_half_a_width_away_everywhere(world: World, model: mujoco.MjModel) -> None:
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    for (x, y), heading in zip(world.centreline(0.2), world.headings(0.2), strict=True):
        for side in (np.pi / 2, -np.pi / 2):
            distance = range_of(model, data, np.array([x, y, 0.05]), heading + side)
            assert distance == pytest.approx(world.half_width, abs=0.02)


def test_no_ray_leaves_the_track(world: World, model: mujoco.MjModel) -> None:
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    x, y, _ = world.start_pose
    ranges = [range_of(model, data, np.array([x, y, 0.1]), a) for a in np.linspace(0, 2 * np.pi, 721)]
    assert min(ranges) > 0.5
    assert max(ranges) < 2 * max(world.extent())


def test_physics_that_diverge_leave_no_file_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    model = scene(load_world(world_path("oval")), CAR, 0.002)
    data = mujoco.MjData(model)
    data.qvel[0] = np.nan
    mujoco.mj_step(model, data)
    assert "unstable" in capfd.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_what_is_only_drawn_changes_no_physics() -> None:
    driven = []
    for drawn in (True, False):
        model = scene(load_world(world_path("oval")), CAR, 0.001, drawn)
        data = mujoco.MjData(model)
        data.qpos[:2] = -1.0, -1.2
        data.ctrl[0] = 0.05
        mujoco.mj_step(model, data, 4000)  # into the wall
        driven.append((model.ngeom, data.qpos.copy(), data.qvel.copy()))
    (every, *looks), (fewer, *bare) = driven
    assert every > fewer + 20
    for with_looks, without in zip(looks, bare, strict=True):
        np.testing.assert_array_equal(with_looks, without)
