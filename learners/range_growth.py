"""Range growth after APRL (Smith, Cao, Levine 2023, "Grow your limits", arXiv 2310.17634): a policy begins
with a small part of the action range round a neutral action, which grows while it is competent.

A restricted range is explored sooner and with fewer falls, but what is best may lie outside: APRL's robot
stays at 0.44 m/s in a fixed part of its range and comes to 0.62 m/s in a growing one.

As in the released program the range grows linearly, is halved when it proves too much, never below where it
began, and grows on from there; and the replay's actions are of the whole range, so that what was learned
stays true. Three deviations.

1. The sign of too much is the failures of real episodes, not the error of a learned model of the dynamics:
   they are what is to be avoided, they need no second network, and rows read back from a journal lead to the
   same range.
2. It grows in steps that were tried without too many failures, not in any steps.
3. The range is where the actor's output ends (``action_reach``), not where a penalty on its loss begins: no
   action, no random one either, is outside.

The safety kernel's limits know nothing of it: no share of the action range is more than they allow.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from robot.contract import TaskContract
from robot.errors import SpecError, nearest
from robot.layout import Struct
from robot.messages import Actor


class RangeGrowth(Struct):
    """Shares are of the way from the neutral action to the range's ends. ``start = 1`` is no restriction.

    APRL's program begins at 0.35 and grows by 0.25 in 30,000 steps, 25 min at 20 Hz.
    """

    start: float = 1.0
    """Share at first, and the least."""
    steps: int = 12_000
    """Steps without too many failures in which it grows from ``start`` to 1; 10 min at 20 Hz."""
    window: int = 500
    """Steps over which failures are counted; 25 s at 20 Hz."""
    failures: int = 1
    """As many in a window are tolerated; with one more the range is halved."""
    neutral: Mapping[str, float] = msgspec.field(default_factory=dict)
    """Actions by name, in their own units; of the others the middle of the range."""

    def __post_init__(self) -> None:
        if not (0.0 < self.start <= 1.0 and 1 <= self.window <= self.steps and self.failures >= 0):
            raise SpecError(
                "range growth: a start in (0, 1], 1 <= window <= steps and failures of at least 0 are "
                f"needed; got {self}"
            )

    @property
    def restricts(self) -> bool:
        return self.start < 1.0

    def neutral_actions(self, contract: TaskContract) -> list[float]:
        """In [-1, 1], of every action in order. Raises SpecError if one is not the contract's."""
        names = [term.name for term in contract.actions]
        for name in self.neutral:
            if name not in names:
                raise SpecError(f"range growth: no action {name!r}; {nearest(name, names)}")
        found = []
        for term in contract.actions:
            value = self.neutral.get(term.name, 0.5 * (term.lower + term.upper))
            if not term.lower <= value <= term.upper:
                raise SpecError(
                    f"range growth: the neutral {term.name} must lie in [{term.lower:g}, {term.upper:g}]; "
                    f"got {value:g}"
                )
            found.append(2.0 * (value - term.lower) / (term.upper - term.lower) - 1.0)
        return found


WHOLE: Final = RangeGrowth()
"""No restriction."""


def parse_growth(words: tuple[str, ...]) -> RangeGrowth:
    """``0.35 speed=0.4``: where to start, then neutral actions; none, no restriction. Raises SpecError."""
    if not words:
        return WHOLE
    try:
        pairs = [word.partition("=") for word in words[1:]]
        return RangeGrowth(start=float(words[0]), neutral={name: float(value) for name, _, value in pairs})
    except ValueError:
        raise SpecError(
            f"range growth {' '.join(words)!r}: expected SHARE [ACTION=NEUTRAL ...], such as 0.35 speed=0.4"
        ) from None


class GrowingRange:
    """The share of the range at present: nothing but rows decides."""

    def __init__(self, growth: RangeGrowth) -> None:
        self.growth = growth
        self.share = growth.start
        self._steps = self._failures = 0
        """Of the window so far."""

    def add(self, rows: NDArray[np.void]) -> None:
        """Step rows in order. What a published policy did counts, no random steps and nobody else's; an
        episode that terminated failed."""
        if not self.growth.restricts:
            return
        acted = (rows["actor"] == int(Actor.POLICY)) & (rows["policy_version"] > 0) & ~rows["last"]
        for failed in rows["terminated"][acted]:
            self.step(bool(failed))

    def step(self, failed: bool) -> None:
        """One step of the policy's."""
        growth = self.growth
        self._steps += 1
        self._failures += failed
        if self._failures > growth.failures:
            self.share = max(growth.start, 0.5 * self.share)
        elif self._steps == growth.window:
            self.share = min(1.0, self.share + (1.0 - growth.start) * growth.window / growth.steps)
        else:
            return
        self._steps = self._failures = 0

    @property
    def metrics(self) -> dict[str, float]:
        """``action_share``, where it is restricted."""
        return {"action_share": self.share} if self.growth.restricts else {}
