"""Pictures: what is where, told by colour."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
import pytest

from robot.errors import SandlotError
from robot.spec import load_spec
from sim.raycast import Camera, chase, overview, render, save
from sim.twin import CarTwin
from sim.world import world_path


@pytest.fixture(scope="module")
def twin() -> CarTwin:
    return CarTwin(load_spec(Path(__file__).parents[2] / "launch/robots/racer.toml"), world_path("oval"))


def red(picture: np.ndarray) -> np.ndarray:
    """Where the car's body is seen."""
    r, g, b = picture.astype(int).transpose(2, 0, 1)
    return (r > 60) & (r > 2 * g) & (r > 2 * b)


def test_the_car_is_in_the_middle_of_its_chase_camera(twin: CarTwin) -> None:
    picture = render(twin.model, twin.data, chase(twin.pose()), 96, 64)
    assert picture.shape == (64, 96, 3) and picture.dtype == np.uint8
    rows, columns = np.nonzero(red(picture))
    assert len(rows) > 20
    assert columns.mean() == pytest.approx(47.5, abs=1.5)
    assert (picture[0] > 150).all(), "the sky is bright"


def test_the_overview_shows_the_car_where_it_is(twin: CarTwin) -> None:
    twin.place((2.0, 1.6, math.pi))
    rows, columns = np.nonzero(red(overview(twin.model, twin.data, 320, 180, tilt=0.0, samples=1)))
    half_x, half_y = twin.model.geom("floor").size[:2]
    metre = 90 / max(half_y, half_x * 180 / 320)
    assert (columns.mean() - 159.5) / metre == pytest.approx(2.0, abs=0.15)
    assert (89.5 - rows.mean()) / metre == pytest.approx(1.6, abs=0.15)
    twin.place(twin.world.start_pose)


def test_looking_down_the_ray_of_a_pixel_is_the_pinhole_model(twin: CarTwin) -> None:
    x, y, _ = twin.pose()
    camera = Camera((x, y, 3.0), (x, y, 0.0), math.radians(40))
    rows, columns = np.nonzero(red(render(twin.model, twin.data, camera, 200, 200, shadows=False)))
    scale = 200 / (2 * math.tan(math.radians(20)) * (3.0 - 0.11))
    assert (columns.max() - columns.min() + 1) / scale == pytest.approx(0.52, abs=0.03)
    assert (rows.max() - rows.min() + 1) / scale == pytest.approx(0.31 * 0.72, abs=0.05)


def test_pictures_repeat_to_the_bit(twin: CarTwin) -> None:
    first, second = (render(twin.model, twin.data, chase(twin.pose()), 48, 32, samples=2) for _ in range(2))
    assert (first == second).all()


def test_a_saved_picture_reads_back(twin: CarTwin, tmp_path: Path) -> None:
    picture = render(twin.model, twin.data, chase(twin.pose()), 48, 32)
    save(tmp_path / "picture.png", picture)
    assert (cv2.imread(str(tmp_path / "picture.png"))[..., ::-1] == picture).all()
    with pytest.raises(SandlotError, match="cannot write"):
        save(tmp_path / "nowhere" / "picture.png", picture)
