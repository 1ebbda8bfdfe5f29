"""Whether the critics' alarm is silent while learning goes well, and early when it does not: long healthy
runs, and runs that are made to diverge.

Resumable: a run whose row is there is not made again.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

from launch.bench.practice import append, rows
from launch.experiments.cases import keep_picture, missing

if TYPE_CHECKING:
    from learners.environments.training import Training
    from learners.learner import Learner

CIRCLE: Final = "sandlot/PointCircle-v0"
SWING_UP: Final = "sandlot/SwingUp-v0"
UPDATES: Final = 200_000
"""Of the critics, in a healthy run."""
DIVERGED: Final = 100.0
"""Values of so many times what rewards allow, whatever entropy is paid, are a divergence."""
DEMONSTRATIONS: Final = 12
SMALL: Final[Mapping[str, Any]] = {"hidden": [64, 64], "batch": 64, "matmul": "float32", "warmup": 1_000}
BROKEN: Final[Mapping[str, Any]] = {
    "layer_norm": False,
    "critics": 2,
    "subset": 1,
    "polyak": 1.0,
    "updates_per_step": 20,
    "learning_rate": 1e-3,
}
"""Neither LayerNorm nor an average in the targets, one critic in them, and many updates per step."""


class Case(NamedTuple):
    """Which algorithm with which settings where."""

    environment: str
    algorithm: str
    settings: Mapping[str, Any]
    shown: bool = False
    """There are demonstrations."""
    offline: bool = False
    """There is nothing else."""


CASES: Final[Mapping[str, Case]] = {
    "RLPD": Case(SWING_UP, "rlpd", {"critics": 4, "entropy_backup": False}, shown=True),
    "diverging online": Case(CIRCLE, "sac", BROKEN),
    "diverging with demonstrations": Case(SWING_UP, "rlpd", BROKEN, shown=True),
    "diverging offline": Case(SWING_UP, "sac", {"held_out": 0.2}, shown=True, offline=True),
    "SAC": Case(CIRCLE, "sac", {"learning_rate": 1e-3, "updates_per_step": 4}),
}


@dataclass
class Watch:
    """What the alarm did in a run; counts are of critic updates, NaN if it never happened."""

    first_alarm: float = math.nan
    diverged: float = math.nan
    alarms: int = 0
    """Times that it was raised."""
    alarmed_updates: int = 0
    rule: str = ""
    """Which one was broken first."""
    size_at_alarm: float = math.nan
    """The largest value, in units of what rewards allow."""
    largest: float = 0.0
    """That of the whole run."""
    longest_above: int = 0
    """Looks in a row at which the held-out error was too large: ``critic_health.LOOKS`` are an alarm."""
    updates: int = field(default=0, repr=False)
    _before: str = field(default="", repr=False)

    def look(self, learner: Learner) -> None:
        """After an update step."""
        if learner.updates == self.updates:
            return
        new, self.updates = learner.updates - self.updates, learner.updates
        health, alarm = learner.health, learner.alarm
        size = size_of(learner)
        self.largest = max(self.largest, size)
        self.longest_above = max(self.longest_above, health.above)
        self.alarms += bool(alarm) and not self._before
        self.alarmed_updates += new * bool(alarm)
        if alarm and math.isnan(self.first_alarm):
            self.first_alarm, self.size_at_alarm = self.updates, size
            self.rule = "held-out error" if "held-out" in alarm else "bound"
        if not size < DIVERGED and math.isnan(self.diverged):
            self.diverged = self.updates
        self._before = alarm


def size_of(learner: Learner) -> float:
    """The largest value, in units of the largest that rewards allow; infinite if a value is not finite."""
    allowed = max(map(abs, learner.experience.rewards.bound(learner.config.discount)))
    values = learner.health.values
    return max(map(abs, values)) / allowed if all(map(math.isfinite, values)) else math.inf


def run(csv_file: Path, seeds: Sequence[int], progress: Callable[[str], None]) -> None:
    """All cases with each seed, a row each; a table and a picture."""
    for seed, case in missing(csv_file, seeds, CASES):
        found = _measure(case, seed)
        append(csv_file, found)
        progress(f"{case}, seed {seed}: {found}")
    table = Table(
        "case", "seed", "updates", "alarms", "alarmed", "first alarm", "diverged", "lead", "largest"
    )
    for row in rows(csv_file):
        lead = float(row["diverged"]) - float(row["first_alarm"])
        names = ("case", "seed", "updates", "alarms", "alarmed_updates", "first_alarm", "diverged")
        table.add_row(*(row[name] for name in names), f"{lead:g}", row["largest"])
    Console().print(table)
    keep_picture(csv_file, _drawn(rows(csv_file)), progress)


def _drawn(found: Sequence[Mapping[str, str]]) -> bytes:
    from launch.figures import Dots, dots

    def part(label: str, value: Callable[[Mapping[str, str]], float], **how: Any) -> Dots:
        groups = [(case, np.array([value(row) for row in found if row["case"] == case])) for case in CASES]
        return Dots(label, groups, **how)

    divergence = [("called a divergence", DIVERGED)]
    return dots(
        f"The critics' alarm, {UPDATES:,} updates or until values diverge",
        [
            part(
                "largest value /\nwhat rewards allow",
                lambda row: float(row["largest"]),
                lines=divergence,
                log=True,
            ),
            part(
                "the same at\nthe first alarm",
                lambda row: float(row["size_at_alarm"]),
                log=True,
            ),
            part(
                "updates from alarm\nto divergence",
                lambda row: float(row["diverged"]) - float(row["first_alarm"]),
                log=True,
            ),
            part(
                "alarmed,\n% of updates",
                lambda row: 100.0 * float(row["alarmed_updates"]) / float(row["updates"]),
            ),
        ],
    )


def _measure(name: str, seed: int) -> dict[str, object]:
    case, watch, began = CASES[name], Watch(), time.monotonic()
    if case.offline:
        _offline(case, seed, watch)
    else:
        _online(case, seed, watch)
    found = {key: value for key, value in asdict(watch).items() if not key.startswith("_")}
    shown = {k: f"{v:.4g}" if isinstance(v, float) else v for k, v in found.items()}
    for key in ("first_alarm", "diverged"):
        shown[key] = f"{found[key]:.0f}"
    return {"case": name, "seed": seed, **shown, "wall_s": round(time.monotonic() - began, 1)}


class _DivergedError(Exception):
    """Nothing more is to be learned from this run."""


def _online(case: Case, seed: int, watch: Watch) -> None:
    from learners.environments.catalogue import find
    from learners.environments.settings import TrainingSettings
    from learners.environments.training import Training
    from learners.presets import preset

    learner = preset(case.algorithm, {**SMALL, **case.settings})
    steps = UPDATES // learner.updates_per_step + learner.warmup

    def look(training: Training) -> None:
        if training.learner is not None:
            watch.look(training.learner)
            if not math.isnan(watch.diverged):
                raise _DivergedError

    with tempfile.TemporaryDirectory(prefix="sandlot-alarm-") as scratch:
        prior = Path(scratch) / "prior" if case.shown else None
        if prior is not None:
            _demonstrate(prior, seed)
        settings = TrainingSettings(
            environment=case.environment,
            algorithm=case.algorithm,
            learner=learner,
            steps=steps,
            seed=seed,
            evaluate_every=steps,
            evaluation_episodes=1,
            checkpoint_every=steps,
        )
        training = Training(find(case.environment), Path(scratch) / "run", settings, prior=prior, watch=look)
        try:
            training.run()
        except _DivergedError:
            pass
        finally:
            training.close()


def _offline(case: Case, seed: int, watch: Watch) -> None:
    from launch.experiments.swing_up_demonstrator import demonstrations
    from learners.environments.contract import environment_contract
    from learners.environments.swing_up import SwingUp
    from learners.learner import Learner
    from learners.presets import preset

    contract = environment_contract(SwingUp(), case.environment)
    learner = Learner(contract, preset(case.algorithm, {**SMALL, **case.settings}), seed)
    for episode in demonstrations(DEMONSTRATIONS, seed):
        learner.add("demonstrations", episode)
    while learner.updates < UPDATES and math.isnan(watch.diverged):
        learner.pretrain(1)
        watch.look(learner)


def _demonstrate(folder: Path, seed: int) -> None:
    from launch.experiments.swing_up_demonstrator import demonstrations, write_episodes

    write_episodes(folder / "demonstrations.journal", demonstrations(DEMONSTRATIONS, seed))
