"""Stuck in seconds and metres, crash in g, flip by tilt: at, just under and just over each threshold."""

from __future__ import annotations

import numpy as np
import pytest

from robot.practice.failures import Failure, FailureDetector
from robot.spec import RobotSpec

G = 9.80665
S = 1_000_000_000


@pytest.fixture
def state(spec: RobotSpec) -> np.ndarray:
    state = np.zeros(spec.state_layout.size)
    state[spec.state_layout.index("upright")] = 1.0
    return state


@pytest.fixture
def detector(spec: RobotSpec, state: np.ndarray) -> FailureDetector:
    detector = FailureDetector(spec)
    detector.reset(0, state)
    return detector


def test_stuck_after_exactly_the_seconds(detector, spec, state) -> None:
    limit = round(spec.practice.stuck_seconds * S)
    assert detector.update(limit - 1, state) is None
    assert detector.update(limit, state) is Failure.STUCK


@pytest.mark.parametrize(("moved", "stuck"), [(0.999, True), (1.0, False)])
def test_stuck_is_by_metres(detector, spec, state, moved: float, stuck: bool) -> None:
    limit = round(spec.practice.stuck_seconds * S)
    state[0] = moved * spec.practice.stuck_metres
    assert detector.update(limit - 1, state) is None
    assert (detector.update(limit, state) is Failure.STUCK) == stuck


def test_stuck_does_not_depend_on_the_rate_of_calls(spec, state) -> None:
    for period in (S // 100, S // 20, S // 3):
        detector = FailureDetector(spec)
        detector.reset(0, state)
        t = 0
        while detector.update(t, state) is None:
            t += period
        assert 0 <= t - spec.practice.stuck_seconds * S < period


def test_rocking_within_the_radius_is_stuck_and_creeping_out_is_not(spec, state) -> None:
    rocking, creeping = FailureDetector(spec), FailureDetector(spec)
    rocking.reset(0, state)
    creeping.reset(0, state)
    found = []
    for i in range(200):
        state[0] = 0.1 * (i % 2)
        found.append(rocking.update(i * S // 20, state))
        state[0] = 0.11 * i / 20  # 0.11 m/s: 0.22 m in the 2 s
        assert creeping.update(i * S // 20, state) is None
    assert found.count(Failure.STUCK) == 1


@pytest.mark.parametrize(("g", "crash"), [(0.999, False), (1.0, True)])
def test_crash_is_by_g(detector, spec, state, g: float, crash: bool) -> None:
    state[spec.state_layout.index("impact")] = g * spec.practice.crash_g * G
    assert (detector.update(S, state) is Failure.CRASH) == crash


def test_an_impact_still_ringing_at_the_start_is_no_crash_but_the_next_is(spec, state) -> None:
    impact = spec.state_layout.index("impact")
    state[impact] = 10 * G
    detector = FailureDetector(spec)
    detector.reset(0, state)
    assert detector.update(S // 20, state) is None
    state[impact] = 0.0
    assert detector.update(2 * S // 20, state) is None
    state[impact] = 10 * G
    assert detector.update(3 * S // 20, state) is Failure.CRASH


@pytest.mark.parametrize(("margin", "flip"), [(-1e-9, True), (0.0, False)])
def test_flip_is_by_tilt_and_comes_before_the_crash_it_caused(detector, spec, state, margin, flip) -> None:
    state[spec.state_layout.index("upright")] = spec.practice.flip_cosine + margin
    state[spec.state_layout.index("impact")] = 10 * G
    assert detector.update(S, state) is (Failure.FLIP if flip else Failure.CRASH)


def test_one_report_until_reset(detector, spec, state) -> None:
    state[spec.state_layout.index("upright")] = 0.0
    assert [detector.update(i * S, state) for i in range(1, 5)] == [Failure.FLIP, None, None, None]
    detector.reset(9 * S, state)
    assert detector.update(10 * S, state) is Failure.FLIP


def test_a_person_may_stand_still(detector, spec, state) -> None:
    assert all(detector.update(i * S, state, may_stand=True) is None for i in range(20))
    assert detector.update(20 * S, state) is None  # the clock starts when the person stops driving
