"""What a validation asks of the twin itself: does it do what the robot did (G2), and does it order policies
as the robot does (G8)?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from launch.replay.twin import compare, gather
from launch.results import read_pairs
from robot.errors import SandlotError
from robot.log_reader import log_files
from robot.validation_report import GateResult
from sim.episode_results import EpisodeResults
from sim.rollout import Setting
from sim.validation.agreement import agreement_gate, laps_and_failures
from sim.validation.gates import skipped
from sim.validation.score import lap_score
from sim.validation.targets import targets_of
from sim.validation.twin_validity import NAME, growth, twin_validity_gate


@dataclass(frozen=True)
class TwinAndRobot:
    """``logs``: of the robot (none: nothing to replay); ``results``: the robot's file (``launch.results``);
    ``policy``: the SHA-256 of the one that is judged."""

    setting: Setting
    logs: Sequence[Path]
    results: Path
    policy: str

    def validity(self) -> GateResult:
        """G2."""
        rule = "the twin replays held-out logs of the robot"
        if not self.logs:
            return skipped(NAME, rule, "no logs of a robot (--logs)")
        recorded, spec, about = gather(self.logs)
        if spec.name != self.setting.spec.name:
            raise SandlotError(f"{about} is a log of {spec.name}, not of {self.setting.spec.name}")
        try:
            found = compare(self.setting.spec, recorded, self.setting.threads)
        except SandlotError as error:
            return skipped(NAME, rule, str(error))
        return twin_validity_gate(growth(found), targets_of(self.setting.spec), about)

    def agreement(self, nominal: EpisodeResults, randomised: EpisodeResults) -> GateResult:
        """G8; what was just found on the twin counts in place of what was before."""
        ours = {self.policy: lap_score(*laps_and_failures(nominal, randomised))}
        pairs = read_pairs(self.results, self.setting.course.name, ours)
        return agreement_gate(pairs, targets_of(self.setting.spec), str(self.results))


def logs_of(source: Path, named: Sequence[Path]) -> tuple[Path, ...]:
    """Those that were named, else a run's own."""
    if named:
        return tuple(named)
    return (source,) if source.is_dir() and log_files(source) else ()
