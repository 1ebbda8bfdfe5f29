"""Whether the critics are well: how well they know what they were not trained on, and whether their values
are possible at all. An alarm says so before learning has diverged.

A diverging critic is wrong long before it is not finite: its values leave what any policy could earn, or they
fit what they were trained on ever better and what they were not ever worse (AVTD, Li et al. 2023, arXiv
2304.10466, takes the error on held-out episodes for the one sign that goes with what makes learning fail).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Protocol, runtime_checkable

import numpy as np

from learners.checkpoint import as_json, from_json
from learners.prior_data import Experience
from learners.sac import Assessment, Batch
from learners.value_bound import Bound

EVERY: Final = 100
"""Update steps between two assessments: each takes about as long as one critic update."""
SMOOTHING: Final = 0.2
"""Weight of the newest held-out error in its running average."""
OUTSIDE: Final = 3
"""Update steps in a row with values outside the bound: one odd minibatch is no alarm."""
LOOKS: Final = 10
"""So many assessments in a row must have found the held-out error's average too large."""
RISE: Final = 1.5
"""It is if it is so many times its least. What is learned by heart has the noise of what was seen beside that
of what was not, which is the best critic's only error: it comes to twice that, and no further."""
WORST: Final = 0.5
"""And so large: a critic that says the same of every state has an error of 1."""
SLACK: Final = 0.1
"""Values may be so far outside the bound, as a share of its width, and by what they were at first: networks
are not exact."""


@runtime_checkable
class Assessable(Protocol):
    """An algorithm that can be judged by what it was not trained on."""

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
    """Looks at the values of every update step, and at held-out episodes after ``EVERY`` of them; all that it
    remembers is plain data.

    Alarms: values are not finite; or they have been outside what rewards allow, by more than ``SLACK``, for
    ``OUTSIDE`` update steps in a row; or the held-out error's running average has been above ``RISE`` times
    its least, and above ``WORST``, at ``LOOKS`` assessments in a row. It ends when its cause does.
    """

    seed: int
    values: tuple[float, float] = (0.0, 0.0)
    """The least and the greatest of the newest minibatch."""
    bound: tuple[float, float] = (0.0, 0.0)
    """Which values are possible."""
    bonus: tuple[float, float] = (0.0, 0.0)
    """The entropy term's extremes so far: values remember it for a while."""
    at_first: float = math.nan
    """The largest value, unsigned, after the first update step."""
    outside: int = 0
    average: float = math.nan
    """Of the held-out error."""
    least: float = math.inf
    """Of its running average."""
    above: int = 0
    """Assessments in a row that found it too large."""

    def look(
        self, algorithm: Assessable, experience: Experience, metrics: Mapping[str, float], steps: int
    ) -> dict[str, float]:
        """After update step number ``steps``, from 0. ``metrics``: its own, with ``value_min`` and
        ``value_max`` if there are critics. Returns their bound, ``critic_alarm``, 0 or 1, and now and then
        ``held_out_error``, of IQL's V ``held_out_value_loss``, too."""
        found: dict[str, float] = {}
        if "value_min" in metrics:
            low, high = algorithm.entropy_bonus
            self.bonus = min(self.bonus[0], low), max(self.bonus[1], high)
            bound = experience.rewards.bound(experience.config.discount, *self.bonus)
            self.observe_values(metrics["value_min"], metrics["value_max"], bound)
            found |= {"value_lower_bound": bound.lower, "value_upper_bound": bound.upper}
        if steps % EVERY == 0:
            batch = experience.held_out_batch(np.random.default_rng([self.seed, steps]))
            if batch is not None:
                assessed = algorithm.assess(batch, steps)
                found["held_out_error"] = td_error(assessed)
                if not math.isnan(assessed.value_loss):
                    found["held_out_value_loss"] = assessed.value_loss
                self.observe_error(found["held_out_error"])
        return found | {"critic_alarm": float(bool(self.alarm))}

    def observe_values(self, lowest: float, highest: float, bound: Bound) -> None:
        """Extreme values of an update step's minibatch, and which are possible."""
        if math.isnan(self.at_first):
            self.at_first = max(abs(lowest), abs(highest))
        self.values, self.bound = (lowest, highest), (bound.lower, bound.upper)
        slack = SLACK * (bound.upper - bound.lower) + self.at_first
        inside = bound.lower - slack <= lowest and highest <= bound.upper + slack
        self.outside = 0 if inside else self.outside + 1

    def observe_error(self, error: float) -> None:
        """The held-out error, once more."""
        before = self.average
        self.average = error if math.isnan(before) else before + SMOOTHING * (error - before)
        self.least = min(self.least, self.average)
        self.above = self.above + 1 if self.average > max(WORST, RISE * self.least) else 0

    @property
    def alarm(self) -> str:
        """What is wrong, for a person; empty if nothing is."""
        lowest, highest = self.values
        if not (math.isfinite(lowest) and math.isfinite(highest)):
            return "values are not finite: go back to a checkpoint"
        if self.outside >= OUTSIDE:
            return (
                f"values from {lowest:.3g} to {highest:.3g} are outside what rewards allow, "
                f"{self.bound[0]:.3g} to {self.bound[1]:.3g}: they are about to diverge"
            )
        if self.above >= LOOKS:
            return (
                f"the error on held-out episodes rises: {self.average:.2g} of the targets' variance after "
                f"{self.least:.2g}; what is learned is what was seen, and no more"
            )
        return ""

    def plain(self) -> dict[str, Any]:
        """What it remembers, for a checkpoint; JSON has no infinities."""
        return {name: _plain(value) for name, value in asdict(self).items()}

    def restore(self, plain: dict[str, Any]) -> None:
        """Take over what ``plain`` gave."""
        for name, value in plain.items():
            setattr(self, name, tuple(map(float, value)) if isinstance(value, list) else from_json(value))


def _plain(value: Any) -> Any:
    return [as_json(each) for each in value] if isinstance(value, tuple) else as_json(value)
