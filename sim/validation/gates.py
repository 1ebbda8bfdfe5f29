"""The gates of a validation that judge episodes: each a pure function from results to a verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robot.messages import Cause
from robot.safety_spec import Limit
from robot.validation_report import GateResult, GateVerdict
from sim.episode_results import Ending, EpisodeResults
from sim.validation.statistics import success_rate_bound, tail_mean, tail_mean_bound, worse_p_value
from sim.validation.targets import Targets

Array = NDArray[np.float64]

ENDINGS = {
    Ending.TIME: "not done in time",
    Ending.CRASH: "crashed",
    Ending.FLIP: "flipped",
    Ending.STUCK: "stuck",
    Ending.TASK: "the task's own trouble",
    Ending.STOPPED: "stopped by the safety kernel",
    Ending.DIVERGED: "physics diverged",
    Ending.NOT_FINITE: "action not finite",
}


@dataclass(frozen=True)
class Cell:
    """Some episodes that differ from others in one thing, ``label``: one parameter's value, one fault."""

    label: str
    results: EpisodeResults

    @property
    def rate(self) -> float:
        """Share that succeeded."""
        return self.results.successes / max(len(self.results), 1)


def verdict(good: bool) -> GateVerdict:
    return "pass" if good else "fail"


def skipped(name: str, rule: str, why: str) -> GateResult:
    """A gate that could not be tried, and why."""
    return GateResult(name, "skipped", rule, detail=why)


def violations(results: EpisodeResults, limits: Sequence[Limit]) -> dict[str, int]:
    """In how many episodes the truth was beyond each limit that stops a robot. Limits that only reduce are
    left out: they are reached in ordinary driving, and that is what they are for."""
    counts = results.rows["violated"].sum(axis=0).tolist()
    stopping = {limit.name for limit in limits if limit.action != "reduce"}
    return {n: int(k) for n, k in zip(results.limits, counts, strict=True) if k and n in stopping}


def endings(results: EpisodeResults) -> str:
    """What the failures were, in words, the most frequent first."""
    counts = {text: results.count(ending) for ending, text in ENDINGS.items() if results.count(ending)}
    return ", ".join(f"{n} {text}" for text, n in sorted(counts.items(), key=lambda c: -c[1]))


def ending_words(row: np.void) -> str:
    """How one episode went, such as "crashed after 3.1 s"."""
    return f"{ENDINGS.get(row['ending'], 'succeeded')} after {row['duration']:.1f} s"


def nominal_gate(results: EpisodeResults, limits: Sequence[Limit], targets: Targets) -> GateResult:
    """G3: the calibrated car succeeds, and the truth stays within every limit that stops it."""
    bound = success_rate_bound(results.successes, len(results))
    beyond = violations(results, limits)
    return GateResult(
        "G3 nominal",
        verdict(bound >= targets.nominal_success and not beyond),
        f"success rate (95 % Clopper-Pearson lower bound) at least {targets.nominal_success:g}, and no "
        "safety limit violated by the truth",
        bound,
        targets.nominal_success,
        _told(results, beyond),
    )


def randomised_gate(
    results: EpisodeResults, nominal: EpisodeResults, limits: Sequence[Limit], targets: Targets
) -> GateResult:
    """G4, success: the same over the calibration's uncertainty and generic ranges."""
    bound = success_rate_bound(results.successes, len(results))
    beyond = violations(results, limits)
    return GateResult(
        "G4 randomised",
        verdict(bound >= targets.randomised_success and not beyond),
        "over the calibration's uncertainty: success rate (95 % Clopper-Pearson lower bound) at least "
        f"{targets.randomised_success:g}, and no safety limit violated by the truth",
        bound,
        targets.randomised_success,
        f"{_told(results, beyond)}; nominal {nominal.successes} of {len(nominal)}",
    )


def tail_gate(results: EpisodeResults, nominal: EpisodeResults, targets: Targets, seed: int) -> GateResult:
    """G4, tail: the worst tenth of the randomised returns."""
    mean = float(nominal.rows["score"].mean())
    scores = np.asarray(results.rows["score"], np.float64)
    rule = (
        "CVaR of the worst tenth of randomised returns (95 % bootstrap lower bound), of the nominal mean: at "
        f"least {targets.tail_share:g}"
    )
    if not mean > 0.0:
        why = f"the nominal mean return is {mean:.4g}; a share of it says nothing: the policy earns nothing"
        return GateResult("G4 tail", "fail", rule, None, targets.tail_share, why)
    bound, tail = tail_mean_bound(scores, seed) / mean, tail_mean(scores)
    detail = f"worst tenth {tail:.4g}, nominal mean {mean:.4g}"
    return GateResult(
        "G4 tail", verdict(bound >= targets.tail_share), rule, bound, targets.tail_share, detail
    )


