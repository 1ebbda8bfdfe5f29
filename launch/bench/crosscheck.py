"""Whether the twin's word on a policy foretells what the policy does on robots that are not the twin.

Every policy is judged by the twin (G3 and G4) and driven on each surrogate behind the real guardian, in
lockstep: a row of a CSV each. Resumable: a row that is there is not made again.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from launch.bench.practice import append, rows
from launch.episodes import course_setting
from launch.evaluation import Evaluation, evaluate
from launch.figures import GREEN, INK, RED, SOFT, STYLE, png
from launch.lockstep import practise_lockstep
from launch.manifest import Setup
from launch.run_data import RunData
from launch.session import create_session
from robot.errors import SandlotError
from robot.plain_data import sha256
from sim.fleet_pilots import PolicyFile, PolicyPilots
from sim.randomisation import draw, nominal, randomised
from sim.rollout import rollout
from sim.validation.agreement import Agreement, agreement, laps_and_failures
from sim.validation.gates import nominal_gate, randomised_gate
from sim.validation.score import Pair, lap_score
from sim.validation.targets import Targets

TWIN = "twin"
Say = Callable[[str], None]


@dataclass(frozen=True)
class Study:
    """``policies``: files; ``surrogates``: names; ``episodes``: nominal, and again randomised, on the twin;
    ``minutes``: on each surrogate."""

    policies: tuple[Path, ...]
    surrogates: tuple[str, ...]
    robot: str
    course: str
    episodes: int
    minutes: float
    seed: int


def files(sources: Sequence[Path], count: int) -> tuple[Path, ...]:
    """Policies named, or evenly taken from folders, ``count`` of each. Raises SandlotError if there are
    none."""
    found: list[Path] = []
    for source in sources:
        inside = sorted(source.glob("policies/*.onnx")) or sorted(source.glob("*.onnx"))
        if source.is_file():
            found.append(source)
        elif inside:
            chosen = np.linspace(0, len(inside) - 1, min(count, len(inside))).round().astype(int)
            found += [inside[k] for k in sorted(set(chosen.tolist()))]
        else:
            raise SandlotError(f"{source} holds no policy; a run, a folder of ONNX files or one was expected")
    return tuple(found)


def run(study: Study, csv_file: Path, runs: Path, say: Say) -> list[dict[str, str]]:
    """Make the rows that are not there, policy by policy; returns all of this study's."""
    cars = (TWIN, *study.surrogates)
    digests = {sha256(path.read_bytes())[:12]: path for path in study.policies}
    for number, (digest, path) in enumerate(digests.items(), start=1):
        for car in cars:
            if _known(csv_file, digest, car):
                continue
            began = time.monotonic()
            made = judge(study, path) if car == TWIN else drive(study, path, car, runs)
            wall_s = round(time.monotonic() - began, 1)
            append(csv_file, {"policy": digest, "robot": car, "name": path.stem, **made, "wall_s": wall_s})
            say(f"{number} of {len(digests)} {path.stem} on {car}: {float(str(made['score'])):.2f}")
    return [row for row in rows(csv_file) if row["policy"] in digests and row["robot"] in cars]


def _known(csv_file: Path, digest: str, car: str) -> bool:
    return any(row["policy"] == digest and row["robot"] == car for row in rows(csv_file))


def judge(study: Study, policy: Path) -> Mapping[str, object]:
    """The twin's word."""
    setting = course_setting(study.robot, study.course, threads=1)
    pilots = PolicyPilots(PolicyFile(policy, setting.contract), setting.contract)
    calm = rollout(setting, pilots, draw(nominal(setting.spec), study.episodes, study.seed))
    every = randomised(setting.spec, setting.course.length)
    spread = rollout(setting, pilots, draw(every, study.episodes, study.seed))
    limits, targets = setting.spec.safety.limits, Targets()
    laps, failures = laps_and_failures(calm, spread)
    return {
        "laps": laps,
        "failures": failures,
        "score": round(lap_score(laps, failures), 4),
        "g3": nominal_gate(calm, limits, targets).verdict,
        "g4": randomised_gate(spread, calm, limits, targets).verdict,
    }


