"""What a validation asks of the twin itself: does it do what the robot did (G2), and does it order policies
as the robot does (G8)?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from calibration.book import robot_id
from launch.manifest import FILE, load_manifest
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
    """``robot``: the id (``calibration.book``) of whom the twin is held against, in a rehearsal a surrogate;
    ``logs``: its own (none: nothing to replay); ``results``: its file (``launch.results``); ``policy``: the
    SHA-256 of the one that is judged."""

    setting: Setting
    robot: str
    logs: Sequence[Path]
    results: Path
    policy: str

    def validity(self) -> GateResult:
        """G2."""
        rule = "the twin replays held-out logs of the robot"
        if not self.logs:
            return skipped(NAME, rule, f"no logs of {self.robot} (--logs)")
        recorded, _, drove, about = gather(self.logs)
        if drove != self.robot:
            raise SandlotError(
                f"{about}: {drove} drove, which says nothing of {self.robot}; name logs of that with --logs, "
                "or rehearse: --surrogate names one that takes the robot's place"
            )
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


def logs_of(robot: str, source: Path, named: Sequence[Path]) -> tuple[Path, ...]:
    """Those that were named, else a run's own if the robot with this id drove it."""
    if named or not (source.is_dir() and log_files(source) and (source / FILE).exists()):
        return tuple(named)
    run = load_manifest(source)
    return (source,) if robot_id(run.robot, run.surrogate.name, run.twin) == robot else ()
