"""What the twin's room looks like: a walled track, obstacles and the floor, read from one TOML file.

World frame: x east, y north, metres, origin at the centre of the track's bounding box. A track is a closed
chain of straights and arcs; its walls stand ``half_width`` to either side of the centreline.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from robot.errors import SpecError, nearest
from robot.layout import Struct
from robot.plain_data import decode_struct

Array = NDArray[np.float64]

WORLDS = Path(__file__).parent / "worlds"
CLOSURE = 0.001
"""How far [m] the end of the last segment may lie from the start of the first."""
WALL_DEGREES = 10.0
"""Arcs become wall pieces of at most this turn: at 2.35 m radius a chord lies 9 mm inside its arc."""


class Segment(Struct):
    """A straight of ``length`` [m], or an arc of ``radius`` [m] through ``turn_degrees`` (left positive)."""

    length: float = 0.0
    radius: float = 0.0
    turn_degrees: float = 0.0

    def __post_init__(self) -> None:
        straight = self.length > 0 and self.radius == 0 and self.turn_degrees == 0
        arc = self.length == 0 and self.radius > 0 and self.turn_degrees != 0
        if not (straight or arc):
            raise ValueError(
                "a segment is { length } of a straight or { radius, turn_degrees } of an arc; got "
                f"length {self.length}, radius {self.radius}, turn_degrees {self.turn_degrees}"
            )

    @property
    def turn(self) -> float:
        """Change of heading [rad], left positive."""
        return math.radians(self.turn_degrees)

    @property
    def distance(self) -> float:
        """Length along the centreline [m]."""
        return self.length or self.radius * abs(self.turn)

    def after(self, x: float, y: float, heading: float, distance: float) -> tuple[float, float, float]:
        """The pose ``distance`` [m] into the segment that starts at ``x``, ``y``, ``heading``."""
        if self.length:
            return x + distance * math.cos(heading), y + distance * math.sin(heading), heading
        radius = math.copysign(self.radius, self.turn_degrees)
        end = heading + distance / radius
        return (
            x + radius * (math.sin(end) - math.sin(heading)),
            y - radius * (math.cos(end) - math.cos(heading)),
            end,
        )


class Wall(Struct):
    """Height and thickness [m]; the face towards the track is where the polyline is."""

    height: float
    thickness: float


class Obstacle(Struct):
    """A box of ``size`` length, width, height, or a cylinder of ``size`` radius, height [m], on the floor."""

    shape: Literal["box", "cylinder"]
    size: tuple[float, ...]
    x: float
    y: float
    yaw: float = 0.0

    def __post_init__(self) -> None:
        expected = 3 if self.shape == "box" else 2
        if len(self.size) != expected or min(self.size) <= 0:
            raise ValueError(f"a {self.shape} has {expected} positive sizes [m]; got {list(self.size)}")


class Start(Struct):
    """Where the car begins: ``distance`` along the centreline, ``offset`` to the left of it [m]."""

    distance: float
    offset: float = 0.0


class World(Struct):
    """A track, walled unless ``wall`` is None. ``floor_friction`` multiplies the tyres' friction
    coefficient."""

    name: str
    description: str
    half_width: float
    start: Start
    segments: tuple[Segment, ...]
    wall: Wall | None = None
    obstacles: tuple[Obstacle, ...] = ()
    floor_friction: float = 1.0

    def __post_init__(self) -> None:
        wall = (self.wall.height, self.wall.thickness) if self.wall else ()
        if min(self.half_width, self.floor_friction, *wall) <= 0:
            raise ValueError("half_width, floor_friction, wall.height and wall.thickness must be positive")
        tight = [s.radius for s in self.segments if s.turn_degrees and s.radius <= self.half_width]
        if tight:
            raise ValueError(f"arcs of radius {tight} m need a half_width below that; got {self.half_width}")
        if not self.segments:
            raise ValueError("segments is empty; a track needs at least one")
        x, y, heading = _chain(self)[-1]
        turned = heading / (2 * math.pi)
        if math.hypot(x, y) > CLOSURE or abs(abs(turned) - 1) > 1e-6:
            raise ValueError(
                f"the track does not close: the last segment ends {x:.4f}, {y:.4f} m from the start of the "
                f"first, after {math.degrees(heading):.3f} degrees; expected 0, 0 and +-360"
            )

    @property
    def length(self) -> float:
        """Of the centreline [m]."""
        return sum(segment.distance for segment in self.segments)

    @property
    def start_pose(self) -> tuple[float, float, float]:
        """x, y [m], yaw [rad]."""
        x, y, yaw = self.pose_at(self.start.distance)
        return x - self.start.offset * math.sin(yaw), y + self.start.offset * math.cos(yaw), yaw

    def pose_at(self, distance: float) -> tuple[float, float, float]:
        """The centreline's x, y [m] and heading [rad, unwrapped within a lap] at ``distance`` [m]."""
        cx, cy = self._centre()
        left = distance % self.length
        index = 0
        while left > self.segments[index].distance and index < len(self.segments) - 1:
            left -= self.segments[index].distance
            index += 1
        x, y, heading = self.segments[index].after(*_chain(self)[index], left)
        return x - cx, y - cy, heading

    def centreline(self, spacing: float = 0.05) -> Array:
        """Points about ``spacing`` [m] apart, evenly spaced by arc length, shape (N, 2); closed, the first
        point not repeated."""
        n = max(8, round(self.length / spacing))
        return np.array([self.pose_at(i * self.length / n)[:2] for i in range(n)])

    def headings(self, spacing: float = 0.05) -> Array:
        """The centreline's heading [rad] at the points of ``centreline``, shape (N,), unwrapped."""
        n = max(8, round(self.length / spacing))
        return np.array([self.pose_at(i * self.length / n)[2] for i in range(n)])

    def edges(self) -> tuple[Array, Array]:
        """The track's edges, inner and outer, where its walls' faces are if it has any: closed polylines,
        shape (M, 2) each, first point not repeated; one piece per straight, arcs in pieces of at most
        ``WALL_DEGREES``."""
        cx, cy = self._centre()
        knots = np.array(list(self._knots()))
        normal = np.column_stack([-np.sin(knots[:, 2]), np.cos(knots[:, 2])])
        left = knots[:, :2] - (cx, cy) + self.half_width * normal
        right = knots[:, :2] - (cx, cy) - self.half_width * normal
        return (left, right) if _chain(self)[-1][2] > 0 else (right, left)

    def extent(self) -> tuple[float, float]:
        """Half the size of the room in x and y [m], outer walls included."""
        outer = self.edges()[1]
        half = np.abs(outer).max(axis=0) + (self.wall.thickness if self.wall else 0.0)
        return float(half[0]), float(half[1])

    def _knots(self) -> Iterator[tuple[float, float, float]]:
        for segment, (x, y, heading) in zip(self.segments, _chain(self), strict=False):
            pieces = max(1, math.ceil(abs(segment.turn_degrees) / WALL_DEGREES - 1e-9))
            for i in range(pieces):
                yield segment.after(x, y, heading, i * segment.distance / pieces)

    def _centre(self) -> tuple[float, float]:
        """The bounding box's centre in the chain's own frame. Extremes of an arc are where the heading is a
        multiple of 90 degrees, so a fine sampling is replaced by those headings."""
        xs, ys = [], []
        for segment, (x, y, heading) in zip(self.segments, _chain(self), strict=False):
            stops = [0.0, segment.distance]
            if segment.turn:
                low, high = sorted((heading, heading + segment.turn))
                quarters = range(math.ceil(low / (math.pi / 2)), math.floor(high / (math.pi / 2)) + 1)
                stops += [abs(q * math.pi / 2 - heading) * segment.radius for q in quarters]
            for stop in stops:
                px, py, _ = segment.after(x, y, heading, stop)
                xs.append(px)
                ys.append(py)
        return (min(xs) + max(xs)) / 2, (min(ys) + max(ys)) / 2