def drive(study: Study, policy: Path, surrogate: str, runs: Path) -> Mapping[str, object]:
    """What the policy does on a surrogate."""
    judged = drive_policy(study.robot, study.course, policy, surrogate, study.minutes, study.seed, runs)
    score = round(lap_score(judged.laps, judged.failures), 4)
    return {"laps": judged.laps, "failures": judged.failures, "score": score, "g3": "", "g4": ""}


def drive_policy(
    robot: str, course: str, policy: Path, surrogate: str, minutes: float, seed: int, runs: Path
) -> Evaluation:
    """Drive a policy alone, as it is deployed, and judge it by the log, which is not kept."""
    setup = Setup(
        demonstration_laps=0, explore=False, evaluate_every=0, update_ratio=0, policy=str(policy.resolve())
    )
    session = create_session(
        robot,
        course,
        role="run",
        runs=runs,
        twin=True,
        fast=True,
        seed=seed,
        minutes=minutes,
        setup=setup,
        surrogate=surrogate,
    )
    try:
        practise_lockstep(session)
        return evaluate(RunData(session))
    finally:
        shutil.rmtree(session.directory)


@dataclass(frozen=True)
class Finding:
    """Of one surrogate: over all policies, and over those that pass G3 (None: fewer than two).
    ``failures``: on it, a policy, of those that pass G3 and G4, and of those that are refused."""

    surrogate: str
    every: Agreement | None
    passing: Agreement | None
    failures: tuple[float, float]


def findings(made: Sequence[Mapping[str, str]], surrogates: Sequence[str]) -> Iterator[Finding]:
    """Where rows of both are there."""
    twin = {row["policy"]: row for row in made if row["robot"] == TWIN}
    for surrogate in surrogates:
        robot = {r["policy"]: r for r in made if r["robot"] == surrogate and r["policy"] in twin}
        pairs = [Pair(p, float(twin[p]["score"]), float(r["score"])) for p, r in robot.items()]
        good = [pair for pair in pairs if twin[pair.policy]["g3"] == "pass"]
        split: tuple[list[int], list[int]] = ([], [])
        for policy, row in robot.items():
            passes = twin[policy]["g3"] == twin[policy]["g4"] == "pass"
            split[not passes].append(int(row["failures"]))
        yield Finding(
            surrogate,
            agreement(pairs) if len(pairs) > 1 else None,
            agreement(good) if len(good) > 1 else None,
            (_mean(split[0]), _mean(split[1])),
        )


def _mean(values: Sequence[int]) -> float:
    return float(np.mean(values)) if values else float("nan")


def picture(made: Sequence[Mapping[str, str]], surrogates: Sequence[str]) -> bytes:
    """Each policy's score on the twin and on each surrogate: a PNG."""
    twin = {row["policy"]: row for row in made if row["robot"] == TWIN}
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(3.7 * len(surrogates), 3.9), layout="constrained")
        axes = figure.subplots(1, len(surrogates), sharey=True, squeeze=False)[0]
        for axis, found in zip(axes, findings(made, surrogates), strict=True):
            axis.plot([0, 1], [0, 1], color=SOFT, linewidth=1.0, linestyle=(0, (5, 5)))
            for row in made:
                if row["robot"] == found.surrogate and row["policy"] in twin:
                    own = twin[row["policy"]]
                    passes = own["g3"] == own["g4"] == "pass"
                    ink, mark = (GREEN, "o") if passes else (RED, "x")
                    axis.plot(float(own["score"]), float(row["score"]), mark, color=ink, alpha=0.8)
            told = "" if found.every is None else _words(found.every)
            axis.set(title=f"{found.surrogate}: {told}", xlabel="share of laps on the twin")
            axis.set_xlim(-0.05, 1.05)
            axis.set_ylim(-0.05, 1.05)
        axes[0].set_ylabel("share of laps on the surrogate")
        axes[0].plot([], [], "o", color=GREEN, label="passes G3 and G4")
        axes[0].plot([], [], "x", color=RED, label="refused")
        axes[0].legend(loc="upper left", labelcolor=INK)
        return png(figure)


def _words(found: Agreement) -> str:
    return f"r {found.r:.2f}, MMRV {found.rank_violation:.2f}"
