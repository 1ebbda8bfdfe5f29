"""A car's rectangle against walls and obstacles, seen from above: springs and dampers with friction.

Corners of the car against faces of the room, and posts (its convex corners and its cylinders) against the
sides of the car. Each contact's spring pulls along the shortest way out, so its energy depends on the pose
alone: what a collision gives back it has taken.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from sim.car import CarParameters
from sim.plant import Array
from sim.world import Obstacle, World

MARGIN = 0.2
"""How far the car may move until what is near it is looked up again [m]."""
DEEPEST = 0.25
"""A corner further behind a face than this [m] is not in contact but on the other side of the wall."""


class Face(NamedTuple):
    """From x, y [m] along a unit vector for ``length`` [m]; the free side is that of the normal. Faces of one
    ``solid`` push a corner by the nearest of them alone."""

    solid: int
    x: float
    y: float
    along_x: float
    along_y: float
    length: float
    normal_x: float
    normal_y: float


class Post(NamedTuple):
    """A circle about x, y [m]; ``radius`` [m] is 0 for a corner."""

    x: float
    y: float
    radius: float


class Collision:
    """The car's bumper in a room. ``touching``: whether it met anything when last asked."""

    def __init__(self, world: World, car: CarParameters, timestep: float) -> None:
        self._faces, self._posts = room(world)
        starts = np.array([(f.x, f.y) for f in self._faces]).reshape(-1, 2)
        along = np.array([(f.along_x * f.length, f.along_y * f.length) for f in self._faces]).reshape(-1, 2)
        self._segments = (starts, along, (along**2).sum(axis=1))
        middle, half_length = (car.front_axle - car.rear_axle) / 2, car.length / 2
        self._half_width = car.width / 2
        self._rear, self._front = middle - half_length, middle + half_length
        self._reach = math.hypot(max(-self._rear, self._front), self._half_width)
        self._corners = [
            (x, y) for x in (self._rear, self._front) for y in (self._half_width, -self._half_width)
        ]
        # Half of the car's bumper at each of the two corners that meet a wall head on.
        self._stiffness = 0.5 * car.mass * car.bumper_frequency**2
        self._damping = car.mass * car.bumper_damping * car.bumper_frequency
        self._friction = car.wall_friction
        self._mass, self._inertia, self._timestep = car.mass, car.yaw_inertia, timestep
        self._looked = (math.inf, math.inf)
        self._near_faces: list[Face] = []
        self._near_posts: list[Post] = []
        self.touching = False

    def force(
        self, pose: tuple[float, float, float, float], velocity: tuple[float, float, float]
    ) -> tuple[float, float, float]:
        """Force on the car [N], world frame, and its moment about the centre of mass [N m]. ``pose``: x, y of
        the centre of mass [m], cosine and sine of the heading; ``velocity``: of the centre of mass, world
        frame [m/s], and yaw rate [rad/s]."""
        x, y, cosine, sine = pose
        at_x, at_y = self._looked
        if not (abs(x - at_x) < 0.7 * MARGIN and abs(y - at_y) < 0.7 * MARGIN):
            self._look(x, y)
        self.touching = False
        if not (self._near_faces or self._near_posts):
            return 0.0, 0.0, 0.0
        total_x = total_y = moment = 0.0
        for lever_x, lever_y, normal_x, normal_y, depth in self._contacts(x, y, cosine, sine):
            self.touching = True
            velocity_x = velocity[0] - velocity[2] * lever_y
            velocity_y = velocity[1] + velocity[2] * lever_x
            leaving = velocity_x * normal_x + velocity_y * normal_y
            press = max(self._stiffness * depth - self._damping * leaving, 0.0)
            along = velocity_y * normal_x - velocity_x * normal_y
            # With another contact like this, no more than stops the sliding within the step: no chatter.
            arm = lever_x * normal_x + lever_y * normal_y
            arrest = 0.5 / ((1.0 / self._mass + arm * arm / self._inertia) * self._timestep)
            rub = -math.copysign(min(self._friction * press, arrest * abs(along)), along)
            force_x, force_y = press * normal_x - rub * normal_y, press * normal_y + rub * normal_x
            total_x += force_x
            total_y += force_y
            moment += lever_x * force_y - lever_y * force_x
        return total_x, total_y, moment

    def _contacts(
        self, x: float, y: float, cosine: float, sine: float
    ) -> list[tuple[float, float, float, float, float]]:
        """Lever arm from the centre of mass to each contact [m], unit normal out of the wall, both in the
        world frame, and depth [m]."""
        found = []
        for corner_x, corner_y in self._corners if self._near_faces else ():
            lever_x, lever_y = cosine * corner_x - sine * corner_y, sine * corner_x + cosine * corner_y
            out = _way_out(self._near_faces, x + lever_x, y + lever_y)
            found += [(lever_x, lever_y, *o) for o in out]
        for post in self._near_posts:
            away_x, away_y = post.x - x, post.y - y
            local_x, local_y = cosine * away_x + sine * away_y, cosine * away_y - sine * away_x
            push = self._post_depth(local_x, local_y, post.radius)
            if push is not None:
                touch_x, touch_y, normal_x, normal_y, depth = push
                found.append(
                    (
                        cosine * touch_x - sine * touch_y,
                        sine * touch_x + cosine * touch_y,
                        cosine * normal_x - sine * normal_y,
                        sine * normal_x + cosine * normal_y,
                        depth,
                    )
                )
        return found

    def _post_depth(
        self, x: float, y: float, radius: float
    ) -> tuple[float, float, float, float, float] | None:
        """A post at ``x``, ``y`` in the body frame: where it touches the rectangle [m], which way it pushes,
        how deep it is [m]."""
        near_x, near_y = (
            min(max(x, self._rear), self._front),
            min(max(y, -self._half_width), self._half_width),
        )
        gap = math.hypot(near_x - x, near_y - y)
        if gap >= radius and gap > 0.0:
            return None
        if gap > 0.0:
            return near_x, near_y, (near_x - x) / gap, (near_y - y) / gap, radius - gap
        sides = (
            (x - self._rear, self._rear, y, 1.0, 0.0),
            (self._front - x, self._front, y, -1.0, 0.0),
            (y + self._half_width, x, -self._half_width, 0.0, 1.0),
            (self._half_width - y, x, self._half_width, 0.0, -1.0),
        )
        depth, touch_x, touch_y, normal_x, normal_y = min(sides)
        return touch_x, touch_y, normal_x, normal_y, depth + radius

    def _look(self, x: float, y: float) -> None:
        """Note what the car can touch while it stays within ``MARGIN`` of ``x``, ``y`` [m]."""
        self._looked = (x, y)
        reach = self._reach + MARGIN
        starts, along, squares = self._segments
        away = np.array([x, y]) - starts
        share = np.clip((away * along).sum(axis=1) / squares, 0.0, 1.0)
        gaps = np.hypot(*(away - share[:, None] * along).T)
        self._near_faces = [self._faces[i] for i in np.flatnonzero(gaps < reach)]
        self._near_posts = [p for p in self._posts if math.hypot(p.x - x, p.y - y) - p.radius < reach]