def worst_case_gate(cells: Sequence[Cell], extremes: Sequence[Cell], words: Sequence[str],
                    targets: Targets) -> GateResult:  # fmt: skip
    """G5: ``cells`` have one parameter at its 5th or 95th percentile and count; ``extremes`` have it at the
    1st or 99th and are told, as are the boundaries in ``words``."""
    worst = min(cells, key=lambda cell: cell.rate)
    holes = [cell.label for cell in cells if cell.rate < targets.cell_success]
    beyond = [cell.label for cell in extremes if cell.rate < targets.cell_success]
    told = [f"fails at {', '.join(holes)}"] if holes else []
    told += [f"fails at a 1st or 99th percentile, {', '.join(beyond)}"] if beyond else []
    told += words or ["no boundary found within the ranges searched"]
    return GateResult(
        "G5 worst case",
        verdict(not holes),
        "with each parameter alone at its 5th and 95th percentile at least "
        f"{targets.cell_success:g} of the episodes succeed",
        worst.rate,
        targets.cell_success,
        "; ".join(told),
    )


def latency_margin(delays: Array, rates: Array, least: float) -> float:
    """The largest delay [s] up to which every rate is at least ``least``, delays ascending; NaN if not even
    the first."""
    good = np.minimum.accumulate(rates >= least)
    return float(delays[good][-1]) if good[0] else float("nan")


def timing_gate(delays: Array, cells: Sequence[Cell], targets: Targets) -> GateResult:
    """G6: ``cells`` see everything later by ``delays`` [s], ascending."""
    rates = np.array([cell.rate for cell in cells])
    margin = latency_margin(delays, rates, targets.delayed_success)
    table = ", ".join(f"{d * 1e3:.0f} ms {r:.0%}" for d, r in zip(delays.tolist(), rates, strict=True))
    more = "or more (no limit found)" if margin == delays[-1] else "of latency margin"
    return GateResult(
        "G6 timing",
        verdict(margin >= targets.extra_delay),  # NaN fails
        f"with {targets.extra_delay * 1e3:g} ms more delay at least {targets.delayed_success:.0%} of the "
        "episodes succeed; measured: latency margin [ms]",
        None if np.isnan(margin) else margin * 1e3,
        targets.extra_delay * 1e3,
        (f"{margin * 1e3:.0f} ms {more}" if margin >= 0 else "fails without extra delay") + f"; {table}",
    )


def faults_gate(cells: Sequence[Cell], limits: Sequence[Limit]) -> GateResult:
    """G7: whatever comes of faulty observations, the truth stays within every limit that stops a robot.
    Failing the task is allowed, and so is being stopped."""
    found = {cell.label: violations(cell.results, limits) for cell in cells}
    count = sum(sum(beyond.values()) for beyond in found.values())
    told = [f"{label}: {_limits(beyond)}" for label, beyond in found.items() if beyond]
    why = [f" ({endings(c.results)}{_causes(c.results)})" if c.rate < 0.5 else "" for c in cells]
    rates = ", ".join(f"{cell.label} {cell.rate:.0%}{w}" for cell, w in zip(cells, why, strict=True))
    told += [f"success under {rates}", "serial faults are `sandlot bench faults`'s"]
    return GateResult(
        "G7 faults",
        verdict(count == 0),
        "no safety limit violated by the truth under late, dropped, repeated and wrong observations",
        float(count),
        0.0,
        "; ".join(told),
    )


def comparison_gate(candidate: EpisodeResults, deployed: EpisodeResults, targets: Targets) -> GateResult:
    """G9: the same episodes driven by both; one test of fixed size."""
    won, lost = candidate.rows["success"], deployed.rows["success"]
    p = worse_p_value(won, lost)
    speed = float(candidate.rows["speed"].mean() - deployed.rows["speed"].mean())
    return GateResult(
        "G9 against deployed",
        verdict(p >= targets.worse_p),
        "not worse than what is deployed on common random numbers: one-sided exact McNemar, p at least "
        f"{targets.worse_p:g}",
        p,
        targets.worse_p,
        f"{candidate.successes} against {deployed.successes} of {len(candidate)} succeeded; "
        f"{int((won & ~lost).sum())} only by the candidate, {int((lost & ~won).sum())} only by the deployed "
        f"one; mean speed {speed:+.2f} m/s",
    )


def _told(results: EpisodeResults, beyond: dict[str, int]) -> str:
    rows = results.rows
    told = [f"{results.successes} of {len(results)} succeeded"]
    told += [endings(results)] if endings(results) else []
    told += [f"limits violated: {_limits(beyond)}"] if beyond else []
    told += [
        f"commands altered by the kernel in {rows['altered'].mean():.2%} of ticks",
        f"mean squared change of action {rows['smoothness'].mean():.2g}",
    ]
    return "; ".join(told)


def _causes(results: EpisodeResults) -> str:
    """Why the kernel stopped those that it stopped."""
    stopped = results.rows["cause"][results.rows["ending"] == Ending.STOPPED].tolist()
    names = sorted({Cause(cause).name.lower().replace("_", " ") for cause in stopped})
    return f": {', '.join(names)}" if names else ""


def _limits(beyond: dict[str, int]) -> str:
    return ", ".join(f"{name} in {n}" for name, n in beyond.items())
