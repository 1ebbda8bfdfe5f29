from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from small_environment import PointEnvironment, box

from learners.environments.contract import environment_contract, normalisation
from learners.environments.environment import Box
from robot.contract import ActionMap
from robot.errors import SandlotError, SpecError


def test_an_environment_has_a_contract_as_a_robot_has() -> None:
    contract = environment_contract(PointEnvironment(), "point")
    assert contract.observation_size == 4 and contract.action_size == 2
    assert contract.previous_action == slice(2, 4)
    assert contract.policy_hz == 10.0
    assert {term.unit for term in contract.observation} == {"1"}
    offset, scale = contract.normaliser()
    assert offset.tolist() == [0, 0, 0, 0] and scale.tolist() == [1, 1, 1, 1]


def test_actions_are_scaled_to_their_box_and_nothing_holds_them_back() -> None:
    contract = environment_contract(PointEnvironment(), "point")
    actions = ActionMap(contract.actions, contract.policy_hz)
    for raw, expected in (([-1, -1], [-1, -4]), ([1, 1], [3, -2]), ([0, 0.5], [1, -2.5])):
        executed = actions.reach(np.array(raw, float), np.array([1.0, -1.0]))
        np.testing.assert_allclose(executed, raw, atol=1e-15)
        np.testing.assert_allclose(actions.to_units(executed), expected, atol=1e-15)


def test_observations_are_normalised_by_what_was_seen_and_magnified_tenfold_at_most() -> None:
    seen = np.random.default_rng(0).normal([5.0, -1.0], [3.0, 0.001], (1000, 2))
    contract = environment_contract(PointEnvironment(), "point", seen)
    offset, scale = contract.normaliser()
    np.testing.assert_allclose(offset, [*seen.mean(0), 0, 0], rtol=1e-6)
    np.testing.assert_allclose(scale, [seen[:, 0].std(), 0.1, 1, 1], rtol=1e-6)
    assert contract.step_dtype() == environment_contract(PointEnvironment(), "point").step_dtype()
    none_seen = normalisation(seen[:0], 2)
    assert [part.tolist() for part in none_seen] == [[0, 0], [1, 1]]


class Discrete:
    shape, dtype, n = (), np.dtype(np.int64), 2

    def __repr__(self) -> str:
        return "Discrete(2)"


TABLE = Box(np.zeros((2, 3)), np.ones((2, 3)), np.dtype(np.float64))
IMAGE = Box(np.zeros((8, 8, 3), np.uint8), np.full((8, 8, 3), 255, np.uint8), np.dtype(np.uint8))


def test_a_picture_may_not_be_called_as_a_policy_s_inputs_are() -> None:
    environment = PointEnvironment()
    environment.observation_space = SimpleNamespace(spaces={"observation": IMAGE})  # type: ignore[assignment]
    with pytest.raises(SpecError, match=r"image 'observation': .*another name"):
        environment_contract(environment, "point")


@pytest.mark.parametrize(
    ("where", "space", "expected"),
    [
        ("action_space", Discrete(), r"actions in a Box of floats.*got Discrete\(2\)"),
        ("observation_space", Discrete(), r"observations in a Box of floats.*Discrete"),
        ("observation_space", {"a": 1}, "FlattenObservation"),
        ("observation_space", TABLE, "one dimension"),
        ("action_space", IMAGE, "actions in a Box of floats"),
        ("action_space", box([-np.inf], [1.0]), "finite bounds"),
        ("action_space", box([1.0], [1.0]), "low < high"),
    ],
)
def test_other_spaces_are_refused(where: str, space: Any, expected: str) -> None:
    environment = PointEnvironment()
    setattr(environment, where, space)
    with pytest.raises(SandlotError, match=f"point: .*{expected}"):
        environment_contract(environment, "point")
