from __future__ import annotations

import math

import numpy as np
import pytest

from learners.environments.catalogue import find
from learners.environments.contract import environment_contract
from learners.environments.episodes import Episodes
from learners.environments.point_circle import ACCELERATION, DRAG, RADIUS, STEPS, WALL, PointCircle
from robot.errors import SandlotError
from robot.messages import Actor


def rounds(environment: PointCircle, speed: float) -> tuple[float, float]:
    """Return and cost of going round the circle at a constant speed [m/s], anticlockwise."""
    environment.reset(seed=0)
    total, cost, angle = 0.0, 0.0, 0.0
    period = 1.0 / environment.metadata["render_fps"]
    for _ in range(STEPS):
        angle += speed * period / RADIUS
        position = RADIUS * np.array([math.cos(angle), math.sin(angle)])
        velocity = speed * np.array([-math.sin(angle), math.cos(angle)])
        environment._position = position - period * velocity
        environment._velocity = velocity / (1.0 - period * DRAG)
        _, reward, terminated, truncated, info = environment.step(np.zeros(2))
        total, cost = total + reward, cost + info["cost"]
        assert not terminated
    assert truncated
    return total, cost


def test_the_circle_pays_its_speed_and_costs_two_thirds_of_its_time() -> None:
    total, cost = rounds(PointCircle(), 1.0)
    assert total == pytest.approx(STEPS * RADIUS * 1.0)
    outside = 2.0 / math.pi * math.acos(WALL / RADIUS)
    assert cost / STEPS == pytest.approx(outside, abs=0.02) and outside == pytest.approx(2 / 3)
    assert rounds(PointCircle(), -1.0)[0] == pytest.approx(-total)


def test_a_constant_push_ends_at_the_speed_where_drag_is_as_strong() -> None:
    environment = PointCircle()
    environment.reset(seed=1)
    for _ in range(STEPS):
        seen, *_ = environment.step([0.5, -2.0])
    np.testing.assert_allclose(seen[2:], [0.5 * ACCELERATION / DRAG, -ACCELERATION / DRAG], rtol=1e-5)


def test_the_seed_decides() -> None:
    first = [PointCircle().reset(seed=3)[0].tolist() for _ in range(2)]
    assert first[0] == first[1] != PointCircle().reset(seed=4)[0].tolist()


def test_its_costs_come_with_the_rows() -> None:
    environment = find("sandlot/PointCircle-v0")()
    contract = environment_contract(environment, "sandlot/PointCircle-v0", costs=("cost",))
    episodes = Episodes(environment, contract, 1000)
    episodes.begin(0, 0)
    rows = [episodes.step([1.0, 0.0], Actor.POLICY) for _ in range(60)]
    costs = np.concatenate(rows)["cost_terms"][:, 0]
    assert costs[0] == 0.0 and costs[-1] == 1.0 and episodes.total_costs[0] == costs.sum()
    episodes.begin(1, 1)
    assert episodes.total_costs[0] == 0.0


def test_a_cost_that_is_not_there_and_an_environment_that_is_not() -> None:
    environment = PointCircle()
    contract = environment_contract(environment, "x", costs=("torque",))
    episodes = Episodes(environment, contract, 1000)
    episodes.begin(0, 0)
    with pytest.raises(SandlotError, match=r"expected the costs torque .* it has cost"):
        episodes.step([1.0, 0.0], Actor.POLICY)
    with pytest.raises(SandlotError, match="did you mean sandlot/PointCircle-v0"):
        find("sandlot/PointCircle-v1")
