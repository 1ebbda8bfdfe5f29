"""A world and a car in it, as one MuJoCo model."""

from __future__ import annotations

import math
from functools import lru_cache

import mujoco
import numpy as np

from sim.car import CarParameters, car_mjcf, spring_tyres
from sim.world import Array, Wall, World

WALL_RGBA = "0.82 0.80 0.74 1"
OBSTACLE_RGBA = "0.95 0.55 0.15 1"


def scene_mjcf(world: World, car: CarParameters, timestep: float, drawn: bool = True) -> str:
    """The MJCF of ``world`` with ``car`` in it; ``timestep`` [s]. What is only ``drawn`` may be left out: a
    step of the physics costs a twelfth less.

    Walls and obstacles collide as the car's bumper does: their priority makes their low friction and their
    spring and damper count, whatever touches them. The floor is a body of its own: it is everywhere, so that
    with it no volume around the walls could be ruled out at once.
    """
    parts = car_mjcf(car, world.floor_friction)
    time_constant = 1 / (car.bumper_damping * car.bumper_frequency)
    half = [extent + 1.0 for extent in world.extent()]
    faces = _walls(world, world.wall) if world.wall else ""
    obstacles = "".join(
        f'<geom class="wall" type="{o.shape}" pos="{o.x} {o.y} {o.size[-1] / 2}" euler="0 0 {o.yaw}" '
        f'size="{_half_size(o.shape, o.size)}" rgba="{OBSTACLE_RGBA}"/>\n    '
        for o in world.obstacles
    )
    return f"""<mujoco model="{world.name}">
  <compiler angle="radian" inertiafromgeom="false" discardvisual="{"false" if drawn else "true"}"/>
  <option timestep="{timestep}" integrator="implicitfast" cone="elliptic" impratio="100"
    jacobian="dense"/>
  <visual><map znear="0.01"/></visual>
  <default>
    <default class="wall">
      <geom contype="1" conaffinity="0" condim="3" priority="2" friction="{car.wall_friction} 0 0"
        solref="{time_constant} {car.bumper_damping}" solimp="0.95 0.95 0.001" rgba="{WALL_RGBA}" group="0"/>
    </default>
    <default class="solid">
      <geom contype="0" conaffinity="1" condim="3" friction="0.4 0 0" group="3"/>
    </default>
    <default class="drawn"><geom contype="0" conaffinity="0" group="1"/></default>
  </default>
  <worldbody>
    <body name="ground">
      <geom name="floor" type="plane" size="{half[0]} {half[1]} 0.1" contype="1" conaffinity="0" condim="3"
        friction="0.1 0 0" rgba="0.5 0.5 0.52 1"/>
    </body>
    {faces}{obstacles}{parts.worldbody}
  </worldbody>
  <contact>{parts.contact}</contact>
  <tendon>{parts.tendon}</tendon>
  <actuator>{parts.actuator}</actuator>
</mujoco>
"""


def scene(world: World, car: CarParameters, timestep: float, drawn: bool = True) -> mujoco.MjModel:
    """Compile ``scene_mjcf``. From then on what MuJoCo warns of, such as physics that diverge, goes to the
    standard error of this process and no more into a MUJOCO_LOG.TXT wherever the user happens to be."""
    config = mujoco.MjLogConfig.get()
    config.logto_file = False
    mujoco.MjLogConfig.set(config)
    model = mujoco.MjModel.from_xml_string(scene_mjcf(world, car, timestep, drawn))
    spring_tyres(model, car)
    return model


@lru_cache
def _walls(world: World, wall: Wall) -> str:
    """All walls, which are the same whatever car drives between them."""
    return "".join(_wall(wall, face, sign) for face, sign in zip(world.edges(), (1.0, -1.0), strict=True))


def _wall(wall: Wall, face: Array, inner: float) -> str:
    """Boxes behind a closed polyline. They stand on the side away from the track, which is to the left of an
    inner face driven anticlockwise (``inner`` 1) and to the right of an outer one (-1)."""
    edges = np.roll(face, -1, axis=0) - face
    area = float((face[:, 0] * edges[:, 1] - face[:, 1] * edges[:, 0]).sum())
    side = inner * math.copysign(1.0, area)
    height, thickness = wall.height, wall.thickness
    yaws = np.arctan2(edges[:, 1], edges[:, 0])
    turns = (yaws - np.roll(yaws, 1) + math.pi) % (2 * math.pi) - math.pi
    boxes = []
    for i, (yaw, length) in enumerate(zip(yaws, np.hypot(edges[:, 0], edges[:, 1]), strict=True)):
        # Where the wall bends towards the track a wedge opens behind the joint: pieces overlap to close it,
        # unseen from the track. Where it bends away an overlap would stick out.
        bends = (-side * turns[i], -side * turns[(i + 1) % len(turns)])
        overlap = thickness * math.tan(max(bends) / 2) if min(bends) > -1e-9 else 0.0
        x, y = face[i] + edges[i] / 2 + side * thickness / 2 * np.array([-math.sin(yaw), math.cos(yaw)])
        boxes.append(
            f'<geom class="wall" type="box" pos="{x} {y} {height / 2}" euler="0 0 {yaw}" '
            f'size="{length / 2 + overlap} {thickness / 2} {height / 2}"/>\n    '
        )
    return "".join(boxes)


def _half_size(shape: str, size: tuple[float, ...]) -> str:
    if shape == "box":
        return " ".join(str(s / 2) for s in size)
    return f"{size[0]} {size[1] / 2}"
