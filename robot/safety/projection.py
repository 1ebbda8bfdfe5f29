"""The last word on every setpoint: finite, within range, within slew (and, where the actuator has one, within
acceleration) of the last one sent. It only reduces."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from robot.spec import Actuator

Array = NDArray[np.float64]

_POSITION_UNITS = frozenset({"rad", "deg", "m", "mm"})


class Projection:
    """The feasible interval of each actuator, and the nearest point of it.

    Works on one robot, shape (n_actuators,), or many, shape (batch, n_actuators). The interval is
    [lower, upper] intersected with [last - slew dt, last + slew dt]. A derated robot (``scale`` < 1) has a
    smaller range around rest for rates and efforts, and a smaller slew for positions: shrinking the range of
    a position would itself command a motion. A setpoint beyond a range that has just shrunk comes back at its
    slew, never in a jump, so the interval is never empty.

    Where an actuator bounds its acceleration, the interval is also intersected with the setpoints from which
    it can still stop inside its range: clamping position, velocity and acceleration one after the other, in
    whatever order, violates one of them.
    """

    def __init__(self, actuators: Sequence[Actuator], rate_hz: float) -> None:
        self.lower = np.array([a.lower for a in actuators])
        self.upper = np.array([a.upper for a in actuators])
        self.rest = np.array([a.rest for a in actuators])
        self.step = np.array([a.slew for a in actuators]) / rate_hz
        """Largest change per tick in actuator units, shape (n_actuators,)."""
        self._position = np.array([a.unit in _POSITION_UNITS for a in actuators])
        bounds = [np.inf if a.acceleration is None else a.acceleration for a in actuators]
        self._change = np.array(bounds) / rate_hz**2
        """Largest change of a step from tick to tick in actuator units, shape (n_actuators,)."""
        self._bounded = bool(np.isfinite(self._change).any())

    def project(self, proposed: Array, last: Array, scale: float = 1.0, before: Array | None = None) -> Array:
        """The feasible setpoint nearest to ``proposed`` [actuator units], for any bits in any argument.

        ``last``: what was sent before, ``before``: and one tick earlier (None: the same, at rest); a value
        outside the range counts as the nearest inside it, one that is not finite as rest or as ``last``. A
        proposal that is not finite is answered with ``last``. Returns a new array of the broadcast shape.
        """
        anchor = np.minimum(np.maximum(np.where(np.isfinite(last), last, self.rest), self.lower), self.upper)
        low, high = self.interval(anchor, scale)
        if self._bounded:
            low, high = self._viable(anchor, anchor if before is None else before, low, high)
        wanted = np.where(np.isfinite(proposed), proposed, anchor)
        return np.minimum(np.maximum(wanted, low), high)

    def interval(self, anchor: Array, scale: float = 1.0) -> tuple[Array, Array]:
        """Lower and upper end of what may be sent next, given a finite ``anchor`` within the range."""
        down, up = anchor - self.step, anchor + self.step
        lower, upper = self.lower, self.upper
        if scale != 1.0:
            factor = min(max(scale, 0.0), 1.0) if scale == scale else 0.0
            gentle = self.step * np.where(self._position, factor, 1.0)
            shrink = np.where(self._position, 1.0, factor)
            down, up = anchor - gentle, anchor + gentle
            lower, upper = self.rest + shrink * (lower - self.rest), self.rest + shrink * (upper - self.rest)
        low = np.maximum(np.minimum(np.maximum(lower, down), up), self.lower)
        high = np.minimum(np.maximum(np.minimum(upper, up), down), self.upper)
        return low, high

    def _viable(self, anchor: Array, before: Array, low: Array, high: Array) -> tuple[Array, Array]:
        """The part of [low, high] that keeps within the acceleration now and leaves room to stop later. A
        step that is too fast for the room left, which no history of viable steps ends in, is braked as hard
        as the acceleration allows, and the range still holds."""
        step = np.where(np.isfinite(before), anchor - before, 0.0)
        step = np.minimum(np.maximum(step, -self.step), self.step)
        down = np.maximum(low - anchor, -self._stoppable(anchor - self.lower))
        up = np.minimum(high - anchor, self._stoppable(self.upper - anchor))
        slowest, fastest = step - self._change, step + self._change
        down = np.minimum(np.maximum(down, slowest), fastest)
        up = np.maximum(np.minimum(up, fastest), slowest)
        low = np.minimum(np.maximum(anchor + down, self.lower), self.upper)
        high = np.minimum(np.maximum(anchor + up, self.lower), self.upper)
        return low, high

    def _stoppable(self, room: Array) -> Array:
        """The largest step towards an end ``room`` away after which whole ticks of full braking, the last one
        at standstill, still end before it: with n such ticks, room / (n + 1) + change n / 2."""
        with np.errstate(invalid="ignore", divide="ignore"):
            n = np.ceil((-1.0 + np.sqrt(1.0 + 8.0 * room / self._change)) / 2.0) - 1.0
            n = np.maximum(n, 0.0)
            step = room / (n + 1.0) + self._change * n / 2.0
        return np.where(np.isfinite(self._change), step, np.inf)
