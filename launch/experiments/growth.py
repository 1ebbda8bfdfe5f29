"""What range growth is for and what it is not: failures and returns on a load that hangs and one that stands,
with the whole action range, a part of it that grows, and a part that does not.

Resumable: a run whose rows are there is not made again.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from rich.console import Console
from rich.table import Table

from launch.bench.practice import append, rows
from launch.experiments.cases import keep_picture, lines, missing

if TYPE_CHECKING:
    from learners.environments.training import Training

STEPS: Final = 5_000
"""400 s of the robot's time."""
EARLY: Final = 1_000
EVALUATE_EVERY: Final = 500
EVALUATIONS: Final = 5
SHARED: Final[Mapping[str, Any]] = {
    "hidden": [64, 64],
    "batch": 64,
    "warmup": 300,
    "updates_per_step": 2,
    "learning_rate": 1e-3,
    "matmul": "float32",
    "layer_norm": True,
    "actor_value": "mean",
    "discount": 0.97,
    "initial_temperature": 0.1,
    "entropy_backup": False,
}
"""SAC with small networks and RLPD's critics."""
RANGES: Final[Mapping[str, Mapping[str, Any]]] = {
    "whole": {},
    "growing": {"start": 0.3, "steps": 2_000, "window": 250},
    "fixed": {"start": 0.3, "steps": 10**9, "window": 250},
}
CASES: Final = tuple(f"{load}, {of}" for load in ("hanging", "standing") for of in RANGES)


def run(csv_file: Path, seeds: Sequence[int], progress: Callable[[str], None]) -> None:
    """All cases with each seed, a row per evaluation; a table, and a picture of the hanging load's beside
    the file."""
    for seed, case in missing(csv_file, seeds, CASES):
        found = _measure(case, seed)
        append(csv_file, *found)
        last = found[-1]
        progress(f"{case}, seed {seed}: {last['failures']} failures, return {last['return_mean']}")
    table = Table("case", f"failures in {EARLY} steps", f"in {STEPS}", "return at last")
    for case, figures in summary(csv_file).items():
        table.add_row(case, *figures)
    Console().print(table)
    keep_picture(csv_file, _drawn(csv_file), progress)


def summary(csv_file: Path) -> dict[str, list[str]]:
    """Of each case a figure per seed: failures early on and in all, and the last return."""
    found = {}
    for case in CASES:
        mine = [row for row in rows(csv_file) if row["case"] == case]
        early, last = (
            sorted((row for row in mine if row["step"] == str(step)), key=lambda row: int(row["seed"]))
            for step in (EARLY, STEPS)
        )
        found[case] = [
            ", ".join(row["failures"] for row in early),
            ", ".join(row["failures"] for row in last),
            ", ".join(f"{float(row['return_mean']):.0f}" for row in last),
        ]
    return found


def _measure(case: str, seed: int) -> list[dict[str, object]]:
    from launch.experiments.carrier import Carrier
    from learners.environments.settings import TrainingSettings
    from learners.environments.training import Training
    from learners.presets import preset

    load, _, of = case.partition(", ")
    settings = TrainingSettings(
        environment=f"Carrier, {load}",
        algorithm="sac",
        learner=preset("sac", {**SHARED, "growth": dict(RANGES[of])}),
        steps=STEPS,
        seed=seed,
        evaluate_every=EVALUATE_EVERY,
        evaluation_episodes=EVALUATIONS,
        checkpoint_every=STEPS,
    )
    failures: list[int] = []
    shares: dict[int, float] = {}

    def watch(training: Training) -> None:
        if training.episode_terminated:
            failures.append(training.steps)
        if training.learner is not None:
            shares[training.steps] = training.learner.range.share

    with tempfile.TemporaryDirectory(prefix="sandlot-growth-") as scratch:
        make = partial(Carrier, standing=load == "standing")
        training = Training(make, Path(scratch) / "run", settings, watch=watch)
        try:
            training.run()
        finally:
            training.close()
    return [
        {
            "case": case,
            "seed": seed,
            "step": point.step,
            "failures": int(np.searchsorted(failures, point.step, "right")),
            "action_share": round(shares[point.step], 3),
            "return_mean": round(point.return_mean, 2),
        }
        for point in training.curve
    ]


def _drawn(csv_file: Path) -> bytes:
    from launch.figures import curves

    hanging = [case for case in CASES if case.startswith("hanging")]
    groups = lines(rows(csv_file), hanging, "return_mean")
    return curves("Carrying a hanging load: a line per seed", groups, [], ("environment steps", "return"))
