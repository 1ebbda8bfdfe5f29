"""PID against plain Lagrangian on Point-Circle: how far a cost goes over its limit, and how it swings."""

from __future__ import annotations

import csv
import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from launch.options import ExperimentConstraintOptions
from robot.errors import SandlotError
from robot.layout import Struct

if TYPE_CHECKING:
    from learners.environments.settings import TrainingSettings
    from learners.environments.training import Training

ENVIRONMENT: Final = "sandlot/PointCircle-v0"
LIMIT: Final = 20.0
"""Steps beyond the walls allowed in an episode of 200."""
INTEGRAL: Final = 0.05
METHODS: Final[dict[str, tuple[float, float, float]]] = {
    "integral": (0.0, INTEGRAL, 0.0),
    "PID": (0.2, INTEGRAL, 0.2),
}
"""Gains: proportional, integral, derivative. The integral's is the same, so that only damping differs."""
SMOOTH: Final = 5
"""Episodes of a running mean: what is left of an episode's own randomness."""


class Episode(Struct):
    """A row of the CSV."""

    method: str
    seed: int
    steps: int
    """The run's length [steps]."""
    step: int
    reward: float
    cost: float
    multiplier: float


def constraint(options: ExperimentConstraintOptions) -> int:
    """Make what is missing, then the picture and the table."""
    rows = _read(options.csv)
    for seed in options.seeds:
        for method in METHODS:
            if not any((r.method, r.seed, r.steps) == (method, seed, options.steps) for r in rows):
                new = list(_run(method, seed, options.steps))
                _append(options.csv, new)
                rows += new
                print(f"{method}, seed {seed}: cost {np.mean([r.cost for r in new[-20:]]):.1f} at last")
    chosen = [r for r in rows if r.seed in options.seeds and r.steps == options.steps]
    found = {method: summary([r for r in chosen if r.method == method]) for method in METHODS}
    table = Table("method", "worst cost", "mean excess", "swing", "return")
    for method, figures in found.items():
        table.add_row(method, *(f"{value:.3g}" for value in figures.values()))
    Console().print(table)
    _draw(options.csv.with_suffix(".png"), chosen)
    if options.json:
        print(json.dumps(found))
    return 0


def summary(rows: Sequence[Episode]) -> dict[str, float]:
    """Means over seeds: the worst running mean of the cost, its mean excess over the limit, both in all
    episodes of the learned policy, the standard deviation of its running mean and the return in the last
    half."""
    found = []
    for seed in sorted({row.seed for row in rows}):
        mine = [row for row in rows if row.seed == seed]
        costs = running(np.array([row.cost for row in mine]))
        half = len(mine) // 2
        found.append(
            (
                costs.max(),
                np.maximum(costs - LIMIT, 0.0).mean(),
                costs[half:].std(),
                np.mean([row.reward for row in mine[half:]]),
            )
        )
    names = ("worst_cost", "mean_excess", "swing", "return")
    return dict(zip(names, map(float, np.mean(found, 0)), strict=True))


def running(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means of ``SMOOTH`` neighbours, shorter by ``SMOOTH - 1``."""
    return np.convolve(values, np.ones(SMOOTH) / SMOOTH, "valid")


def _run(method: str, seed: int, steps: int) -> Iterator[Episode]:
    from learners.environments.catalogue import find
    from learners.environments.training import Training

    rows: list[Episode] = []

    def watch(training: Training) -> None:
        if training.learner is not None and training.episode_over:
            costs, multipliers = training.last_costs, training.learner.multipliers.values
            rows.append(
                Episode(
                    method=method,
                    seed=seed,
                    steps=steps,
                    step=training.steps,
                    reward=training.last_return,
                    cost=costs["cost"],
                    multiplier=multipliers[0],
                )
            )

    with tempfile.TemporaryDirectory() as folder:
        settings = training_settings(method, seed, steps)
        training = Training(find(ENVIRONMENT), Path(folder) / "run", settings, watch=watch)
        try:
            training.run()
        finally:
            training.close()
    yield from rows


def training_settings(method: str, seed: int, steps: int) -> TrainingSettings:
    """Of one run: SAC with small networks and RLPD's critics."""
    from learners.environments.settings import TrainingSettings
    from learners.lagrangian import Constraint
    from learners.presets import preset

    proportional, integral, derivative = METHODS[method]
    one = Constraint(
        cost="cost", limit=LIMIT, proportional=proportional, integral=integral, derivative=derivative
    )
    small = {"hidden": [64, 64], "batch": 64, "warmup": 1_000, "learning_rate": 1e-3, "matmul": "float32"}
    steady = {"layer_norm": True, "actor_value": "mean"}
    learner = preset("sac", small | steady | {"constraints": [msgspec.to_builtins(one)]})
    return TrainingSettings(
        environment=ENVIRONMENT,
        algorithm="sac",
        learner=learner,
        steps=steps,
        seed=seed,
        evaluate_every=steps,
        evaluation_episodes=1,
        checkpoint_every=steps,
    )


def _read(path: Path) -> list[Episode]:
    if not path.exists():
        return []
    with path.open(newline="") as file:
        rows = csv.DictReader(file)
        if list(rows.fieldnames or ()) != list(Episode.__struct_fields__):
            raise SandlotError(f"{path}: expected the columns {', '.join(Episode.__struct_fields__)}")
        return [msgspec.convert(row, Episode, strict=False) for row in rows]


def _append(path: Path, rows: Sequence[Episode]) -> None:
    new = not path.exists()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        if new:
            writer.writerow(Episode.__struct_fields__)
        for row in rows:
            writer.writerow(
                f"{value:.6g}" if isinstance(value, float) else value
                for value in msgspec.structs.astuple(row)
            )


def _draw(path: Path, rows: Sequence[Episode]) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(3, 1, figsize=(7, 8), sharex=True)
    colours = dict(zip(METHODS, ("tab:orange", "tab:blue"), strict=True))
    for method, colour in colours.items():
        for seed in sorted({row.seed for row in rows}):
            mine = [row for row in rows if (row.method, row.seed) == (method, seed)]
            steps = np.array([row.step for row in mine])[SMOOTH - 1 :]
            for axis, name in zip(axes, ("cost", "reward", "multiplier"), strict=True):
                values = running(np.array([getattr(row, name) for row in mine]))
                axis.plot(steps, values, color=colour, lw=1)
    for method, colour in colours.items():
        axes[0].plot([], [], color=colour, label=method)
    axes[0].axhline(LIMIT, color="black", ls=":", lw=1)
    for axis, label in zip(axes, ("cost of an episode", "its return", "multiplier"), strict=True):
        axis.set_ylabel(label)
    axes[0].legend()
    axes[-1].set_xlabel("environment steps")
    figure.suptitle(f"Point-Circle, cost limit {LIMIT:g}, a line per seed, means of {SMOOTH} episodes")
    figure.tight_layout()
    figure.savefig(path, dpi=100)
    pyplot.close(figure)
