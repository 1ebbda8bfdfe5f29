"""Where the robot may be: a convex region with round obstacles inside it, and the stopping distance built in.

The margin to an edge is what would be left of the distance to it if the robot kept its velocity for the
reaction time and then braked: d - radius - k sigma - v t - v^2 / (2 a), where v is the speed towards the
edge. It is zero exactly when braking has to begin (PX4's geofence documentation asks for the same margin and
leaves it to the user).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from robot.errors import SpecError
from robot.safety_spec import Fence as FenceSpec
from robot.spec import RobotSpec

Array = NDArray[np.float64]

FAR = 1000.0
"""The margin where there is no edge [m]."""


class Fence:
    """A robot's fence, for one robot or a batch. Raises SpecError if the polygon is not convex."""

    def __init__(self, spec: RobotSpec, fence: FenceSpec) -> None:
        layout = spec.state_layout
        self._position = layout[fence.position]
        self._velocity = layout[fence.velocity]
        self._heading = layout.index(fence.heading) if fence.heading else None
        dimensions = self._position.stop - self._position.start
        if dimensions != 2 or self._velocity.stop - self._velocity.start < 2:
            raise SpecError(
                f"{spec.name}: safety.fence needs a position and a velocity of two elements; "
                f"{fence.position} has {dimensions}"
            )
        self._sigmas = fence.sigmas
        self._reaction = fence.reaction_s
        self._follow = fence.follow_s
        self._deceleration = fence.deceleration
        self._turning = fence.turning_radius
        self.reserve = fence.reserve
        """How far before the fence the barrier takes it to be [m]: what noise and a drive's dead band need
        for the watched margin to stay positive."""
        self._normals, self._offsets = _half_planes(spec.name, fence.site.polygon)
        self._offsets = self._offsets - fence.radius
        self._centres = np.array([(o.x, o.y) for o in fence.site.obstacles]).reshape(-1, 2)
        self._radii = np.array([o.radius for o in fence.site.obstacles]) + fence.radius
        self.edges = len(self._offsets) + len(self._radii)
        """How many edges and obstacles there are."""

    def distances(self, state: Array, deviation: Array) -> tuple[Array, Array]:
        """Clear distance [m] to every edge and obstacle, and the outward unit vectors towards them, shapes
        (..., n) and (..., n, 2); without obstacles the vectors are the same for all, shape (n, 2). ``state``,
        ``deviation``: in the spec's layout, shape (..., n_state)."""
        position = state[..., self._position]
        sigma = _length(deviation[..., self._position])
        to_edges = self._offsets - position @ self._normals.T
        outward = self._normals
        if len(self._radii):
            outward = np.broadcast_to(outward, (*to_edges.shape, 2))
            away = self._centres - position[..., None, :]
            apart = _length(away)
            towards = away / np.maximum(apart, 1e-9)
            to_edges = np.concatenate((to_edges, apart[..., 0] - self._radii), axis=-1)
            outward = np.concatenate((outward, towards), axis=-2)
        return to_edges - self._sigmas * sigma, outward

    def velocity(self, state: Array) -> Array:
        """Velocity in the world [m/s], shape (..., 2)."""
        velocity = state[..., self._velocity][..., :2]
        if self._heading is None:
            return np.asarray(velocity)
        heading = state[..., self._heading]
        cos, sin = np.cos(heading), np.sin(heading)
        # For one robot two scalars: they calculate four times as fast as arrays without axes.
        x, y = velocity[..., 0][()], velocity[..., 1][()]
        turned = np.empty_like(velocity)
        turned[..., 0], turned[..., 1] = cos * x - sin * y, sin * x + cos * y
        return turned

    def oriented(self, state: Array) -> NDArray[np.bool_]:
        """Whether it is known where the robot points, shape (...). Needs a heading."""
        return np.asarray(np.isfinite(state[..., self._heading]))

    def direction(self, state: Array) -> Array:
        """The unit vector of forward motion in the world, shape (..., 2). Needs a heading."""
        heading = state[..., self._heading]
        direction = np.empty((*np.shape(heading), 2))
        direction[..., 0], direction[..., 1] = np.cos(heading), np.sin(heading)
        return direction

    def facing(self, cosine: Array, deviation: Array) -> Array:
        """Cosines of angles to edges, shape (..., n), after turning towards each by as much as the heading is
        uncertain: with a heading that is anybody's guess, 1."""
        if self._heading is None:
            return cosine
        sigma = deviation[..., self._heading][..., None]
        doubt = np.where(sigma >= 0.0, self._sigmas * sigma, np.inf)  # a negative one is nonsense
        angle = np.arccos(np.minimum(np.maximum(cosine, -1.0), 1.0))
        return np.asarray(np.cos(np.maximum(angle - doubt, 0.0)))

    def margin(self, state: Array, deviation: Array) -> Array:
        """The smallest margin over all edges [m], shape (...): negative where braking should have begun."""
        distance, outward = self.distances(state, deviation)
        velocity = self.velocity(state)
        speed = _length(velocity)
        cosine = (outward @ velocity[..., None])[..., 0] / np.maximum(speed, 1e-9)
        closing = np.maximum(speed * self.facing(cosine, deviation), 0.0)
        braking = closing * self._reaction + np.square(closing) / (2.0 * self._deceleration)
        return np.asarray(np.minimum.reduce(distance - braking, axis=-1, initial=FAR))

    def path(self, distance: Array, cosine: Array) -> Array:
        """How far the robot may still travel [m], steering as it likes, without crossing an edge ``distance``
        away; ``cosine``: of the angle between its motion and the edge's outward normal.

        The worst it can do in a path of length D is to turn towards the edge at its turning radius R and then
        go straight: from angle t that is R (sin t - sin(t - D / R)), or R sin t + D - R t once it faces the
        edge. Solved for D, and the larger solution where it faces away. Beyond the edge counts as on it:
        turning back is allowed.
        """
        room, radius = np.maximum(distance, 0.0), self._turning
        if radius == 0.0:
            return room
        angle = np.arccos(np.clip(cosine, -1.0, 1.0))
        sine = np.sin(angle)
        left = np.arcsin(np.clip(sine - room / radius, 0.0, 1.0))
        return np.asarray(radius * (angle - left) + np.maximum(room - radius * sine, 0.0))

    def fastest(self, distance: Array) -> Array:
        """The speed [m/s] from which a drive that is told to slow down stops within ``distance`` [m]: 0 where
        there is none left."""
        lag = self._deceleration * (self._reaction + self._follow)
        room = np.maximum(distance, 0.0)
        return np.asarray(np.sqrt(np.square(lag) + 2.0 * self._deceleration * room) - lag)


