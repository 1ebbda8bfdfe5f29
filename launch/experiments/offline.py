"""BC, IQL and IDQL from data that passes every obstacle on both sides (``fork``): what a Gaussian makes of
two modes, and what a choice among samples of a diffusion model does.

Resumable: a row that is there is not run again. All learn from the same demonstrations; IQL also with a
higher inverse temperature, IDQL with fewer candidates.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from launch.bench.practice import append, rows
from launch.experiments.cases import keep_picture, missing
from launch.experiments.fork import NAME, OBSTACLES, Fork, demonstrations, write_demonstrations

UPDATES: Final = 4_000
EPISODES: Final = 500
"""Of demonstrations, and of OBSTACLES steps each."""
EVALUATIONS: Final = 50
SHARED: Final[Mapping[str, Any]] = {
    "hidden": [64, 64],
    "batch": 256,
    "learning_rate": 1e-3,
    "held_out": 0.0,
}
DIFFUSION: Final[Mapping[str, Any]] = {
    "actor_width": 64,
    "actor_blocks": 2,
    "time_features": 16,
    "actor_dropout": 0.0,
    "actor_average": 0.01,
    "actor_decay_steps": UPDATES,
}
CASES: Final[Mapping[str, tuple[str, Mapping[str, Any]]]] = {
    "bc": ("bc", {"actor_decay_steps": UPDATES}),
    "iql": ("iql", {"actor_decay_steps": UPDATES, "discount": 0.9}),
    "iql beta=10": ("iql", {"actor_decay_steps": UPDATES, "discount": 0.9, "beta": 10.0}),
    "idql 4 candidates": ("idql", {**DIFFUSION, "discount": 0.9, "candidates": 4}),
    "idql 16 candidates": ("idql", {**DIFFUSION, "discount": 0.9, "candidates": 16}),
}
"""Name to algorithm and settings."""


def run(csv_file: Path, seeds: Sequence[int], progress: Callable[[str], None]) -> None:
    """All cases with each seed, a row each, and a picture of all rows beside the file."""
    for seed, case in missing(csv_file, seeds, CASES):
        row = _measure(case, seed)
        append(csv_file, row)
        progress(", ".join(f"{name} {value}" for name, value in row.items()))
    keep_picture(csv_file, _drawn(csv_file), progress)


def _measure(case: str, seed: int) -> dict[str, object]:
    from learners.environments.train import train

    algorithm, settings = CASES[case]
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="sandlot-offline-") as scratch:
        prior = Path(scratch) / "prior"
        write_demonstrations(prior, EPISODES, seed)
        done = train(
            Fork,
            Path(scratch) / "run",
            algorithm,
            steps=0,
            offline_steps=UPDATES,
            seed=seed,
            prior=prior,
            learner={**SHARED, **settings},
            evaluate_every=UPDATES,
            evaluation_episodes=EVALUATIONS,
        )
    found = done.curve[-1]
    return {
        "task": NAME,
        "case": case,
        "seed": seed,
        "updates": found.updates,
        "return_mean": round(found.return_mean, 3),
        "return_std": round(found.return_std, 3),
        "demonstrations_return_mean": round(_shown(seed), 3),
        "wall_s": round(time.monotonic() - began, 1),
    }


def _shown(seed: int) -> float:
    """Mean return of the demonstrations' episodes."""
    return float(np.mean([rows["reward"].sum() for rows in demonstrations(EPISODES, seed)]))


def _drawn(csv_file: Path) -> bytes:
    from launch.figures import Dots, dots

    found = rows(csv_file)
    groups = [
        (case, np.array([float(row["return_mean"]) for row in found if row["case"] == case]))
        for case in CASES
    ]
    shown = float(np.mean([float(row["demonstrations_return_mean"]) for row in found]))
    title = f"{NAME}: {UPDATES} updates on data with two modes"
    return dots(title, [Dots("return", groups, [("demonstrations", shown), ("highest", OBSTACLES)])])
