"""A camera without OpenGL: one ray per pixel through MuJoCo's collision geometry, shaded in numpy.

Deterministic and the same on every machine. Colours come from the geoms, light from a lamp above with
shadows, and the floor has a checker of half a metre so that motion and scale can be seen.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import cv2
import mujoco
import numpy as np
from numpy.typing import NDArray

from robot.errors import SandlotError

Array = NDArray[np.float64]
Image = NDArray[np.uint8]

FLOOR = (np.array([0.44, 0.46, 0.48]), np.array([0.37, 0.39, 0.41]))
TILE = 0.5
"""Side of the floor's squares [m]."""
SKY = (np.array([0.93, 0.95, 0.97]), np.array([0.62, 0.74, 0.88]))
"""At the horizon and at the zenith."""
LAMP = np.array([-2.0, -4.0, 7.0])
"""World position [m]; high enough that shadows are short."""
AMBIENT = 0.5
DRAWN = np.array([1, 1, 1, 0, 0, 0], np.uint8)
"""Geom groups that are seen: group 3 is for collision only."""


@dataclass(frozen=True)
class Camera:
    """Where from and where to [m, world frame]; ``field_of_view`` vertical [rad]."""

    position: tuple[float, float, float]
    look_at: tuple[float, float, float]
    field_of_view: float = math.radians(50)


def render(
    model: mujoco.MjModel,
    data: mujoco.MjData,
    camera: Camera,
    width: int,
    height: int,
    shadows: bool = True,
    samples: int = 1,
) -> Image:
    """An RGB picture, shape (height, width, 3). ``samples``: rays per pixel along each side, against jagged
    edges. ``data`` must have positions computed, as after a step."""
    origin = np.array(camera.position, float)
    rays = _rays(camera, width * samples, height * samples)
    geoms, distances, normals = _cast(model, data, origin, rays)
    hit = geoms >= 0
    points = origin + rays * distances[:, None]

    colours = np.empty_like(rays)
    rise = np.clip(rays[:, 2:], 0.0, 1.0)
    colours[~hit] = ((1 - rise) * SKY[0] + rise * SKY[1])[~hit]
    colours[hit] = _surface(model, geoms[hit], points[hit])
    to_lamp = LAMP - points[hit]
    to_lamp /= np.linalg.norm(to_lamp, axis=1, keepdims=True)
    # A ray from inside a geom, or from behind a face, meets its back: light both sides.
    facing = np.where((normals[hit] * rays[hit]).sum(axis=1) > 0, -1.0, 1.0)
    light = np.clip((normals[hit] * to_lamp).sum(axis=1) * facing, 0.0, 1.0)
    if shadows:
        light *= _lit(model, data, points[hit])
    colours[hit] *= (AMBIENT + (1 - AMBIENT) * light)[:, None]

    picture: Image = (
        (np.clip(colours, 0.0, 1.0) * 255).astype(np.uint8).reshape(height * samples, width * samples, 3)
    )
    return cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA) if samples > 1 else picture


def overview(
    model: mujoco.MjModel, data: mujoco.MjData, width: int, height: int, tilt: float = 0.35, samples: int = 2
) -> Image:
    """The whole room from above, shape (height, width, 3); ``tilt`` [rad] from straight down."""
    half_x, half_y = model.geom("floor").size[:2]
    camera = Camera((0.0, 0.0, 1.0), (0.0, 0.0, 0.0), math.radians(30))
    across = math.tan(camera.field_of_view / 2)
    distance = max(half_y, half_x * height / width) / across + half_y * math.sin(tilt)
    raised = Camera(
        (0.0, -distance * math.sin(tilt), distance * math.cos(tilt)), camera.look_at, camera.field_of_view
    )
    return render(model, data, raised, width, height, samples=samples)


def chase(pose: tuple[float, float, float], distance: float = 1.4, height: float = 0.7) -> Camera:
    """A camera ``distance`` behind and ``height`` above a car at ``pose`` (x, y [m], yaw [rad])."""
    x, y, yaw = pose
    forward = (math.cos(yaw), math.sin(yaw))
    return Camera(
        (x - distance * forward[0], y - distance * forward[1], height),
        (x + 0.4 * forward[0], y + 0.4 * forward[1], 0.05),
    )


def save(path: Path, picture: Image) -> None:
    """Write a PNG. Raises SandlotError."""
    if not cv2.imwrite(str(path), picture[..., ::-1]):
        raise SandlotError(f"cannot write the picture {path}; does its folder exist, and is the disk full?")


def _rays(camera: Camera, width: int, height: int) -> Array:
    """Unit vectors, row by row from the top left, shape (height * width, 3)."""
    forward = np.array(camera.look_at, float) - camera.position
    forward /= np.linalg.norm(forward)
    up = np.array([0.0, 0.0, 1.0]) if abs(forward[2]) < 0.999 else np.array([0.0, 1.0, 0.0])
    right = np.cross(forward, up)
    right /= np.linalg.norm(right)
    up = np.cross(right, forward)
    scale = math.tan(camera.field_of_view / 2) / height
    xs = (2 * np.arange(width) + 1 - width) * scale
    ys = (height - 1 - 2 * np.arange(height)) * scale
    rays = forward + xs[None, :, None] * right + ys[:, None, None] * up
    unit: Array = (rays / np.linalg.norm(rays, axis=2, keepdims=True)).reshape(-1, 3)
    return unit


def _cast(
    model: mujoco.MjModel, data: mujoco.MjData, origin: Array, rays: Array
) -> tuple[NDArray[np.int32], Array, Array]:
    """First drawn geom each ray meets (-1: none), its distance and normal."""
    n = len(rays)
    geoms, distances, normals = np.full(n, -1, np.int32), np.zeros(n), np.zeros(3 * n)
    mujoco.mj_multiRay(
        model, data, origin, rays.ravel(), DRAWN, True, -1, geoms, distances, normals, n, mujoco.mjMAXVAL
    )
    return geoms, distances, normals.reshape(-1, 3)


def _surface(model: mujoco.MjModel, geoms: NDArray[np.int32], points: Array) -> Array:
    """Colour of what was hit, shape (n, 3)."""
    colours: Array = model.geom_rgba[geoms, :3].astype(float)
    floor = geoms == model.geom("floor").id
    tiles = np.floor(points[floor, :2] / TILE).astype(int).sum(axis=1) % 2
    colours[floor] = np.where(tiles[:, None] == 0, FLOOR[0], FLOOR[1])
    return colours


def _lit(model: mujoco.MjModel, data: mujoco.MjData, points: Array) -> Array:
    """1 where the lamp's ray arrives, else 0, shape (n,)."""
    rays = points - LAMP
    far = np.linalg.norm(rays, axis=1)
    rays /= far[:, None]
    _, distances, _ = _cast(model, data, LAMP, rays)
    lit: Array = (distances > far - 2e-3).astype(float)
    return lit