def _chain(world: World) -> list[tuple[float, float, float]]:
    """Poses at which the segments start, and where the last one ends; the first at 0, 0, heading east."""
    poses = [(0.0, 0.0, 0.0)]
    for segment in world.segments:
        poses.append(segment.after(*poses[-1], segment.distance))
    return poses


def hall(radius: float, *obstacles: Obstacle) -> World:
    """Open floor around a circle of ``radius`` [m]: nobody meets anything but the obstacles."""
    return World(
        name="hall",
        description="open floor without walls",
        half_width=radius - 1.0,
        start=Start(distance=0.0),
        segments=(Segment(radius=radius, turn_degrees=360.0),),
        obstacles=obstacles,
    )


def load_world(path: Path) -> World:
    """Read a world's TOML file. Raises SpecError naming the key and the nearest valid one."""
    try:
        plain = tomllib.loads(path.read_text())
    except FileNotFoundError:
        raise SpecError(f"no world file {path}; {nearest(path.stem, worlds())}") from None
    except tomllib.TOMLDecodeError as error:
        raise SpecError(f"{path}: not valid TOML: {error}") from None
    return decode_struct(plain, World, str(path))


def worlds() -> list[str]:
    """The names of the worlds that come with the twin."""
    return sorted(path.stem for path in WORLDS.glob("*.toml"))


def world_path(name: str) -> Path:
    """The file of a world that comes with the twin. Raises SpecError with the nearest names."""
    path = WORLDS / f"{name}.toml"
    if not path.exists():
        raise SpecError(f"no world {name!r}; {nearest(name, worlds())}")
    return path
