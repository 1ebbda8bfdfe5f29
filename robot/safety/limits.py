"""Limits on elements, with debounce, for one robot or a batch of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from robot.errors import SpecError
from robot.safety.elements import ElementLayout
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


class Limits:
    """The limits of ``spec.safety``. A limit that cannot be evaluated (a value that is not finite, a stale
    sensor) is violated, but asks for no more than category 2: not to see is a reason to stop, not to let go.
    One whose ``blind`` is "ignore" then asks for nothing.

    ``batch``: the leading shape of everything, () for one robot.
    """

    def __init__(self, spec: RobotSpec, layout: ElementLayout, batch: tuple[int, ...] = ()) -> None:
        limits = spec.safety.limits
        self.limits = limits
        self.index = np.array(
            [layout.index(limit.element, f"limit {limit.name!r}") for limit in limits], np.intp
        )
        for limit, at in zip(limits, self.index, strict=True):
            if limit.unit != layout.units[at]:
                raise SpecError(
                    f"{spec.name}: limit {limit.name!r} is in {limit.unit!r}, but {limit.element} is in "
                    f"{layout.units[at]!r}"
                )
        self.requests = np.array([_REQUESTS[limit.action] for limit in limits], np.int64)
        stops = np.array([limit.blind == "stop" for limit in limits], bool)
        self._blind_requests = np.where(stops, np.minimum(self.requests, Request.CATEGORY2), Request.NONE)
        self._depends = layout.depends[self.index]
        self._lower = np.array([-np.inf if limit.lower is None else limit.lower for limit in limits])
        self._upper = np.array([np.inf if limit.upper is None else limit.upper for limit in limits])
        self._debounce_ns = np.array([round(limit.debounce_s * 1e9) for limit in limits], np.int64)
        shape = (*batch, len(limits))
        self._since_ns = np.full(shape, _NEVER, np.int64)
        self.margin = np.full(shape, np.nan)
        """Distance to the nearer bound in the limit's unit, positive inside; shape (..., n_limits)."""

    def update(self, now_ns: int, elements: Array, stale: NDArray[np.bool_]) -> NDArray[np.int64]:
        """What each limit requests now (``Request`` values), shape (..., n_limits).

        ``elements``: in the layout's order, shape (..., n_elements). ``stale``: sensors whose values are too
        old to judge by, shape (..., n_sensors).
        """
        values = elements.take(self.index, axis=-1)
        with np.errstate(invalid="ignore"):  # infinity from infinity: not a number, so a violation
            np.minimum(values - self._lower, self._upper - values, out=self.margin)
        inside = self.margin >= 0.0  # False too for a margin that is not a number
        blind = np.zeros_like(inside)
        if stale.any():
            np.any(stale[..., None, :] & self._depends, axis=-1, out=blind)
            inside &= ~blind
        if inside.all():
            self._since_ns.fill(_NEVER)
            return np.zeros(inside.shape, np.int64)
        np.minimum(self._since_ns, now_ns, out=self._since_ns)
        self._since_ns[inside] = _NEVER
        tripped = ~inside & (now_ns - self._since_ns >= self._debounce_ns)
        seen = (self.margin > -np.inf) & ~blind
        return np.where(tripped, np.where(seen, self.requests, self._blind_requests), 0)
