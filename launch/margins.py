"""How far the robot is from each of its limits, nearest first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robot.safety_spec import Limit
from robot.spec import RobotSpec


@dataclass(frozen=True)
class Margin:
    """``value`` in ``unit``, negative beyond the limit, NaN if it cannot be seen; ``share``: of the distance
    between the limit and where it is farthest away (the middle of its range, or zero)."""

    name: str
    unit: str
    value: float
    share: float


class Margins:
    """Makes a spec's margins readable."""

    def __init__(self, spec: RobotSpec) -> None:
        self._limits = spec.safety.limits
        self._spans = [span(limit) for limit in spec.safety.limits]

    def nearest_first(self, values: NDArray[np.float64]) -> tuple[Margin, ...]:
        """``values``: the ``margin`` of a state record, shape (n_limits,)."""
        found = [
            Margin(limit.name, limit.unit, float(value), float(value) / span)
            for limit, span, value in zip(self._limits, self._spans, values, strict=True)
        ]
        return tuple(sorted(found, key=lambda m: -np.inf if np.isnan(m.share) else m.share))


def span(limit: Limit) -> float:
    """From the limit to where it is farthest away, in the limit's unit."""
    if limit.lower is not None and limit.upper is not None:
        return (limit.upper - limit.lower) / 2.0
    bound = limit.upper if limit.lower is None else limit.lower
    return abs(bound or 0.0) or 1.0
