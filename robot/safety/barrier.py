"""Limits that tie actuators to the state and to each other, in closed form: it only ever reduces.

``fence``: a speed at which the robot can stop inside it however it steers. ``turn``: the lateral acceleration
of an Ackermann vehicle, v^2 tan(steering) / wheelbase, stays below what tips it over: the speed is bounded by
where the wheels point, the steering by how fast the vehicle is, so that the pair never leaves the region
however the policy moves it. Both leave standing still and driving straight, so the region is never empty.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from robot.errors import SpecError, nearest
from robot.safety.fence import Fence
from robot.spec import RobotSpec

Array = NDArray[np.float64]

_STEEPEST = np.pi / 2.0 - 1e-6


class Barrier:
    """The barriers a spec declares; none is the identity. For one robot or a batch."""

    def __init__(self, spec: RobotSpec, fence: Fence | None) -> None:
        declared = spec.safety.fence
        guarded = declared is not None and declared.actuator and fence is not None and fence.edges
        self._fence = fence if guarded else None
        order = {a.name: i for i, a in enumerate(spec.actuators)}

        def index(name: str, where: str) -> int:
            if name not in order:
                raise SpecError(f"{spec.name}: {where} bounds actuator {name!r}; {nearest(name, order)}")
            return order[name]

        if self._fence is not None and declared is not None:
            self._fenced = index(declared.actuator, "safety.fence")
        turn = self._turn = spec.safety.turn
        if turn is not None:
            self._speed = index(turn.speed, "safety.turn")
            self._steering = index(turn.steering, "safety.turn")
            self._measured = spec.state_layout.index(turn.measured)
            self._tightest = turn.lateral_acceleration * spec.scalar(turn.wheelbase)
            """Largest v^2 tan(steering) [m^2/s^2]."""
            self._gain = spec.actuators[self._speed].slew / spec.rates.guardian_hz
            """How much faster the vehicle may be one tick from now [m/s]."""

    def filter(self, requested: Array, last: Array, state: Array, deviation: Array) -> Array:
        """The request with its magnitude reduced where a barrier says so, shape (..., n_actuators).

        ``last``: the setpoints the drives are at; ``state``, ``deviation``: in the spec's layout. What is not
        finite stays so: the projection behind deals with it.
        """
        if self._fence is None and self._turn is None:
            return requested
        allowed = np.array(requested)
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):  # any bits may come in
            if self._fence is not None:
                speed = allowed[..., self._fenced]
                allowed[..., self._fenced] = _inside(self._fence, speed, state, deviation)
            if self._turn is not None:
                self._bound_turn(allowed, last, state)
        return allowed

    def _bound_turn(self, allowed: Array, last: Array, state: Array) -> None:
        steered = np.minimum(np.maximum(last[..., self._steering], -_STEEPEST), _STEEPEST)
        fastest = np.sqrt(self._tightest / np.abs(np.tan(steered)))
        fastest = np.fmax(fastest, 0.0)  # where it is not a number
        speed = allowed[..., self._speed]
        allowed[..., self._speed] = np.minimum(np.maximum(speed, -fastest), fastest)
        # As fast as it will be: what it is now, or one tick nearer to what it is told.
        now = np.abs(state[..., self._measured])
        soon = np.maximum(now, np.minimum(np.abs(allowed[..., self._speed]), now + self._gain))
        steepest = np.arctan(self._tightest / np.square(soon))
        steepest = np.fmax(steepest, 0.0)
        steering = allowed[..., self._steering]
        allowed[..., self._steering] = np.minimum(np.maximum(steering, -steepest), steepest)


def _inside(fence: Fence, speed: Array, state: Array, deviation: Array) -> Array:
    """Speed along the heading [m/s], forward or backward, reduced to what can still stop inside the fence."""
    distance, outward = fence.distances(state, deviation)
    distance -= fence.reserve
    # No way out is shorter than straight on: what stops within the nearest distance needs no more thought,
    # if it is known where that robot points.
    near = np.abs(speed) <= fence.fastest(np.minimum.reduce(distance, axis=-1))
    if (near & fence.oriented(state)).all():
        return speed
    direction = fence.direction(state)
    forward = (outward @ direction[..., None])[..., 0]
    cosine = np.copysign(1.0, speed)[..., None] * forward
    fastest = fence.fastest(fence.path(distance, fence.facing(cosine, deviation)))
    # A state that is not known allows nothing.
    known = np.isfinite(fastest) & np.isfinite(distance)
    bound = np.where(known, fastest, 0.0).min(axis=-1)
    return np.asarray(np.minimum(np.maximum(speed, -bound), bound))
