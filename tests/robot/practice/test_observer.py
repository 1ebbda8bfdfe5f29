"""History is stacked by the contract: oldest first, term by term, and filled by the first frame."""

from __future__ import annotations

import numpy as np
import pytest

from robot.contract import PREVIOUS_ACTION, ObservationTerm, task_contract
from robot.errors import ContractMismatchError
from robot.observer import Observer


class Counting:
    """Observes 10 n, 10 n + 1 under one term, n under another and the previous action."""

    name = "counting"
    reward_terms = ("nothing",)
    cost_terms = ()
    reward_weights = np.zeros(1)
    observation = (
        ObservationTerm(name="pair", unit="1", scale=1.0, elements=("a", "b"), history=3),
        ObservationTerm(name="single", unit="1", scale=1.0, history=2),
        ObservationTerm(name=PREVIOUS_ACTION, unit="1", scale=1.0, elements=("speed", "steering")),
    )

    def __init__(self) -> None:
        self.n = 0

    def reset(self, state) -> None:
        self.n = 0

    def observe(self, state, previous_action):
        n, self.n = self.n, self.n + 1
        return np.array([10 * n, 10 * n + 1, n, *previous_action], np.float32)


@pytest.fixture
def observer(spec) -> Observer:
    task = Counting()
    return Observer(task, task_contract(spec, task.name, task.observation, task.reward_terms))


def test_history_is_oldest_first_and_starts_full(observer, spec) -> None:
    state = np.zeros(spec.state_layout.size)
    for _ in range(2):  # a second episode forgets the first
        observer.reset(state)
        seen = [observer.observe(state, np.array([0.5, -0.5])) for _ in range(4)]
        assert seen[0].tolist() == [0, 1, 0, 1, 0, 1, 0, 0, 0.5, -0.5]
        assert seen[1].tolist() == [0, 1, 0, 1, 10, 11, 0, 1, 0.5, -0.5]
        assert seen[3].tolist() == [10, 11, 20, 21, 30, 31, 2, 3, 0.5, -0.5]


def test_a_task_that_observes_something_else_than_declared_is_refused(observer, spec, task, contract) -> None:
    with pytest.raises(ContractMismatchError, match="build the contract from this task"):
        Observer(Counting(), contract)
    observer._task.observe = lambda state, previous: np.zeros(3, np.float32)
    with pytest.raises(ContractMismatchError, match=r"shape \(3,\)"):
        observer.observe(np.zeros(1), np.zeros(2))
