"""``sandlot experiment``: comparisons of cases over seeds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ExperimentOptions:
    """What the experiments that compare cases over seeds have in common."""

    csv: Path
    """Where the rows go; a row that is there is not run again. A picture lies beside it."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds, a run of every case each."""


@dataclass(frozen=True)
class ExperimentAlarmOptions(ExperimentOptions):
    """Is the critics' alarm silent in long healthy runs, and early before divergence?

    A row of a CSV for each run, a table and a picture; about half an hour of a core for each seed, resumable.

    Example: sandlot experiment alarm --csv benchmarks/alarm.csv --seeds 0 1
    """


@dataclass(frozen=True)
class ExperimentAvtdOptions(ExperimentOptions):
    """AVTD against each of its regularisers alone, on a task whose observations are mostly noise.

    A row of a CSV for each evaluation, and a picture; resumable.

    Example: sandlot experiment avtd --csv benchmarks/avtd.csv --seeds 0 1 2
    """


@dataclass(frozen=True)
class ExperimentGrowthOptions(ExperimentOptions):
    """The whole action range, a growing and a fixed part of it, on a load that hangs and one that stands.

    A row of a CSV for each evaluation, a table and a picture; resumable.

    Example: sandlot experiment growth --csv benchmarks/growth.csv --seeds 0 1 2
    """


@dataclass(frozen=True)
class ExperimentConstraintOptions(ExperimentOptions):
    """PID against plain Lagrangian, each with its best integral gain: overshoot and swing of the cost.

    On Point-Circle: a row of a CSV for each episode, and a picture; resumable.

    Example: sandlot experiment constraint --csv benchmarks/constraint.csv --seeds 1 2 3
    """


@dataclass(frozen=True)
class ExperimentInterventionOptions(ExperimentOptions):
    """Practice with and without a simulated person who takes over before the car hits a wall.

    A row of a CSV for each minute, a table and a picture; some ten minutes of a core for each run, resumable.

    Example: sandlot experiment intervention --csv benchmarks/intervention.csv --seeds 0 1 2
    """


@dataclass(frozen=True)
class ExperimentOfflineOptions(ExperimentOptions):
    """BC, IQL and IDQL on data with two modes.

    A row of a CSV each, and a picture; resumable.

    Example: sandlot experiment offline --csv benchmarks/offline.csv --seeds 0 1 2
    """


@dataclass(frozen=True)
class ExperimentPriorOptions(ExperimentOptions):
    """RLPD on a sparse task, and without one of its parts each; BC, IQL and IDQL on the same data.

    A row of a CSV for each evaluation, and a picture; resumable.

    Example: sandlot experiment prior --csv benchmarks/prior.csv --seeds 0 1 2
    """


@dataclass(frozen=True)
class ExperimentRealityGapOptions(ExperimentOptions):
    """What calibration is for: policies from three kinds of twins, driven on robots that they do not know.

    They practised on the twin as the robot's file has it, on the twin identified from a log of the robot,
    and on all cars that this calibration allows; the robots' parameters are hidden. A row of a CSV each, a
    table and a picture; some five hours of a core for three seeds, resumable.

    Example: sandlot experiment reality-gap --csv benchmarks/reality_gap.csv --seeds 0 1 2
    """


@dataclass(frozen=True)
class ExperimentReturnsOptions(ExperimentOptions):
    """SAC, DroQ and ten critics, ours and others', on Hopper, HalfCheetah and cheetah-run.

    A row of a CSV for each evaluation, and a picture of each environment; many hours, resumable.

    Example: sandlot experiment returns --csv runs/returns.csv --seeds 0 1 2

    Some of it: sandlot experiment returns --csv runs/returns.csv --cases droq --environments Hopper-v5
    """

    cases: tuple[str, ...] = ()
    """Which of sac, "sb3 sac", droq, "sbx droq" and "10 critics"; all without any."""
    environments: tuple[str, ...] = ()
    """Which of Hopper-v5, HalfCheetah-v5 and dm_control/cheetah-run; all without any."""


@dataclass(frozen=True)
class ExperimentSpeedOptions(ExperimentOptions):
    """Critic updates a second on one core, beside bare products, Stable-Baselines3 and SBX.

    The bare products are those of an update; packages count where they are installed. A row of a CSV for each
    time that a case is measured, a table and a picture; a minute or two for each seed, resumable.

    Example: sandlot experiment speed --csv benchmarks/speed.csv --seeds 0 1 2
    """
