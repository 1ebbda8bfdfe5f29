"""The noise a policy is given: as much as its file takes, kept from step to step, none when it counts."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from robot.contract import TaskContract
from robot.practice.acting import Acting
from robot.spec import RobotSpec


class Listening:
    """A policy that keeps the noise it is given."""

    def __init__(self, contract: TaskContract, noise_size: int) -> None:
        self.contract, self.noise_size = contract, noise_size
        self.given: list[NDArray[np.float32]] = []

    def act(self, observation: NDArray[np.float32], noise: NDArray[np.float32]) -> NDArray[np.float32]:
        self.given.append(noise.copy())
        return np.zeros(self.contract.action_size, np.float32)


@pytest.mark.parametrize("correlation", [0.0, 0.9])
def test_policies_get_as_much_noise_as_they_take_and_it_is_standard_normal(
    spec: RobotSpec, contract: TaskContract, correlation: float
) -> None:
    acting = Acting(spec, contract, np.random.default_rng(0), correlation)
    acting.start(np.zeros(len(spec.actuators)))
    observation = np.zeros(contract.observation_size, np.float32)
    gaussian, many = Listening(contract, contract.action_size), Listening(contract, 160)
    for policy, steps in ((gaussian, 10), (many, 400), (gaussian, 10), (many, 1)):
        for _ in range(steps):
            acting.by_policy(policy, observation, explore=True)  # type: ignore[arg-type]
    assert [len(g) for g in gaussian.given] == [contract.action_size] * 20
    given = np.stack(many.given[:400])
    assert given.shape == (400, 160)
    assert given[0].std() == pytest.approx(1.0, abs=0.2), "from the first step of a new policy on"
    assert given.std() == pytest.approx(1.0, abs=0.03)
    kept = (given[1:] * given[:-1]).mean()
    assert kept == pytest.approx(correlation, abs=0.05)


def test_a_deterministic_step_has_none(spec: RobotSpec, contract: TaskContract) -> None:
    acting = Acting(spec, contract, np.random.default_rng(0), 0.5)
    policy = Listening(contract, 48)
    acting.by_policy(policy, np.zeros(contract.observation_size, np.float32), explore=False)  # type: ignore[arg-type]
    assert policy.given[0].tolist() == [0.0] * 48
