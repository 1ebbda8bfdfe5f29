"""Gates that judge episodes: each passes what it should, and fails on one thing too many."""

from __future__ import annotations

import math

import numpy as np

from robot.safety_spec import Limit
from sim.episode_results import Ending, EpisodeResults, episode_dtype
from sim.validation import gates
from sim.validation.examination import overall
from sim.validation.gates import Cell
from sim.validation.statistics import success_rate_bound
from sim.validation.targets import Targets

TARGETS = Targets()
LIMITS = (
    Limit("flip", "upright", "1", "category1", "it lies on its side", lower=0.3),
    Limit("warm", "temperature", "degC", "reduce", "so that it cools", upper=70.0),
)


def results(episodes: int, failures: int = 0, score: float = 100.0, worst: float = 100.0) -> EpisodeResults:
    """Episodes of which the first fail with return ``worst``; nothing violated."""
    rows = np.zeros(episodes, episode_dtype(0, len(LIMITS)))
    rows["number"] = np.arange(episodes)
    rows["success"], rows["score"] = True, score
    rows["ending"], rows["margin"] = Ending.FINISHED, 1.0
    rows["success"][:failures], rows["ending"][:failures] = False, Ending.CRASH
    rows["score"][:failures] = worst
    return EpisodeResults(rows, (), tuple(limit.name for limit in LIMITS), seed=0)


def violating(limit: int) -> EpisodeResults:
    found = results(400)
    found.rows["violated"][7, limit] = True
    return found


def cell(rate: float, label: str = "here", episodes: int = 10) -> Cell:
    return Cell(label, results(episodes, round((1.0 - rate) * episodes)))


def test_nominal_is_held_to_the_exact_bound() -> None:
    for episodes, allowed in ((59, 0), (400, 12)):
        good = gates.nominal_gate(results(episodes, allowed), LIMITS, TARGETS)
        bad = gates.nominal_gate(results(episodes, allowed + 1), LIMITS, TARGETS)
        assert (good.verdict, bad.verdict) == ("pass", "fail")
        assert bad.measured == success_rate_bound(episodes - allowed - 1, episodes)
        assert bad.limit == TARGETS.nominal_success
        assert f"{allowed + 1} crashed" in bad.detail


def test_fifty_eight_successes_without_a_failure_prove_too_little() -> None:
    assert gates.nominal_gate(results(58), LIMITS, TARGETS).verdict == "fail"


def test_one_violation_of_a_stopping_limit_fails_and_of_a_reducing_one_does_not() -> None:
    calm = results(400)
    for found in (
        gates.nominal_gate(violating(0), LIMITS, TARGETS),
        gates.randomised_gate(violating(0), calm, LIMITS, TARGETS),
        gates.faults_gate([cell(1.0), Cell("late", violating(0))], LIMITS),
    ):
        assert found.verdict == "fail"
        assert "flip in 1" in found.detail
    for found in (
        gates.nominal_gate(violating(1), LIMITS, TARGETS),
        gates.randomised_gate(violating(1), calm, LIMITS, TARGETS),
        gates.faults_gate([Cell("late", violating(1))], LIMITS),
    ):
        assert found.verdict == "pass"


def test_faults_may_cost_the_task_but_no_limit() -> None:
    assert gates.faults_gate([cell(0.0)], LIMITS).verdict == "pass"


def test_the_worst_tenth_is_measured_against_the_nominal_mean() -> None:
    calm = results(400)
    assert gates.tail_gate(results(400, 10, worst=20.0), calm, TARGETS, 0).verdict == "pass"
    found = gates.tail_gate(results(400, 40, worst=20.0), calm, TARGETS, 0)
    assert found.verdict == "fail"
    assert found.measured is not None
    assert found.measured < 0.4


def test_a_policy_without_a_positive_return_has_no_tail_to_be_proud_of() -> None:
    lazy = results(400, score=0.0)
    assert gates.tail_gate(lazy, lazy, TARGETS, 0).verdict == "fail"


def test_one_hole_in_the_likely_range_fails_and_one_beyond_is_told() -> None:
    good = gates.worst_case_gate([cell(1.0), cell(0.5)], [cell(0.0, "mass 9 kg")], [], TARGETS)
    assert good.verdict == "pass"
    assert "mass 9 kg" in good.detail
    bad = gates.worst_case_gate([cell(1.0), cell(0.4, "mass 4 kg")], [], ["crashed above mass 3.9"], TARGETS)
    assert bad.verdict == "fail"
    assert "fails at mass 4 kg" in bad.detail
    assert "crashed above mass 3.9" in bad.detail


def test_the_latency_margin_ends_before_the_first_delay_that_fails() -> None:
    delays = np.array([0.0, 0.01, 0.02, 0.03])
    assert gates.latency_margin(delays, np.array([1.0, 0.9, 0.8, 1.0]), 0.9) == 0.01
    assert gates.latency_margin(delays, np.ones(4), 0.9) == 0.03
    assert math.isnan(gates.latency_margin(delays, np.array([0.8, 1.0, 1.0, 1.0]), 0.9))


def test_timing_holds_every_delay_that_must_be_borne() -> None:
    delays = np.array([0.0, 0.01, 0.02, 0.03])
    for rates, expected, margin in (
        ((1.0, 1.0, 0.9, 0.0), "pass", 20.0),
        ((1.0, 1.0, 0.8, 1.0), "fail", 10.0),
        ((0.0, 1.0, 1.0, 1.0), "fail", None),
    ):
        found = gates.timing_gate(delays, [cell(rate) for rate in rates], TARGETS)
        assert (found.verdict, found.measured) == (expected, margin)


def test_a_candidate_that_loses_what_the_deployed_one_drives_is_refused() -> None:
    deployed = results(400, 5)
    assert gates.comparison_gate(results(400, 8), deployed, TARGETS).verdict == "pass"
    assert gates.comparison_gate(results(400, 15), deployed, TARGETS).verdict == "fail"
    assert gates.comparison_gate(deployed, results(400, 15), TARGETS).verdict == "pass"


def test_the_whole_fails_with_any_gate_and_with_none_tried() -> None:
    good = gates.nominal_gate(results(59), LIMITS, TARGETS)
    bad = gates.nominal_gate(results(59, 1), LIMITS, TARGETS)
    other = gates.skipped("G8", "the twin is right", "no robot")
    assert overall([good, other]) == "pass"
    assert overall([good, other, bad]) == "fail"
    assert overall([other]) == "fail"
