"""PID Lagrangian (Stooke, Achiam, Abbeel 2020, arXiv 2007.03964): what a cost is charged for, controlled.

The plain Lagrangian method ascends the multiplier along the excess of the cost: it is the integral part
alone, which is always late, overshoots and swings. Proportional and derivative parts damp it (algorithm 2).

Costs are measured in real episodes as they come, not in replay: those are of policies that are long gone.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from robot.contract import TaskContract
from robot.errors import SpecError, nearest
from robot.layout import Struct
from robot.messages import Actor

WINDOW: Final = 200
"""Steps of a measurement per step, over the ends of episodes: 10 s at 20 Hz."""


class Constraint(Struct):
    """``cost``: a cost term of the contract; ``limit``: of its sum over an episode or its mean per step.

    The gains are of the excess in units of the limit (of the cost if the limit is 0), once per measurement:
    an episode, or ``lagrangian.WINDOW`` steps. ``proportional = 0`` and ``derivative = 0`` leave the plain
    Lagrangian method.
    """

    cost: str
    limit: float
    per: Literal["episode", "step"] = "episode"
    proportional: float = 0.2
    integral: float = 0.05
    derivative: float = 0.2
    delay: int = 10
    """Measurements that the derivative looks back."""
    smoothing: float = 0.8
    """Share of the past in the running averages that proportional and derivative part see. The paper's 0.95
    is for iterations of many episodes each; averages over 20 single ones come too late to damp anything."""

    def __post_init__(self) -> None:
        gains = (self.limit, self.proportional, self.integral, self.derivative)
        sound = all(0.0 <= value < math.inf for value in gains)
        if not sound or self.delay < 1 or not 0 <= self.smoothing < 1:
            raise SpecError(
                "constraint: a finite limit and finite gains of at least 0, a delay of at least 1 and "
                f"smoothing in [0, 1) are needed; got {self}"
            )


def parse_constraint(text: str) -> Constraint:
    """``impact<=0.5/step`` or ``cost<=20/episode``. Raises SpecError."""
    cost, less, rest = text.partition("<=")
    limit, _, per = rest.partition("/")
    try:
        if less and per in ("step", "episode"):
            return Constraint(
                cost=cost.strip(), limit=float(limit), per="step" if per == "step" else "episode"
            )
    except ValueError:
        pass
    raise SpecError(f"constraint {text!r}: expected NAME<=LIMIT/step or NAME<=LIMIT/episode")


class PidMultiplier:
    """One constraint's multiplier, at least 0, from one measurement of the cost after the other."""

    def __init__(self, constraint: Constraint) -> None:
        self.constraint = constraint
        self.value = 0.0
        """What one unit of cost is charged, in reward, by weight of the two critics."""
        self._integral = 0.0
        self._excess: float | None = None
        self._costs: deque[float] = deque(maxlen=constraint.delay + 1)

    def measure(self, cost: float) -> float:
        """Take the cost of the newest episode or window into account; returns the multiplier."""
        c = self.constraint
        scale = c.limit or 1.0
        excess = (cost - c.limit) / scale
        self._integral = max(0.0, self._integral + c.integral * excess)
        # Averages begin at the first value, not at zero: else the derivative begins with a kick.
        self._excess = self._average(self._excess, excess)
        self._costs.append(self._average(self._costs[-1] if self._costs else None, cost / scale))
        rising = max(0.0, self._costs[-1] - self._costs[0])
        self.value = max(0.0, c.proportional * self._excess + self._integral + c.derivative * rising)
        return self.value

    def _average(self, before: float | None, new: float) -> float:
        share = self.constraint.smoothing
        return new if before is None else share * before + (1.0 - share) * new


@dataclass
class _Open:
    """A session's episode so far, or its window: sums of all constraints' costs."""

    costs: NDArray[np.float64]
    sequence: int = -1
    """Of an episode: its newest row's."""
    steps: int = 0
    whole: bool = False
    """Of an episode: all of its steps have come, and count."""


class Multipliers:
    """Of all constraints, from step rows as they come: nothing but rows decides, so that rows read back from
    a journal lead to the same multipliers."""

    def __init__(self, contract: TaskContract, constraints: Sequence[Constraint]) -> None:
        names = contract.cost_terms
        for constraint in constraints:
            if constraint.cost not in names:
                guess = nearest(constraint.cost, names) if names else "the task has none"
                raise SpecError(f"constraint: no cost term {constraint.cost!r}; {guess}")
        limited = [(constraint.cost, constraint.per) for constraint in constraints]
        for cost, per in limited:
            if limited.count((cost, per)) > 1:
                raise SpecError(f"constraint: {cost} per {per} has more than one limit; one is needed")
        self.columns = tuple(names.index(constraint.cost) for constraint in constraints)
        """Which cost term is whose."""
        self.controllers = tuple(PidMultiplier(constraint) for constraint in constraints)
        self.measured: list[float | None] = [None] * len(constraints)
        """The newest measurement of each."""
        self._episodes: dict[str, _Open] = {}
        self._window = _Open(np.zeros(len(constraints)))

    @property
    def values(self) -> tuple[float, ...]:
        return tuple(controller.value for controller in self.controllers)

    @property
    def metrics(self) -> dict[str, float]:
        """``multiplier_NAME`` and ``cost_NAME``, the newest measurement; with ``_per_step`` and
        ``_per_episode`` behind it where a cost has both limits."""
        found: dict[str, float] = {}
        costs = [controller.constraint.cost for controller in self.controllers]
        for controller, measured in zip(self.controllers, self.measured, strict=True):
            name = controller.constraint.cost
            if costs.count(name) > 1:
                name += f"_per_{controller.constraint.per}"
            found[f"multiplier_{name}"] = controller.value
            if measured is not None:
                found[f"cost_{name}"] = measured
        return found

    def add(self, session: str, rows: NDArray[np.void]) -> None:
        """Rows of one session in order. What a published policy did counts, no random steps and nobody
        else's, and no cost that is not finite; as an episode, only if there is nothing else in it."""
        if not self.controllers:
            return
        acted = (rows["actor"] == int(Actor.POLICY)) & (rows["policy_version"] > 0) & ~rows["last"]
        costs = rows["cost_terms"][:, self.columns].astype(np.float64)
        acted &= np.isfinite(costs).all(1)
        for row, counts, cost in zip(rows, acted, costs, strict=True):
            self._row(session, row, bool(counts), cost)

    def _row(self, session: str, row: np.void, counts: bool, cost: NDArray[Any]) -> None:
        episode = self._episodes.get(session)
        if row["step"] == 0:
            episode = _Open(np.zeros(len(cost)), whole=True)
        elif episode is None or row["sequence"] != episode.sequence + 1:
            episode = _Open(np.zeros(len(cost)))  # rows of it are lost
        episode.sequence = int(row["sequence"])
        self._episodes[session] = episode
        if counts:
            for book in (episode, self._window):
                book.costs += cost
                book.steps += 1
        elif not row["last"]:
            episode.whole = False
        if self._window.steps == WINDOW:
            self._measure("step", self._window.costs / WINDOW)
            self._window = _Open(np.zeros(len(cost)))
        if row["last"]:
            if episode.whole and episode.steps:
                self._measure("episode", episode.costs)
            del self._episodes[session]

    def _measure(self, per: str, costs: NDArray[Any]) -> None:
        for k, controller in enumerate(self.controllers):
            if controller.constraint.per == per:
                self.measured[k] = float(costs[k])
                controller.measure(float(costs[k]))
