"""The ladder varies, stays within its bounds, and takes advice without trusting it blindly."""

from __future__ import annotations

import numpy as np
import pytest

from robot.practice.recovery import RecoveryLadder


class Adviser:
    def oriented(self, state) -> bool:
        return True

    def recovery_signs(self, state, command) -> dict[str, float]:
        return {"steering": -1.0}


def draws(spec, rung: int, task: object, count: int = 400) -> np.ndarray:
    ladder = RecoveryLadder(spec, np.random.default_rng(0))
    return np.array([ladder.command(rung, np.zeros(spec.state_layout.size), task) for _ in range(count)])


@pytest.mark.parametrize("task", [None, Adviser()])
def test_commands_are_the_spec_s_and_steering_varies_within_it(spec, task) -> None:
    for rung in range(len(spec.practice.recovery) * spec.practice.cycles):
        step = spec.practice.recovery[rung % len(spec.practice.recovery)]
        found = draws(spec, rung, task)
        assert np.all(found[:, 0] == step.command["speed"])
        assert np.abs(found[:, 1]).max() <= step.command["steering"]
        assert len(np.unique(found[:, 1])) == len(found)


def test_without_advice_both_sides_are_as_likely(spec) -> None:
    assert abs((draws(spec, 0, None)[:, 1] > 0).mean() - 0.5) < 0.1


def test_advice_is_mostly_followed_with_lock(spec) -> None:
    steering = draws(spec, 0, Adviser())[:, 1]
    assert 0.8 < (steering < 0).mean() < 0.98
    assert np.median(steering) < -0.5 * 0.26


def test_one_seed_gives_one_ladder(spec) -> None:
    assert np.array_equal(draws(spec, 1, None), draws(spec, 1, None))
