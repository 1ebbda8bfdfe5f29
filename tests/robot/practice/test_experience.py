"""Rows: sequences without gaps, episodes closed once, and numbers that survive a restart."""

from __future__ import annotations

import numpy as np
import pytest

from robot.board import Board
from robot.messages import Actor
from robot.practice.experience import Experience
from robot.task import Outcome

OUTCOME = Outcome(np.array([0.5, 0.0, 0.1, 0.0]), np.array([0.2]), 0)


@pytest.fixture
def board(tmp_path, spec, contract) -> Board:
    return Board(tmp_path, spec, contract, create=True)


def act(experience: Experience, contract, time_ns: int = 1) -> None:
    experience.act(
        time_ns, np.full(contract.observation_size, time_ns, np.float32), np.zeros(2), Actor.POLICY, 7
    )


def rows(board: Board) -> np.ndarray:
    return board.steps.peek(10_000)


def test_an_episode_stores_every_frame_once(board, contract) -> None:
    experience = Experience(board, contract)
    experience.begin()
    for i in range(5):
        act(experience, contract, i)
        experience.finish(OUTCOME, 0.5, terminated=i == 4)
    experience.close(5, np.full(contract.observation_size, 5, np.float32))
    found = rows(board)
    assert found["observation"][:, 0].tolist() == [0, 1, 2, 3, 4, 5]
    assert found["step"].tolist() == found["sequence"].tolist() == [0, 1, 2, 3, 4, 5]
    assert found["last"].tolist() == [False] * 5 + [True]
    assert found["terminated"].tolist() == [False] * 4 + [True, False]
    assert found["reward"].tolist() == [0.5] * 5 + [0.0]


def test_a_discarded_action_leaves_its_observation_only(board, contract) -> None:
    experience = Experience(board, contract)
    experience.begin()
    for i in range(3):
        act(experience, contract, i)
        if i < 2:
            experience.finish(OUTCOME, 0.5)
    experience.discard()
    found = rows(board)
    assert found["step"].tolist() == [0, 1, 2] and found["last"].tolist() == [False, False, True]
    assert found["action"][2].tolist() == [0.0, 0.0] and not found["terminated"].any()
    experience.begin()
    act(experience, contract)
    experience.discard()
    assert len(rows(board)) == 3, "an episode without a finished step leaves nothing"


def test_a_stall_keeps_rows_from_pairing_up(board, contract) -> None:
    experience = Experience(board, contract)
    experience.begin()
    for periods in (1, 3, 1):
        act(experience, contract)
        experience.finish(OUTCOME, 0.0, periods=periods)
    assert rows(board)["step"].tolist() == [0, 1, 4]


def test_a_pilot_that_died_in_an_episode_never_shares_its_number(board, contract) -> None:
    first = Experience(board, contract)
    first.begin()
    for i in range(3):
        act(first, contract, i)
        first.finish(OUTCOME, 0.0)
    board.steps.consume(3)  # the courier has taken them: the number must not depend on what still waits
    second = Experience(board, contract)
    second.begin()
    act(second, contract)
    second.finish(OUTCOME, 0.0)
    found = rows(board)
    assert found["episode"].tolist() == [3] and found["sequence"].tolist() == [3]


def test_a_full_ring_loses_rows_but_never_joins_what_is_left(board, contract) -> None:
    experience = Experience(board, contract)
    experience.begin()
    slots = board.steps._slots
    for i in range(slots + 10):
        act(experience, contract, i)
        experience.finish(OUTCOME, 0.0)
    board.steps.consume(slots // 2)
    for i in range(5):
        act(experience, contract, i)
        experience.finish(OUTCOME, 0.0)
    found = rows(board)
    assert board.steps.dropped == 10 and experience.written == slots + 5
    assert np.all(np.diff(found["sequence"].astype(int)) == 1)
    assert np.diff(found["step"].astype(int)).max() == 11
