"""What a number of episodes proves: bounds on success rates, tails, paired comparisons, and how well a twin
ranks policies.

Bounds are exact or resampled, one-sided at 95 % unless said otherwise; none of them may be looked at again
and again while episodes are added until it pleases (a test of fixed size).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

CONFIDENCE = 0.95


def success_rate_bound(successes: int, episodes: int, confidence: float = CONFIDENCE) -> float:
    """One-sided lower bound on a success rate: it is higher with ``confidence`` (Clopper & Pearson 1934). 0
    if nothing succeeded or nothing was tried."""
    if successes == 0:
        return 0.0
    from scipy.special import betaincinv  # a quarter of a second that the smoke gate's process has no use for

    return float(betaincinv(successes, episodes - successes + 1, 1.0 - confidence))


def failure_rate_bound(failures: int, episodes: int, confidence: float = CONFIDENCE) -> float:
    """One-sided upper bound on a failure rate; 1 if everything failed or nothing was tried."""
    return 1.0 - success_rate_bound(episodes - failures, episodes, confidence)


def failures_allowed(episodes: int, rate: float, confidence: float = CONFIDENCE) -> int:
    """With how many failures the success rate is still above ``rate``; -1 if so few episodes never tell."""
    allowed = -1
    while allowed < episodes and success_rate_bound(episodes - allowed - 1, episodes, confidence) >= rate:
        allowed += 1
    return allowed


def tail_mean(values: Array, share: float = 0.1) -> float:
    """Conditional value at risk: the mean of the worst ``share`` of the values, at least of the worst one
    (Rockafellar & Uryasev 2000)."""
    worst = np.sort(values)[: max(1, round(share * len(values)))]
    return float(worst.mean())


def tail_mean_bound(values: Array, seed: int, share: float = 0.1, resamples: int = 2000) -> float:
    """One-sided lower bound on the tail mean, by the percentile bootstrap (Efron 1979)."""
    rng = np.random.default_rng(seed)
    drawn = np.sort(values[rng.integers(len(values), size=(resamples, len(values)))], axis=1)
    tails = drawn[:, : max(1, round(share * len(values)))].mean(axis=1)
    return float(np.quantile(tails, 1.0 - CONFIDENCE))


def worse_p_value(candidate: Flags, deployed: Flags) -> float:
    """How likely so many lost episodes are, or more, if a candidate is as good as what is deployed, both in
    the same episodes: McNemar's test, exact and one-sided. Small: the candidate is worse."""
    lost, won = int((deployed & ~candidate).sum()), int((candidate & ~deployed).sum())
    pairs = lost + won
    return sum(math.comb(pairs, k) for k in range(lost, pairs + 1)) / (1 << pairs)


def rank_violation(twin: Array, robot: Array) -> float:
    """Mean maximum rank violation: for each policy the largest difference on the robot to one that the twin
    orders the other way, averaged (Li et al. 2024, SIMPLER, arXiv 2405.05941). 0: the twin's order is the
    robot's; in the unit of ``robot``, shapes (n_policies,)."""
    gaps = np.abs(robot[:, None] - robot[None, :])
    wrong = (twin[:, None] < twin[None, :]) != (robot[:, None] < robot[None, :])
    return float((gaps * wrong).max(axis=1).mean())


def correlation(twin: Array, robot: Array) -> float:
    """Pearson's r; NaN if either does not vary."""
    if np.ptp(twin) == 0 or np.ptp(robot) == 0:
        return float("nan")
    return float(np.corrcoef(twin, robot)[0, 1])


def calibration_error(twin: Array, robot: Array) -> float:
    """Mean absolute difference between what the twin promised and what the robot did."""
    return float(np.abs(twin - robot).mean())
