"""Whether the critics are well: how well they know what they were not trained on, and whether their values
are possible at all. An alarm says so before learning has diverged.

A diverging critic is wrong long before it is not finite: its values leave what any policy could earn, or they
fit what they were trained on ever better and what they were not ever worse (AVTD, Li et al. 2023, arXiv
2304.10466, takes the error on held-out episodes for the one sign that goes with what makes learning fail).
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Final, Protocol, runtime_checkable

import numpy as np

from learners.prior_data import Experience
from learners.sac import Assessment, Batch

EVERY: Final = 200
"""Update steps between two assessments: at one update per step they take less than 2 % of the time."""
SMOOTHING: Final = 0.2
"""Weight of the newest held-out error in its running average."""
RISES: Final = 10
"""So many assessments in a row must have raised the held-out error's average."""
RISE: Final = 2.0
"""And it must be so many times its least."""
WORST: Final = 0.5
"""And so large: a critic that says the same of every state has an error of 1."""
SLACK: Final = 0.1
"""Values may be so far outside the bound, as a share of its width, and by what they were at first: networks
are not exact."""


@runtime_checkable
class Assessable(Protocol):
    """An algorithm that has critics to be judged, such as ``sac.Sac``."""

    def assess(self, batch: Batch, seed: int) -> Assessment:
        """Values and targets on one minibatch, without changing what is learned."""
        ...

    @property
    def entropy_bonus(self) -> tuple[float, float]:
        """The least and the most that the entropy term adds to a step's reward at present."""
        ...


def td_error(found: Assessment) -> float:
    """Mean squared temporal-difference error over the variance of the target: 0 is perfect, 1 no better than
    a constant. Without the variance, the smallest values would win."""
    error = (found.values - found.target).square().mean()
    variance = found.target.var(correction=0)
    return float(error / variance) if float(variance) > 0.0 else math.inf


@dataclass
class CriticHealth:
    """Judges after ``EVERY`` update steps; all that it remembers is plain data.

    Alarms: the held-out error's running average has risen ``RISES`` times in a row, to ``RISE`` times its
    least and above ``WORST``; or values are outside what rewards allow by more than ``SLACK``, twice in a
    row; or they are not finite.
    """

    discount: float
    seed: int
    average: float = math.nan
    """Of the held-out error."""
    least: float = math.inf
    """Of its running average."""
    rises: int = 0
    outside: int = 0
    at_first: float = math.nan
    """The largest value, unsigned, at the first assessment."""
    bonus: tuple[float, float] = (0.0, 0.0)
    """The entropy term's extremes so far: values remember it for a while."""
    alarm: str = ""
    """What is wrong, for a person; empty if nothing is."""

    def due(self, steps: int) -> bool:
        """Whether to judge after update step number ``steps``, from 0."""
        return steps % EVERY == 0

    def judge(
        self, algorithm: Assessable, experience: Experience, metrics: dict[str, float], steps: int
    ) -> dict[str, float]:
        """Look at the critics now. ``metrics``: of the update, with ``value_min`` and ``value_max``.
        Returns ``held_out_error``, if there is anything held out, the bound, and ``critic_alarm``, 0 or 1."""
        lowest, highest = metrics["value_min"], metrics["value_max"]
        found: dict[str, float] = {}
        batch = experience.held_out_batch(np.random.default_rng([self.seed, steps]))
        error = math.nan
        if batch is not None:
            assessed = algorithm.assess(batch, steps)
            error = found["held_out_error"] = td_error(assessed)
            lowest = min(lowest, float(assessed.values.min()))
            highest = max(highest, float(assessed.values.max()))
        low, high = algorithm.entropy_bonus
        self.bonus = min(self.bonus[0], low), max(self.bonus[1], high)
        lower, upper = experience.rewards.bound(self.discount, *self.bonus)
        self.observe(error, lowest, highest, lower, upper)
        return found | {
            "value_lower_bound": lower,
            "value_upper_bound": upper,
            "critic_alarm": float(bool(self.alarm)),
        }

    def observe(self, error: float, lowest: float, highest: float, lower: float, upper: float) -> None:
        """One assessment: held-out error (NaN: none), extreme values and their bound."""
        if math.isnan(self.at_first):
            self.at_first = max(abs(lowest), abs(highest))
        self._follow(error)
        slack = SLACK * (upper - lower) + self.at_first
        inside = lower - slack <= lowest and highest <= upper + slack
        self.outside = 0 if inside else self.outside + 1
        if not (math.isfinite(lowest) and math.isfinite(highest)):
            self.alarm = "values are not finite: go back to a checkpoint"
        elif self.outside >= 2:
            self.alarm = (
                f"values from {lowest:.3g} to {highest:.3g} are outside what rewards allow, {lower:.3g} to "
                f"{upper:.3g}: they are about to diverge"
            )
        elif self.rises >= RISES and self.average > max(WORST, RISE * self.least):
            self.alarm = (
                f"the error on held-out episodes rises: {self.average:.2g} of the targets' variance after "
                f"{self.least:.2g}; the critics overfit"
            )
        else:
            self.alarm = ""

    def _follow(self, error: float) -> None:
        if math.isnan(error):
            return
        before = self.average
        self.average = error if math.isnan(before) else before + SMOOTHING * (error - before)
        self.rises = self.rises + 1 if self.average > before else 0
        self.least = min(self.least, self.average)

    def plain(self) -> dict[str, Any]:
        """What it remembers, for a checkpoint; JSON has no infinities."""
        return {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in asdict(self).items()
        }

    def restore(self, plain: dict[str, Any]) -> None:
        """Take over what ``plain`` gave."""
        for name, value in plain.items():
            if value is not None:
                setattr(self, name, tuple(value) if isinstance(value, list) else value)
