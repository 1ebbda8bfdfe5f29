"""What values are possible at all: the bound r_max / (1 - discount), from the rewards that were seen."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Bound(NamedTuple):
    """No value lies outside, in units of reward."""

    lower: float
    upper: float


@dataclass
class RewardRange:
    """The least and the greatest reward so far: of steps after which an episode went on, and of steps that
    terminated one."""

    least: float = math.inf
    greatest: float = -math.inf
    least_last: float = math.inf
    greatest_last: float = -math.inf

    def add(self, reward: NDArray[Any], terminated: NDArray[np.bool_]) -> None:
        """Rewards (n,) and whether each was an episode's last; what is not finite does not count."""
        finite = np.isfinite(reward)
        on, last = reward[finite & ~terminated], reward[finite & terminated]
        if len(on):
            self.least, self.greatest = min(self.least, float(on.min())), max(self.greatest, float(on.max()))
        if len(last):
            self.least_last = min(self.least_last, float(last.min()))
            self.greatest_last = max(self.greatest_last, float(last.max()))

    def bound(self, discount: float, least_bonus: float = 0.0, greatest_bonus: float = 0.0) -> Bound:
        """Bounds of the discounted return. ``bonus``: what the entropy term adds to each later step.

        A return is an average of r / (1 - discount) over the steps, which a termination cuts short: it lies
        between the extremes of that and of the last rewards. Zero, where values begin, is always inside.
        """
        if discount == 1.0:
            return Bound(-math.inf, math.inf)
        horizon = 1.0 / (1.0 - discount)
        lower = min([0.0, *_seen(self.least * horizon, self.least_last)])
        upper = max([0.0, *_seen(self.greatest * horizon, self.greatest_last)])
        return Bound(
            lower + discount * horizon * min(least_bonus, 0.0),
            upper + discount * horizon * max(greatest_bonus, 0.0),
        )


def _seen(*values: float) -> list[float]:
    return [value for value in values if math.isfinite(value)]
