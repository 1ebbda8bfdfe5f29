"""PID-Lagrangian (Stooke et al. 2020, arXiv 2007.03964) against the plain, integral one on Point-Circle: how
far a cost goes over its limit, and how it swings. The integral gain decides much for both, so both get the
same few to choose from, and each is judged by its own best.

Resumable: a run whose rows are there is not made again.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from launch.bench.practice import append, rows
from launch.experiments.cases import keep_picture, lines, missing
from learners.lagrangian import Constraint

if TYPE_CHECKING:
    from learners.environments.training import Training

NAME: Final = "sandlot/PointCircle-v0"
LIMIT: Final = 20.0
"""Steps beyond the walls allowed in an episode of 200."""
STEPS: Final = 6_000
INTEGRAL_GAINS: Final = (0.0125, 0.05, 0.2)
"""The default, a quarter of it and four times it."""
METHODS: Final = {"integral": 0.0, "PID": 0.2}
"""Proportional gain, which is the derivative's, too; 0.2 is the default of both."""
CASES: Final = {
    f"{method} {integral}": Constraint(
        cost="cost", limit=LIMIT, proportional=damping, integral=integral, derivative=damping
    )
    for integral in INTEGRAL_GAINS
    for method, damping in METHODS.items()
}
SETTINGS: Final[Mapping[str, Any]] = {
    "hidden": [64, 64],
    "batch": 64,
    "warmup": 1_000,
    "learning_rate": 1e-3,
    "matmul": "float32",
    "layer_norm": True,  # RLPD's critics
    "actor_value": "mean",
    "held_out": 0.0,
}
"""Of SAC."""
SMOOTH: Final = 5
"""Episodes of a running mean: what is left of an episode's own randomness."""


class Figures(NamedTuple):
    """Means over seeds. Costs are running means over ``SMOOTH`` episodes of the learned policy; late is the
    last half of them."""

    worst_cost: float
    mean_excess: float
    """Over the limit; costs below count as none."""
    late_cost: float
    late_swing: float
    """Standard deviation of the cost."""
    late_return: float


def run(csv_file: Path, seeds: Sequence[int], progress: Callable[[str], None], steps: int = STEPS) -> None:
    """All cases with each seed, a row per episode, a picture of each method's best gain beside the file, and
    what it comes to."""
    for seed, case in missing(csv_file, seeds, CASES):
        made = _measure(case, seed, steps)
        append(csv_file, *made)
        progress(f"{case}, seed {seed}: cost {made[-1]['cost']} in the last episode")
    found = rows(csv_file)
    figures = {case: summary(found, case) for case in CASES}
    for case, one in figures.items():
        said = ", ".join(f"{name.replace('_', ' ')} {value:.3g}" for name, value in one._asdict().items())
        progress(f"{case}: {said}")
    chosen = [best({c: f for c, f in figures.items() if c.startswith(method)}) for method in METHODS]
    keep_picture(csv_file, _drawn(found, chosen), progress)


def summary(found: Sequence[Mapping[str, str]], case: str) -> Figures:
    """Of all seeds that there are."""
    figures = []
    (_, costs), (_, returns) = (lines(found, [case], column)[0] for column in ("cost", "return"))
    for cost_line, return_line in zip(costs, returns, strict=True):
        cost, half = running(cost_line[:, 1]), len(cost_line) // 2
        excess = np.maximum(cost - LIMIT, 0.0).mean()
        late = cost[half:]
        figures.append((cost.max(), excess, late.mean(), late.std(), return_line[half:, 1].mean()))
    return Figures(*map(float, np.mean(figures, 0)))


def best(figures: Mapping[str, Figures]) -> str:
    """The case that earns most late of those that keep to the limit then; if none does, that which exceeds it
    least."""
    keep = {case: one for case, one in figures.items() if one.late_cost <= LIMIT}
    if keep:
        return max(keep, key=lambda case: keep[case].late_return)
    return min(figures, key=lambda case: figures[case].late_cost)


def running(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means of ``SMOOTH`` neighbours, shorter by ``SMOOTH - 1``."""
    return np.convolve(values, np.ones(SMOOTH) / SMOOTH, "valid")


def _measure(case: str, seed: int, steps: int) -> list[dict[str, object]]:
    from learners.environments.train import train

    found: list[dict[str, object]] = []

    def watch(training: Training) -> None:
        if training.learner is not None and training.episode_over:
            (multiplier,) = training.learner.multipliers.values
            numbers = {
                "return": training.last_return,
                "cost": training.last_costs["cost"],
                "multiplier": multiplier,
            }
            found.append(
                {"task": NAME, "case": case, "seed": seed, "step": training.steps}
                | {name: f"{value:.6g}" for name, value in numbers.items()}
            )

    with tempfile.TemporaryDirectory(prefix="sandlot-constraint-") as scratch:
        train(
            NAME,
            Path(scratch) / "run",
            "sac",
            steps=steps,
            seed=seed,
            learner={**SETTINGS, "constraints": [msgspec.to_builtins(CASES[case])]},
            evaluate_every=steps,
            evaluation_episodes=1,
            watch=watch,
        )
    return found


def _drawn(found: Sequence[Mapping[str, str]], cases: Sequence[str]) -> bytes:
    from launch.figures import Panel, panels

    def smooth(column: str) -> list[tuple[str, list[NDArray[np.float64]]]]:
        return [
            (case, [np.stack([one[SMOOTH - 1 :, 0], running(one[:, 1])], 1) for one in runs])
            for case, runs in lines(found, cases, column)
        ]

    return panels(
        f"Point-Circle, best integral gains: a line per seed, means of {SMOOTH} episodes",
        "environment steps",
        [
            Panel("cost of an episode", smooth("cost"), [("limit", LIMIT)]),
            Panel("its return", smooth("return")),
            Panel("multiplier", smooth("multiplier")),
        ],
    )
