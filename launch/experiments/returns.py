"""Returns in well-known tasks: our SAC, DroQ and ten critics beside Stable-Baselines3's SAC and SBX's DroQ,
at the same steps.

All act at random for the first 5,000 steps and see observations as they are; 10 episodes of the deterministic
policy are judged every 5,000 steps, of all by the same function. Ours see the previous action, too.

Resumable: a run whose rows are there is not made again; one of ours goes on from its checkpoint, one of
theirs begins again.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final, NamedTuple

from launch.bench.practice import append, rows
from launch.experiments.cases import lines
from robot.errors import SandlotError, nearest

ENVIRONMENTS: Final = ("Hopper-v5", "HalfCheetah-v5", "dm_control/cheetah-run")
EVALUATE_EVERY: Final = 5_000
EVALUATIONS: Final = 10
WARMUP: Final = 5_000


class Case(NamedTuple):
    algorithm: str
    steps: int
    package: str = ""
    """Whose; empty is ours."""
    seeds: int = 3
    """So many of the seeds asked for at most."""


CASES: Final = {
    "sac": Case("sac", 100_000),
    "sb3 sac": Case("sac", 100_000, "stable_baselines3"),
    "droq": Case("droq", 15_000),
    "sbx droq": Case("droq", 15_000, "sbx", seeds=1),
    "10 critics": Case("rlpd", 10_000, seeds=1),
}
"""The cheapest first: ten critics with 20 updates per step are 100,000 updates a run, 50 minutes of a
core."""


class Judged(NamedTuple):
    """One evaluation."""

    step: int
    return_mean: float
    return_std: float
    wall_s: float


def run(
    csv_file: Path,
    seeds: Sequence[int],
    progress: Callable[[str], None],
    cases: Sequence[str] = (),
    environments: Sequence[str] = (),
) -> None:
    """One seed after the other: every environment and case, or only those that are named; a row per
    evaluation, and a picture of all. Raises SandlotError if there is no such case or environment."""
    for what, asked, known in (("case", cases, CASES), ("environment", environments, ENVIRONMENTS)):
        for name in asked:
            if name not in known:
                raise SandlotError(f"no {what} {name!r}; {nearest(name, known)}")
    for environment, case, seed in runs(seeds):
        if (cases and case not in cases) or (environments and environment not in environments):
            continue
        key = (environment, case, str(seed))
        if any((row["environment"], row["case"], row["seed"]) == key for row in rows(csv_file)):
            continue
        suite = environment.rpartition("/")[0]
        absent = [name for name in (suite, CASES[case].package) if name and find_spec(name) is None]
        if absent:
            progress(f"{environment}, {case} is left out: {absent[0]} is not installed")
            continue
        found = measure(
            environment, CASES[case], seed, csv_file.with_suffix("") / "_".join(key).replace("/", "_")
        )
        run_of = {"environment": environment, "case": case, "seed": seed}
        append(csv_file, *(run_of | one._asdict() for one in found))
        progress(f"{environment}, {case}, seed {seed}: return {found[-1].return_mean:.0f}")
        for name in ENVIRONMENTS:
            mine = [row for row in rows(csv_file) if row["environment"] == name]
            if mine:
                _picture(csv_file, name).write_bytes(_drawn(name, mine))


def runs(seeds: Sequence[int]) -> Iterator[tuple[str, str, int]]:
    """Environment, case and seed in the order in which most is known soonest."""
    for k, seed in enumerate(seeds):
        for name, case in CASES.items():
            for environment in ENVIRONMENTS:
                if k < case.seeds:
                    yield environment, name, seed


def measure(environment: str, case: Case, seed: int, folder: Path) -> list[Judged]:
    """One run; ``folder`` is one of ours until it is whole."""
    every = min(EVALUATE_EVERY, case.steps)
    if case.package:
        from launch.experiments.returns_theirs import learn

        return list(learn(environment, case.package, case.algorithm, case.steps, every, seed))
    return _ours(environment, case, every, seed, folder)


def _ours(environment: str, case: Case, every: int, seed: int, folder: Path) -> list[Judged]:
    from learners.environments.train import train

    done = train(
        environment,
        folder,
        case.algorithm,
        steps=case.steps,
        seed=seed,
        learner={"warmup": WARMUP, "held_out": 0.0},
        evaluate_every=every,
        evaluation_episodes=EVALUATIONS,
        normalise=False,
    )
    found = [Judged(p.step, p.return_mean, p.return_std, p.wall_s) for p in done.curve]
    shutil.rmtree(done.folder.path)
    return found


def _picture(csv_file: Path, environment: str) -> Path:
    return csv_file.with_name(f"{csv_file.stem}_{environment.rpartition('/')[2]}.png")


def _drawn(environment: str, found: Sequence[dict[str, str]]) -> bytes:
    from launch.figures import curves

    groups = lines(found, CASES, "return_mean")
    return curves(f"{environment}: a line per seed", groups, [], ("environment steps", "return"))