def _length(vectors: Array) -> Array:
    """Euclidean length, shape (..., 1), of vectors, shape (..., n)."""
    return np.asarray(np.sqrt(np.add.reduce(np.square(vectors), axis=-1, keepdims=True)))


def _half_planes(robot: str, polygon: tuple[tuple[float, float], ...]) -> tuple[Array, Array]:
    """Outward unit normals (n, 2) and offsets (n,): inside is normals @ p <= offsets."""
    if not polygon:
        return np.zeros((0, 2)), np.zeros(0)
    points = np.array(polygon, np.float64)
    if points.ndim != 2 or len(points) < 3 or not np.isfinite(points).all():
        raise SpecError(f"{robot}: safety.fence needs at least three finite corners [x, y]; got {polygon}")
    edges = np.roll(points, -1, axis=0) - points
    following = np.roll(edges, -1, axis=0)
    turns = edges[:, 0] * following[:, 1] - edges[:, 1] * following[:, 0]
    around = np.arctan2(turns, (edges * following).sum(axis=1)).sum()
    if not (turns > 0.0).all() or not np.isclose(around, 2.0 * np.pi):
        raise SpecError(
            f"{robot}: the corners of safety.fence must go round a convex region anticlockwise once; got "
            f"{polygon}"
        )
    normals = np.stack((edges[:, 1], -edges[:, 0]), axis=-1)
    normals /= np.sqrt(np.square(normals).sum(axis=1))[:, None]
    return normals, (normals * points).sum(axis=1)
