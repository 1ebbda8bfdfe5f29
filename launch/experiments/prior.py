"""What prior data is worth where rewards are sparse: RLPD (Ball et al. 2023, arXiv 2302.02948) on the
cart-pole swing-up with demonstrations, without them, with one of its parts taken away, and with matrix
products in bfloat16; what BC, IQL and IDQL make of the demonstrations alone; and symmetric sampling where
there is but one demonstration, or many episodes of somebody who knows nothing.

Resumable: a run whose rows are there is not made again. All cases of a seed learn from the same
demonstrations.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from launch.bench.practice import append, rows
from launch.experiments.cases import keep_picture, lines, missing
from launch.experiments.swing_up_demonstrator import (
    NAME,
    demonstrations,
    random_episodes,
    write_episodes,
)
from learners.environments.swing_up import STEPS as LONGEST
from learners.environments.swing_up import SwingUp

if TYPE_CHECKING:
    from learners.environments.training import Training

STEPS: Final = 5_000
"""400 s of the robot's time."""
DEMONSTRATIONS: Final = 6
EVALUATE_EVERY: Final = 500
EVALUATIONS: Final = 10
OFFLINE_EVALUATIONS: Final = 30
"""Of what learned from demonstrations alone, with noise and without: episodes begin alike, and so do well or
badly together."""
SHARED: Final[Mapping[str, Any]] = {
    "critics": 4,
    "hidden": [128, 128],
    "batch": 128,
    "updates_per_step": 8,
    "warmup": 250,
    "initial_temperature": 0.1,
    "entropy_backup": False,  # as RLPD with sparse rewards
    "actor_average": 0.01,
    "held_out": 0.0,
    "matmul": "float32",
}
OFFLINE_UPDATES: Final = 20_000
"""Of BC, IQL and IDQL: half as many as RLPD's of its critics."""
SHARED_OFFLINE: Final[Mapping[str, Any]] = {
    "hidden": [128, 128],
    "batch": 128,
    "held_out": 0.0,
    "actor_decay_steps": OFFLINE_UPDATES,
}


class Case(NamedTuple):
    """``settings`` beside the shared ones, and episodes of prior data: demonstrated, and random ones."""

    settings: Mapping[str, Any] = {}
    demonstrations: int = DEMONSTRATIONS
    random: int = 0
    algorithm: str = "rlpd"
    steps: int = STEPS

    @property
    def scarce(self) -> bool:
        """Good transitions are few among all."""
        return self.random > 0 or 0 < self.demonstrations < DEMONSTRATIONS

    @property
    def offline(self) -> bool:
        return self.algorithm != "rlpd"


CASES: Final[Mapping[str, Case]] = {
    "with demonstrations": Case(),
    "no demonstrations": Case(demonstrations=0),
    "no LayerNorm": Case({"layer_norm": False}),
    "uniform sampling": Case({"symmetric": False}),
    "bfloat16": Case({"matmul": "bfloat16"}, steps=3_000),
    "BC alone": Case(algorithm="bc"),
    "IQL alone": Case(algorithm="iql"),
    "IDQL alone": Case({"actor_width": 128, "actor_blocks": 2}, algorithm="idql"),
    "1 demonstration": Case(demonstrations=1),
    "1, uniform sampling": Case({"symmetric": False}, demonstrations=1),
    "6 and 200 random": Case(random=200),
    "6 and 200, uniform sampling": Case({"symmetric": False}, random=200),
}


def run(csv_file: Path, seeds: Sequence[int], progress: Callable[[str], None], steps: int = STEPS) -> None:
    """All cases with each seed, a row per evaluation, and a picture of all rows beside the file. What learns
    from demonstrations alone has one row, at step 0."""
    import torch

    from learners.engine.precision import operand_type

    for seed, case in missing(csv_file, seeds, CASES):
        if case == "bfloat16" and operand_type("bfloat16") != torch.bfloat16:
            progress(f"{case}, seed {seed} is left out: this processor has no instructions for it")
            continue
        found = _measure(case, seed, steps)
        append(csv_file, *found)
        progress(f"{case}, seed {seed}: return {found[-1]['return_mean']} after {found[-1]['wall_s']} s")
    keep_picture(csv_file, _drawn(csv_file), progress)


def _measure(case: str, seed: int, steps: int) -> list[dict[str, object]]:
    from learners.environments.train import train

    chosen = CASES[case]
    shown = list(demonstrations(chosen.demonstrations, seed))
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="sandlot-prior-") as scratch:
        prior = Path(scratch) / "prior"
        write_episodes(prior / "demonstrations.journal", shown)
        write_episodes(prior / "random.journal", random_episodes(chosen.random, seed))
        done = train(
            NAME,
            Path(scratch) / "run",
            chosen.algorithm,
            steps=0 if chosen.offline else min(steps, chosen.steps),
            offline_steps=OFFLINE_UPDATES if chosen.offline else 0,
            seed=seed,
            prior=prior if shown else None,
            learner={**(SHARED_OFFLINE if chosen.offline else SHARED), **chosen.settings},
            evaluate_every=OFFLINE_UPDATES if chosen.offline else min(EVALUATE_EVERY, steps),
            evaluation_episodes=OFFLINE_EVALUATIONS if chosen.offline else EVALUATIONS,
        )
        sampled = _sampled(done, seed) if chosen.offline else math.nan
    wall_s = round(time.monotonic() - began, 1)
    return [
        {
            "task": NAME,
            "case": case,
            "seed": seed,
            "step": 0 if chosen.offline else point.step,
            "return_mean": round(point.return_mean, 3),
            "return_std": round(point.return_std, 3),
            "sampled_return_mean": round(sampled, 3),
            "demonstrations_return_mean": round(_mean_return(shown), 3),
            "wall_s": wall_s,
        }
        for point in done.curve
    ]


def _sampled(done: Training, seed: int) -> float:
    """Mean return of a policy with its noise: as IDQL's authors judge it."""
    from learners.environments.episodes import Episodes
    from learners.environments.evaluation import evaluate

    learner, rng = done.learner, np.random.default_rng(seed)
    assert learner is not None

    def act(observation: NDArray[np.float32], images: object) -> NDArray[np.float32]:
        return learner.act(observation, rng.standard_normal(learner.noise_size, np.float32))

    episodes = Episodes(SwingUp(), learner.contract, LONGEST)
    return float(evaluate(episodes, act, range(OFFLINE_EVALUATIONS)).returns.mean())


def _mean_return(episodes: Sequence[NDArray[np.void]]) -> float:
    return float(np.mean([rows["reward"].sum() for rows in episodes])) if episodes else math.nan


def _drawn(csv_file: Path) -> bytes:
    from launch.figures import Panel, panels

    found = rows(csv_file)
    main, scarce = (
        [name for name, case in CASES.items() if not case.offline and case.scarce == few]
        for few in (False, True)
    )
    shown = [
        float(row["demonstrations_return_mean"]) for row in found if row["case"] == "with demonstrations"
    ]
    compared = [("demonstrations", float(np.mean(shown)))] if shown else []
    for name, case in CASES.items():
        returns = [float(row["return_mean"]) for row in found if row["case"] == name]
        if case.offline and returns:
            compared.append((name, float(np.mean(returns))))
    return panels(
        f"{NAME}: a line per seed",
        "environment steps",
        [
            Panel("return", lines(found, main, "return_mean"), compared),
            Panel("return", lines(found, scarce, "return_mean")),
        ],
    )
