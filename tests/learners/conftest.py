"""A small task and rows of experience for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from robot.contract import ActionMap, ObservationTerm, TaskContract
from robot.messages import Actor
from robot.spec import ActionTerm

Rows = NDArray[np.void]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def _float64() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture(scope="session")
def contract() -> TaskContract:
    """Five observations, two of them the previous action; one slewed and filtered action, one free one."""
    return TaskContract(
        robot={"robot": "none"},
        task="test",
        policy_hz=20.0,
        observation=(
            ObservationTerm(name="position", unit="m", scale=3.0, offset=1.0, elements=("x", "y")),
            ObservationTerm(name="previous_action", unit="1", scale=1.0, elements=("a", "b")),
            ObservationTerm(name="speed", unit="m/s", scale=0.5),
        ),
        actions=(
            ActionTerm(name="a", actuator="a", lower=-1.0, upper=3.0, slew=6.0, smoothing=0.7),
            ActionTerm(name="b", actuator="b", lower=-2.0, upper=2.0),
        ),
        reward_terms=("one", "two"),
    )


@pytest.fixture(scope="session")
def make_rows(contract: TaskContract) -> Callable[..., Rows]:
    """``make_rows(n, seed=0, actor=POLICY, episode=0, terminated=False)``: one closed episode of n steps."""

    def make(
        count: int, seed: int = 0, actor: Actor = Actor.POLICY, episode: int = 0, terminated: bool = False
    ) -> Rows:
        rng = np.random.default_rng(seed)
        rows = np.zeros(count + 1, contract.step_dtype())
        rows["sequence"] = np.arange(count + 1)
        rows["episode"], rows["step"], rows["actor"] = episode, np.arange(count + 1), actor
        rows["observation"] = rng.normal(size=rows["observation"].shape)
        rows["reward"] = rng.normal(size=count + 1)
        reach, previous = ActionMap(contract.actions, contract.policy_hz), np.zeros(2)
        for row in rows:
            row["observation"][contract.previous_action] = previous
            row["action"] = previous = reach.reach(rng.uniform(-1, 1, 2), previous)
        rows[-1]["last"] = True
        rows[-2]["terminated" if terminated else "truncated"] = True
        return rows

    return make


@pytest.fixture
def demonstration_and_practice(make_rows: Callable[..., Rows]) -> list[tuple[str, Rows]]:
    """60 demonstrated steps, then 40 and 50 of the policy's, the former ending in a failure."""
    return [
        ("s", make_rows(60, 1, Actor.SCRIPT, 0)),
        ("s", make_rows(40, 2, Actor.POLICY, 1, terminated=True)),
        ("s", make_rows(50, 3, Actor.POLICY, 2)),
    ]
