"""AVTD (Li et al. 2023, arXiv 2304.10466) against each of its regularisers alone, where the choice matters:
little data, many updates of it, and observations that are mostly noise (``distracted``).

Resumable: a run whose rows are there is not made again. All cases are the same algorithm, on one candidate or
on all, and hold the same share of the episodes out.
"""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from launch.bench.practice import append, rows
from launch.experiments.cases import keep_picture, lines, missing
from launch.experiments.distracted import NAME, Distracted
from learners.avtd_config import Regulariser

if TYPE_CHECKING:
    from learners.environments.training import Training

STEPS: Final = 2_000
EVALUATE_EVERY: Final = 200
EVALUATIONS: Final = 10
SETTINGS: Final[Mapping[str, Any]] = {
    "hidden": [64, 64],
    "batch": 64,
    "updates_per_step": 10,
    "warmup": 300,
    "held_out": 0.25,  # there are few episodes to judge by
    "discount": 0.95,
    "learning_rate": 1e-3,
    "initial_temperature": 0.1,
    "entropy_backup": False,
    "actor_average": 0.01,
    "matmul": "float32",
}
CANDIDATES: Final = (
    Regulariser(name="none"),
    Regulariser(name="layer norm", layer_norm=True),
    Regulariser(name="dropout", layer_norm=True, dropout=0.01),
    # AdamW's 0.01 would take a sixth of the weights away in all of these updates: as good as none.
    Regulariser(name="weight decay", weight_decay=1.0),
)
CASES: Final[Mapping[str, Sequence[Regulariser]]] = {
    **{one.name: (one,) for one in CANDIDATES},
    "avtd": CANDIDATES,
}


def run(csv_file: Path, seeds: Sequence[int], progress: Callable[[str], None], steps: int = STEPS) -> None:
    """All cases with each seed, a row per evaluation, a picture of all rows beside the file, and what it
    comes to."""
    for seed, case in missing(csv_file, seeds, CASES):
        found = _measure(case, seed, steps)
        append(csv_file, *found)
        progress(f"{case}, seed {seed}: return {found[-1]['return_mean']} after {found[-1]['wall_s']} s")
    keep_picture(csv_file, _drawn(csv_file), progress)
    for line in summary(rows(csv_file)):
        progress(line)


def summary(found: Sequence[Mapping[str, str]]) -> list[str]:
    """A line for each case: returns of each seed, over the whole run and in its last third, and for how
    much of the time each candidate acted."""
    said = []
    for case in CASES:
        mine = [row for row in found if row["case"] == case]
        whole, late = [], []
        for seed in sorted({row["seed"] for row in mine}):
            returns = [float(row["return_mean"]) for row in mine if row["seed"] == seed]
            whole.append(float(np.mean(returns)))
            late.append(float(np.mean(returns[-max(len(returns) // 3, 1) :])))
        if mine:
            said.append(f"{case}: mean return {_listed(whole)}, late {_listed(late)}{_acted(case, mine)}")
    return said


def _acted(case: str, found: Sequence[Mapping[str, str]]) -> str:
    if len(CASES[case]) == 1:
        return ""
    shares = ((one.name, np.mean([float(row[_share(one)]) for row in found])) for one in CASES[case])
    return ", acted: " + ", ".join(f"{name} {share:.0%}" for name, share in shares)


def _listed(values: Sequence[float]) -> str:
    return f"{np.mean(values):.1f} ({', '.join(f'{value:.1f}' for value in values)})"


def _share(candidate: Regulariser) -> str:
    """The column with the share of the steps since the last evaluation in which it acted."""
    return f"acted_{candidate.name.replace(' ', '_')}"


def _measure(case: str, seed: int, steps: int) -> list[dict[str, object]]:
    from learners.environments.train import train

    every = min(EVALUATE_EVERY, steps)
    acted: Counter[tuple[int, int]] = Counter()
    """Steps by evaluation, from 0, and candidate."""
    errors: dict[int, float] = {}

    def watch(training: Training) -> None:
        if training.learner is not None:
            active = int(training.learner.metrics.get("active", 0))
            evaluation = (training.steps - 1) // every
            acted[evaluation, active] += 1
            errors[evaluation] = training.learner.health.average

    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="sandlot-avtd-") as scratch:
        regularisers = [msgspec.to_builtins(one) for one in CASES[case]]
        done = train(
            Distracted,
            Path(scratch) / "run",
            "avtd",
            steps=steps,
            seed=seed,
            learner={**SETTINGS, "regularisers": regularisers},
            evaluate_every=every,
            evaluation_episodes=EVALUATIONS,
            watch=watch,
        )
    wall_s = round(time.monotonic() - began, 1)
    found = []
    for point in done.curve:
        evaluation = (point.step - 1) // every
        counts = {one.name: acted[evaluation, k] for k, one in enumerate(CASES[case])}
        total = max(sum(counts.values()), 1)
        row: dict[str, object] = {
            "task": NAME,
            "case": case,
            "seed": seed,
            "step": point.step,
            "return_mean": round(point.return_mean, 3),
            "return_std": round(point.return_std, 3),
            "held_out_error": round(errors[evaluation], 4),
        }
        row |= {_share(one): round(counts.get(one.name, 0) / total, 3) for one in CANDIDATES}
        found.append(row | {"wall_s": wall_s})
    return found


def _drawn(csv_file: Path) -> bytes:
    from launch.figures import Panel, panels

    found = rows(csv_file)
    chosen = [row for row in found if row["case"] == "avtd"]
    steps = sorted({float(row["step"]) for row in chosen})
    shares = [
        (
            one.name,
            [
                np.array(
                    [
                        (step, np.mean([float(r[_share(one)]) for r in chosen if float(r["step"]) == step]))
                        for step in steps
                    ]
                ).reshape(-1, 2)
            ],
        )
        for one in CANDIDATES
    ]
    return panels(
        f"{NAME}: a line per seed",
        "environment steps",
        [
            Panel("return", lines(found, CASES, "return_mean")),
            Panel("held-out error", lines(found, CASES, "held_out_error")),
            Panel("acted in avtd", shares),
        ],
    )
