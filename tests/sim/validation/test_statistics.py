"""Against published tables, closed forms and simulated coverage."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from sim.validation.statistics import (
    calibration_error,
    correlation,
    failure_rate_bound,
    failures_allowed,
    rank_violation,
    success_rate_bound,
    tail_mean,
    tail_mean_bound,
    worse_p_value,
)


@pytest.mark.parametrize(("n", "bound"), [(59, 0.9505), (200, 0.9851), (400, 0.9925), (1000, 0.9970)])
def test_all_successes_prove_the_closed_form(n: int, bound: float) -> None:
    assert success_rate_bound(n, n) == pytest.approx(0.05 ** (1 / n), abs=1e-12)
    assert success_rate_bound(n, n) == pytest.approx(bound, abs=5e-5)
    assert failure_rate_bound(0, n) == pytest.approx(1 - 0.05 ** (1 / n), abs=1e-12)


@pytest.mark.parametrize(("n", "allowed"), [(58, -1), (59, 0), (200, 4), (400, 12), (1000, 38)])
def test_failures_that_95_percent_allow(n: int, allowed: int) -> None:
    assert failures_allowed(n, 0.95) == allowed


def test_the_bound_is_the_rate_at_which_so_many_successes_are_as_rare_as_said() -> None:
    for successes, n in ((1, 3), (37, 40), (390, 400)):
        bound = success_rate_bound(successes, n)
        assert stats.binom.sf(successes - 1, n, bound) == pytest.approx(0.05, abs=1e-9)
    assert success_rate_bound(0, 10) == success_rate_bound(0, 0) == 0.0
    assert failure_rate_bound(10, 10) == failure_rate_bound(0, 0) == 1.0


def test_the_tail_is_the_worst_tenth() -> None:
    assert tail_mean(np.arange(100.0)) == 4.5
    assert tail_mean(np.array([3.0, 1.0, 2.0])) == 1.0


def test_the_bound_on_the_tail_covers_it_as_often_as_said() -> None:
    rng = np.random.default_rng(0)
    true = stats.norm.expect(lambda x: x, ub=stats.norm.ppf(0.1), conditional=True)
    covered = [tail_mean_bound(rng.normal(size=400), k, resamples=400) <= true for k in range(300)]
    # The percentile bootstrap is a little optimistic in the tail; 300 runs tell 0.95 from 0.90.
    assert 0.91 <= np.mean(covered) <= 0.99


def test_a_paired_test_counts_only_episodes_that_differ() -> None:
    same = np.ones(400, bool)
    assert worse_p_value(same, same) == 1.0
    worse = same.copy()
    worse[:5] = False
    assert worse_p_value(worse, same) == pytest.approx(0.5**5)
    assert worse_p_value(same, worse) == 1.0
    mixed = same.copy()
    mixed[5:8] = False  # three lost that the other won, five the other way round
    assert worse_p_value(mixed, worse) == pytest.approx(stats.binom.sf(2, 8, 0.5))


def test_rank_violation_is_what_a_wrong_choice_costs_on_the_robot() -> None:
    robot = np.array([0.1, 0.5, 0.9])
    assert rank_violation(robot, robot) == rank_violation(2 * robot, robot) == 0.0
    # The twin swaps the last two: each of them is wrong by 0.4, the first by nothing.
    assert rank_violation(np.array([0.1, 0.9, 0.5]), robot) == pytest.approx(0.8 / 3)
    assert rank_violation(-robot, robot) == pytest.approx((0.8 + 0.4 + 0.8) / 3)


def test_correlation_and_calibration() -> None:
    robot = np.array([0.1, 0.5, 0.9])
    assert correlation(0.5 * robot, robot) == pytest.approx(1.0)
    assert np.isnan(correlation(np.ones(3), robot))
    assert calibration_error(robot + 0.1, robot) == pytest.approx(0.1)
