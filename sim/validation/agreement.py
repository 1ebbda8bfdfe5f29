"""G8, whether the twin orders policies as the robot does: both drove the same ones.

Compared are scores (``sim.validation.score``). Pearson's r says how well one foretells the other, the mean
maximum rank violation what is lost by believing the twin's order, the calibration error how far its promises
are off (Li et al. 2024, SIMPLER, arXiv 2405.05941).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from robot.validation_report import GateResult
from sim.episode_results import EpisodeResults
from sim.validation.score import Pair
from sim.validation.statistics import calibration_error, correlation, rank_violation
from sim.validation.targets import Targets

NAME = "G8 twin against robot"


@dataclass(frozen=True)
class Agreement:
    """Pearson's r (NaN if either does not vary), mean maximum rank violation [1] and calibration error
    [1]."""

    policies: int
    r: float
    rank_violation: float
    calibration_error: float


def laps_and_failures(*results: EpisodeResults) -> tuple[int, int]:
    """Of episodes: whole laps, and one failure for each that did not succeed."""
    laps = sum(int(np.floor(r.rows["cycles"] + 1e-9).clip(0).sum()) for r in results)
    return laps, sum(len(r) - r.successes for r in results)


def agreement(pairs: Sequence[Pair]) -> Agreement:
    """Of at least two policies."""
    twin, robot = np.array([p.twin for p in pairs]), np.array([p.robot for p in pairs])
    return Agreement(
        len(pairs), correlation(twin, robot), rank_violation(twin, robot), calibration_error(twin, robot)
    )


def agreement_gate(pairs: Sequence[Pair], targets: Targets, source: str) -> GateResult:
    """Never a refusal: below the bar the twin's word is advisory."""
    rule = (
        f"over at least {targets.policies:g} policies with results of both, Pearson's r at least "
        f"{targets.correlation:g} and the mean maximum rank violation at most {targets.rank_violation:g}; "
        "measured: r"
    )
    if len(pairs) < targets.policies:
        why = f"{len(pairs)} of {targets.policies:g} policies have results of both in {source}"
        return GateResult(NAME, "skipped", rule, detail=why)
    found = agreement(pairs)
    good = found.r >= targets.correlation and found.rank_violation <= targets.rank_violation
    return GateResult(
        NAME,
        "pass" if good else "advisory",  # a NaN is advisory
        rule,
        None if np.isnan(found.r) else found.r,
        targets.correlation,
        f"{found.policies} policies in {source}: r {found.r:.2f}, mean maximum rank violation "
        f"{found.rank_violation:.3f}, calibration error {found.calibration_error:.3f}"
        + ("" if good else "; the twin's word is advisory"),
    )
