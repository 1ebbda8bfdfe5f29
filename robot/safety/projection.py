"""The last word on every setpoint: finite, within range, within slew of the last one sent. It only
reduces."""

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
    """

    def __init__(self, actuators: Sequence[Actuator], rate_hz: float) -> None:
        self.lower = np.array([a.lower for a in actuators])
        self.upper = np.array([a.upper for a in actuators])
        self.rest = np.array([a.rest for a in actuators])
        self.step = np.array([a.slew for a in actuators]) / rate_hz
        """Largest change per tick in actuator units, shape (n_actuators,)."""
        self._position = np.array([a.unit in _POSITION_UNITS for a in actuators])

    def project(self, proposed: Array, last: Array, scale: float = 1.0) -> Array:
        """The feasible setpoint nearest to ``proposed`` [actuator units], for any bits in either argument.

        ``last``: what was sent before; a value outside the range counts as the nearest inside it, one that is
        not finite as rest. A proposal that is not finite is answered with ``last``. Returns a new array of
        the broadcast shape.
        """
        anchor = np.minimum(np.maximum(np.where(np.isfinite(last), last, self.rest), self.lower), self.upper)
        low, high = self.interval(anchor, scale)
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
