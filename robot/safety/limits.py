"""Limits on state and sensor elements, with debounce, for one robot or a batch of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from robot.errors import SpecError, nearest
from robot.safety.state_machine import Request
from robot.spec import RobotSpec

Array = NDArray[np.float64]

_REQUESTS = {
    "reduce": Request.REDUCE,
    "category2": Request.CATEGORY2,
    "category1": Request.CATEGORY1,
    "category0": Request.CATEGORY0,
}
_NEVER = np.iinfo(np.int64).max


def element_names(spec: RobotSpec) -> tuple[str, ...]:
    """What a limit may name, in the order of the element vector: state elements, then ``sensor.element``."""
    sensors = tuple(f"{s.name}.{name}" for s in spec.sensors for name in s.layout.names)
    return spec.state_layout.names + sensors


def element_sensors(spec: RobotSpec) -> NDArray[np.intp]:
    """Which sensor each element comes from, -1 for the estimated state; shape (n_elements,)."""
    counts = [spec.state_layout.size] + [s.layout.size for s in spec.sensors]
    return np.repeat(np.arange(len(counts)) - 1, counts)


class Limits:
    """The limits of ``spec.safety``. A limit that cannot be evaluated (a value that is not finite, a stale
    sensor) is violated, but asks for no more than category 2: not to see is a reason to stop, not to let go.

    ``batch``: the leading shape of everything, () for one robot.
    """

    def __init__(self, spec: RobotSpec, batch: tuple[int, ...] = ()) -> None:
        limits = spec.safety.limits
        names = element_names(spec)
        for limit in limits:
            if limit.element not in names:
                raise SpecError(
                    f"{spec.name}: limit {limit.name!r} watches {limit.element!r}; "
                    f"{nearest(limit.element, names)}"
                )
            if limit.lower is None and limit.upper is None:
                raise SpecError(f"{spec.name}: limit {limit.name!r} needs lower, upper or both")
        self.limits = limits
        self.index = np.array([names.index(limit.element) for limit in limits], np.intp)
        self.requests = np.array([_REQUESTS[limit.action] for limit in limits], np.int64)
        self._blind_requests = np.minimum(self.requests, Request.CATEGORY2)
        self._sensor = element_sensors(spec)[self.index]
        self._any_sensor = bool((self._sensor >= 0).any())
        self._lower = np.array([-np.inf if limit.lower is None else limit.lower for limit in limits])
        self._upper = np.array([np.inf if limit.upper is None else limit.upper for limit in limits])
        self._debounce_ns = np.array([round(limit.debounce_s * 1e9) for limit in limits], np.int64)
        shape = (*batch, len(limits))
        self._since_ns = np.full(shape, _NEVER, np.int64)
        self.margin = np.full(shape, np.nan)
        """Distance to the nearer bound in the limit's unit, positive inside; shape (..., n_limits)."""

    def update(self, now_ns: int, elements: Array, stale: NDArray[np.bool_]) -> NDArray[np.int64]:
        """What each limit requests now (``Request`` values), shape (..., n_limits).

        ``elements``: in the order of ``element_names``, shape (..., n_elements). ``stale``: sensors whose
        values are too old to judge by, shape (..., n_sensors).
        """
        values = elements[..., self.index]
        with np.errstate(invalid="ignore"):  # infinity from infinity: not a number, so a violation
            np.minimum(values - self._lower, self._upper - values, out=self.margin)
        violated = ~(self.margin >= 0.0)  # so that a margin that is not a number is a violation
        if self._any_sensor:
            violated |= stale[..., self._sensor] & (self._sensor >= 0)
        if not violated.any():
            self._since_ns.fill(_NEVER)
            return np.zeros(violated.shape, np.int64)
        np.minimum(self._since_ns, now_ns, out=self._since_ns)
        self._since_ns[~violated] = _NEVER
        tripped = violated & (now_ns - self._since_ns >= self._debounce_ns)
        blind = ~np.isfinite(values) | (stale[..., self._sensor] & (self._sensor >= 0))
        return np.where(tripped, np.where(blind, self._blind_requests, self.requests), 0)
