"""Transitions of several steps and action chunks, against what a person would do with a list of rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from step_histories import DISCOUNT, Wanted, expected, histories, stream

from learners.config import LearnerConfig
from learners.prior_data import Experience
from learners.replay import Replay
from robot.contract import TaskContract
from robot.messages import Actor

Rows = NDArray[np.void]


def check(drawn: Any, wanted: dict[int, Wanted]) -> None:
    """Everything that can be drawn was, and is what it should be."""
    assert {int(o[0]) for o in drawn.observation} == set(wanted)
    for k, observation in enumerate(drawn.observation):
        want = wanted[int(observation[0])]
        np.testing.assert_allclose(drawn.reward[k], want.reward, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(drawn.discount[k], want.discount, rtol=1e-6)
        if want.following is not None:
            assert int(drawn.next_observation[k, 0]) == want.following


@pytest.mark.slow
@settings(deadline=None, max_examples=200)
@given(histories, st.integers(2, 70), st.integers(1, 9), st.integers(1, 6))
def test_paths_lead_where_the_definition_says(
    contract: TaskContract, happenings: list[tuple[str, str, Actor]], capacity: int, count: int, cut: int
) -> None:
    """Whatever ends an episode or hands over, however the ring has turned and rows were cut into messages."""
    sent = stream(contract.step_dtype(), happenings)
    replay = Replay(contract.step_dtype(), capacity)
    waiting: list[tuple[str, Rows]] = []
    for number, (session, row) in enumerate(sent):
        if waiting and (waiting[0][0] != session or number % cut == 0):
            flush(replay, waiting)
        waiting.append((session, row))
    flush(replay, waiting)
    wanted = expected(sent, capacity, count, (Actor.POLICY,))
    assert replay.transitions == len(wanted)
    if not wanted:
        return
    draws, rng = 40 * len(wanted), np.random.default_rng
    check(replay.sample(draws, rng(1), count, DISCOUNT), wanted)
    chunks = replay.sample_chunks(draws, rng(1), count, DISCOUNT)
    check(chunks, wanted)
    for first, length, action in zip(chunks.observation[:, 0], chunks.length, chunks.action, strict=True):
        numbers = wanted[int(first)].numbers
        assert length == len(numbers)
        padded = [*(i + 1 for i in numbers), *[0] * (count - len(numbers))]
        assert action.tolist() == [[i, i] for i in padded]


def flush(replay: Replay, waiting: list[tuple[str, Rows]]) -> None:
    rows = np.concatenate([row for _, row in waiting])
    replay.add(waiting[0][0], rows, rows["actor"] == Actor.POLICY)
    waiting.clear()


@pytest.mark.slow
@settings(deadline=None, max_examples=100)
@given(histories, st.integers(1, 5))
def test_practice_and_demonstrations_each_keep_to_themselves(
    contract: TaskContract, happenings: list[tuple[str, str, Actor]], count: int
) -> None:
    """A takeover ends the policy's path and begins a demonstrated one; a recovery is in neither."""
    sent = stream(contract.step_dtype(), happenings)
    experience = Experience(contract, LearnerConfig(n_step=count, discount=DISCOUNT))
    for session, row in sent:
        experience.add(session, row)
    for replay, actors in (
        (experience.practice, (Actor.POLICY,)),
        (experience.prior, (Actor.HUMAN, Actor.SCRIPT)),
    ):
        wanted = expected(sent, len(sent), count, actors)
        assert replay.transitions == len(wanted)
        if wanted:
            check(replay.sample(40 * len(wanted), np.random.default_rng(0), count, DISCOUNT), wanted)


def test_one_step_is_the_plain_transition(contract: TaskContract, make_rows: Callable[..., Rows]) -> None:
    rows = make_rows(9, terminated=True)
    replay = Replay(contract.step_dtype(), 20)
    replay.add("s", rows)
    found = replay.sample(100, np.random.default_rng(0), 1, DISCOUNT)
    chunks = replay.sample_chunks(100, np.random.default_rng(0), 1, DISCOUNT)
    assert set(found.discount) == {np.float32(DISCOUNT), np.float32(0.0)}
    np.testing.assert_array_equal(chunks.action[:, 0], found.action)
    for ours, theirs in zip(found[2:5], chunks[3:], strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("count", [1, 3])
def test_the_learner_s_batch_has_the_sums_that_were_asked_for(
    contract: TaskContract, make_rows: Callable[..., Rows], count: int
) -> None:
    rows = make_rows(12)
    rows["reward"] = 1.0
    experience = Experience(contract, LearnerConfig(n_step=count, discount=DISCOUNT))
    experience.add("s", rows)
    batch = experience.batch(np.random.default_rng(0))
    sums = [sum(DISCOUNT**k for k in range(length)) for length in range(1, count + 1)]
    np.testing.assert_allclose(np.unique(batch.reward), sums, rtol=1e-6)
