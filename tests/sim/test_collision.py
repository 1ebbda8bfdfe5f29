"""A rectangle against walls: geometry by closed form, and what it may not do: create energy."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from robot.spec import load_spec
from sim.car import car_parameters
from sim.collision import Collision, room
from sim.world import Obstacle, World, hall, load_world, world_path

CAR = car_parameters(load_spec(Path(__file__).parents[2] / "launch/robots/racer.toml"))
OVAL = load_world(world_path("oval"))
FRONT = (CAR.front_axle - CAR.rear_axle + CAR.length) / 2
STILL = (0.0, 0.0, 0.0)
SPRING = 0.5 * CAR.mass * CAR.bumper_frequency**2


BOX = hall(20.0, Obstacle(shape="box", size=(1.0, 1.0, 0.3), x=5.0, y=0.0, yaw=math.pi / 6))
DRUM = hall(20.0, Obstacle(shape="cylinder", size=(0.5, 0.3), x=5.0, y=0.0))


def at(x: float, y: float, yaw: float) -> tuple[float, float, float, float]:
    return x, y, math.cos(yaw), math.sin(yaw)


@pytest.mark.parametrize("world", [OVAL, BOX])
def test_free_space_is_on_the_side_of_every_normal(world: World) -> None:
    track, line = world.half_width, world.centreline(0.2)
    for face in room(world)[0]:
        x = face.x + 0.5 * face.length * face.along_x + 0.01 * face.normal_x
        y = face.y + 0.5 * face.length * face.along_y + 0.01 * face.normal_y
        from_line = float(np.hypot(*(line - (x, y)).T).min())
        in_box = max(abs(v) for v in np.array([x - 5.0, y]) @ turn(math.pi / 6)) < 0.5
        assert from_line < track and not (world is BOX and in_box)
        assert face.normal_x * face.along_x + face.normal_y * face.along_y == pytest.approx(0.0, abs=1e-12)


def turn(angle: float) -> np.ndarray:
    return np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])


def test_head_on_both_corners_push_straight_back() -> None:
    collision = Collision(OVAL, CAR, 1e-3)
    # The oval's lower wall is at y = -2.35; the car faces it.
    y = -2.35 + FRONT - 0.01
    push = collision.force(at(0.3, y, -math.pi / 2), STILL)
    assert push == pytest.approx((0.0, 2 * SPRING * 0.01, 0.0), abs=1e-9)
    assert collision.touching
    assert collision.force(at(0.3, y + 0.011, -math.pi / 2), STILL) == (0.0, 0.0, 0.0)
    assert not collision.touching


def test_one_corner_gives_its_own_moment() -> None:
    collision, yaw = Collision(OVAL, CAR, 1e-3), -0.3
    corner = turn(yaw) @ (FRONT, -CAR.width / 2)
    push = collision.force(at(0.0, -2.35 - corner[1] - 0.02, yaw), STILL)
    force = SPRING * 0.02
    assert push == pytest.approx((0.0, force, corner[0] * force), rel=1e-9, abs=1e-9)


def test_the_corner_of_a_box_pushes_the_car_s_side() -> None:
    """Its corner points at the car's left side, from below; no corner of the car is in the box."""
    collision = Collision(BOX, CAR, 1e-3)
    corner = np.array([5.0, 0.0]) + turn(math.pi / 6) @ (-0.5, -0.5)
    x, y = corner[0] - 0.05, corner[1] - CAR.width / 2 + 0.004
    push = collision.force(at(x, y, 0.0), STILL)
    force = SPRING * 0.004
    assert push == pytest.approx((0.0, -force, -0.05 * force), rel=1e-6, abs=1e-9)


def test_a_drum_pushes_along_its_radius() -> None:
    collision, yaw = Collision(DRUM, CAR, 1e-3), 0.7
    centre = np.array([5.0, 0.0]) - turn(yaw) @ (FRONT + 0.5 - 0.003, 0.0)
    push = collision.force(at(*centre.tolist(), yaw), STILL)
    force = -SPRING * 0.003 * (turn(yaw) @ (1.0, 0.0))
    assert push == pytest.approx((*force, 0.0), abs=1e-6)


def test_it_matters_not_where_the_car_came_from() -> None:
    rng = np.random.default_rng(0)
    wandering = Collision(OVAL, CAR, 1e-3)
    touched = 0
    for _ in range(200):
        pose = at(*rng.uniform((-4.5, -2.3), (4.5, 2.3)), rng.uniform(-4, 4))
        velocity = tuple(rng.normal(0, 1, 3).tolist())
        assert wandering.force(pose, velocity) == Collision(OVAL, CAR, 1e-3).force(pose, velocity)
        touched += wandering.touching
    assert touched > 25


@pytest.mark.parametrize("world", [OVAL, BOX, DRUM])
def test_no_collision_creates_energy(world: World) -> None:
    """A frictionless floor, random hits: kinetic energy afterwards never exceeds what there was, nor does it
    with the springs' in between by more than the step's own error."""
    rng, dt = np.random.default_rng(1), 1e-3
    collision = Collision(world, CAR, dt)
    lost, hits = [], 0
    for _ in range(40):
        if world is OVAL:
            x, y = rng.uniform(-2, 2), -1.6
            vx, vy = rng.uniform(-2, 2), rng.uniform(-4, -1)
        else:
            x, y = 5.0 + rng.uniform(-0.3, 0.3), -1.4
            vx, vy = 0.0, rng.uniform(1, 4)
        yaw, r = rng.uniform(-math.pi, math.pi), rng.uniform(-4, 4)
        before = energy(vx, vy, r)
        hit = False
        for _ in range(500):
            fx, fy, moment = collision.force(at(x, y, yaw), (vx, vy, r))
            hit |= collision.touching
            vx, vy, r = vx + dt * fx / CAR.mass, vy + dt * fy / CAR.mass, r + dt * moment / CAR.yaw_inertia
            x, y, yaw = x + dt * vx, y + dt * vy, yaw + dt * r
            assert energy(vx, vy, r) < 1.01 * before
        hits += hit
        lost.append(1 - energy(vx, vy, r) / before)
    assert hits > 25 and min(lost) >= -1e-9 and np.median(lost) > 0.2


def energy(vx: float, vy: float, r: float) -> float:
    return 0.5 * CAR.mass * (vx**2 + vy**2) + 0.5 * CAR.yaw_inertia * r**2