def _way_out(faces: list[Face], x: float, y: float) -> list[tuple[float, float, float]]:
    """For a point, unit normal and depth [m] of each solid that it is in: out by the shortest way."""
    best: dict[int, tuple[float, float, float, bool]] = {}
    for face in faces:
        away_x, away_y = x - face.x, y - face.y
        share = min(max(away_x * face.along_x + away_y * face.along_y, 0.0), face.length)
        gap_x, gap_y = share * face.along_x - away_x, share * face.along_y - away_y
        gap = gap_x * gap_x + gap_y * gap_y
        if face.solid not in best or gap < best[face.solid][0]:
            behind = gap_x * face.normal_x + gap_y * face.normal_y > 0.0
            best[face.solid] = (gap, gap_x, gap_y, behind)
    out = []
    for square, gap_x, gap_y, behind in best.values():
        if behind and square < DEEPEST**2:
            depth = math.sqrt(square)
            out.append((gap_x / depth, gap_y / depth, depth))
    return out


def room(world: World) -> tuple[list[Face], list[Post]]:
    """Everything solid in a world."""
    faces: list[Face] = []
    posts: list[Post] = []
    for points, inner in zip(world.edges(), (True, False), strict=True) if world.wall else ():
        # The inner wall is solid inside its polyline, the outer one outside.
        _add_loop(faces, posts, points if _area(points) > 0 else points[::-1], 1.0 if inner else -1.0)
    for obstacle in world.obstacles:
        if obstacle.shape == "box":
            _add_loop(faces, posts, _corners(obstacle), 1.0)
        else:
            posts.append(Post(obstacle.x, obstacle.y, obstacle.size[0]))
    return faces, posts


def _add_loop(faces: list[Face], posts: list[Post], points: Array, outward: float) -> None:
    """Faces and convex corners of a solid along an anticlockwise polyline, which it fills (``outward`` 1) or
    surrounds (-1)."""
    solid = 1 + (faces[-1].solid if faces else 0)
    edges = np.roll(points, -1, axis=0) - points
    lengths = np.hypot(edges[:, 0], edges[:, 1])
    units = edges / lengths[:, None]
    before = np.roll(units, 1, axis=0)
    turns_left = before[:, 0] * units[:, 1] - before[:, 1] * units[:, 0]
    for (x, y), (ux, uy), length, turn in zip(points, units, lengths, turns_left, strict=True):
        normal = (float(outward * uy), float(-outward * ux))
        faces.append(Face(solid, float(x), float(y), float(ux), float(uy), float(length), *normal))
        if outward * turn > 1e-9:
            posts.append(Post(float(x), float(y), 0.0))


def _corners(box: Obstacle) -> Array:
    """Of a box, anticlockwise, shape (4, 2)."""
    half_length, half_width = box.size[0] / 2, box.size[1] / 2
    local = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * (half_length, half_width)
    turn = np.array([[math.cos(box.yaw), -math.sin(box.yaw)], [math.sin(box.yaw), math.cos(box.yaw)]])
    corners: Array = local @ turn.T + (box.x, box.y)
    return corners


def _area(points: Array) -> float:
    after = np.roll(points, -1, axis=0)
    return float((points[:, 0] * after[:, 1] - points[:, 1] * after[:, 0]).sum())
