from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from learners.config import LearnerConfig
from learners.lagrangian import WINDOW, Constraint, Multipliers, PidMultiplier, parse_constraint
from learners.learner import Learner
from learners.presets import preset
from learners.sac import Batch
from robot.contract import TaskContract
from robot.errors import SandlotError, SpecError
from robot.messages import Actor

Rows = NDArray[np.void]


def written_out(constraint: Constraint, costs: list[float]) -> list[float]:
    """Algorithm 2 of the paper with the release's averages, each value from the whole history."""
    c, scale = constraint, constraint.limit or 1.0
    integral, found = 0.0, []
    for n in range(1, len(costs) + 1):
        seen = np.array(costs[:n]) / scale
        excess = seen - c.limit / scale
        averages = []
        for m in range(1, n + 1):
            weights = (1 - c.smoothing) * c.smoothing ** np.arange(m)[::-1]
            weights[0] = c.smoothing ** (m - 1)  # averages begin at the first value
            averages.append(float(weights @ seen[:m]))
        integral = max(0.0, integral + c.integral * excess[-1])
        rising = max(0.0, averages[-1] - averages[max(0, n - 1 - c.delay)])
        proportional = averages[-1] - c.limit / scale
        found.append(max(0.0, c.proportional * proportional + integral + c.derivative * rising))
    return found


@pytest.mark.parametrize(
    "gains",
    [
        {},
        {"proportional": 0.0, "derivative": 0.0, "integral": 0.3},
        {"proportional": 0.0, "integral": 0.0, "derivative": 2.0, "delay": 3},
        {"limit": 0.0, "integral": 0.1, "smoothing": 0.0, "delay": 1},
    ],
)
def test_the_multiplier_is_algorithm_2_s(gains: dict[str, float]) -> None:
    constraint = Constraint(**{"cost": "c", "limit": 4.0} | gains)  # type: ignore[arg-type]
    costs = np.random.default_rng(0).uniform(0.0, 10.0, 60).tolist()
    costs[20:40] = [0.0] * 20
    pid = PidMultiplier(constraint)
    np.testing.assert_allclose([pid.measure(cost) for cost in costs], written_out(constraint, costs))


def test_the_derivative_begins_without_a_kick() -> None:
    pid = PidMultiplier(Constraint(cost="c", limit=1.0, proportional=0.0, integral=0.0, derivative=5.0))
    assert [pid.measure(100.0) for _ in range(3)] == [0.0, 0.0, 0.0]
    assert pid.measure(200.0) > 0.0


def test_a_falling_cost_is_no_reason_to_charge_less_than_the_integral() -> None:
    pid = PidMultiplier(Constraint(cost="c", limit=1.0, proportional=0.0, integral=1.0, derivative=5.0))
    pid.measure(3.0)
    assert pid.measure(1.0) == 2.0
    for _ in range(100):
        pid.measure(0.0)
    assert pid.value == 0.0
    assert pid.measure(2.0) >= 1.0  # the integral was not wound up below zero


@pytest.fixture(scope="session")
def costly(contract: TaskContract) -> TaskContract:
    return msgspec.structs.replace(contract, cost_terms=("heat", "noise"))


def episode(
    contract: TaskContract, number: int, costs: list[float], actor: Actor = Actor.POLICY, version: int = 1
) -> Rows:
    """Steps with such a cost ``noise``, and ten times as much ``heat``."""
    rows = np.zeros(len(costs) + 1, contract.step_dtype())
    rows["episode"], rows["step"] = number, np.arange(len(costs) + 1)
    rows["sequence"] = 1000 * number + rows["step"]
    rows["actor"], rows["policy_version"] = int(actor), version
    rows["cost_terms"][:-1] = np.array(costs)[:, None] * [10.0, 1.0]
    rows["last"][-1] = True
    return rows


def test_costs_are_those_of_the_policy_s_whole_real_episodes(costly: TaskContract) -> None:
    multipliers = Multipliers(
        costly, [Constraint(cost="noise", limit=1.0), Constraint(cost="heat", limit=1.0)]
    )
    assert multipliers.columns == (1, 0)
    rows = episode(costly, 0, [1.0, 2.0, 3.0])
    multipliers.add("a", rows[:2])
    multipliers.add("b", episode(costly, 0, [7.0])[:1])  # another robot, in between
    assert multipliers.measured == [None, None]
    multipliers.add("a", rows[2:])
    assert multipliers.measured == [6.0, 60.0]
    assert multipliers.metrics["cost_heat"] == 60.0 and multipliers.metrics["multiplier_noise"] > 0.0
    multipliers.add("a", episode(costly, 1, [9.0, 9.0], Actor.SCRIPT))
    multipliers.add("a", episode(costly, 2, [9.0, 9.0], version=0))  # random steps
    multipliers.add("a", episode(costly, 3, [9.0, 9.0])[1:])  # its beginning was lost
    mixed = episode(costly, 4, [9.0, 9.0, 9.0])
    mixed["policy_version"][0] = 0  # it began with a random step
    multipliers.add("a", mixed)
    gap = episode(costly, 5, [9.0, 9.0, 9.0])
    multipliers.add("a", np.delete(gap, 1))
    multipliers.add("a", episode(costly, 6, [9.0, 9.0])[:1])  # its end is lost, and the next one's beginning
    multipliers.add("a", episode(costly, 7, [9.0, 9.0])[1:])
    assert multipliers.measured == [6.0, 60.0]


def test_a_cost_that_is_not_finite_does_not_switch_the_limit_off(costly: TaskContract) -> None:
    limits = [Constraint(cost="noise", limit=1.0), Constraint(cost="noise", limit=1.0, per="step")]
    multipliers = Multipliers(costly, limits)
    for number, cost in enumerate([5.0, np.nan, 5.0]):
        multipliers.add("a", episode(costly, number, [5.0] * (WINDOW - 1) + [cost]))
        assert min(multipliers.values) > 0.0
    assert multipliers.measured == [5.0 * WINDOW, 5.0]


def test_two_limits_on_one_cost_are_shown_apart(costly: TaskContract) -> None:
    multipliers = Multipliers(
        costly,
        [Constraint(cost="noise", limit=1.0), Constraint(cost="noise", limit=100.0, per="step")],
    )
    multipliers.add("a", episode(costly, 0, [5.0] * WINDOW))
    found = multipliers.metrics
    assert found["cost_noise_per_episode"] == 5.0 * WINDOW and found["cost_noise_per_step"] == 5.0
    assert found["multiplier_noise_per_episode"] > 0.0 == found["multiplier_noise_per_step"]
    with pytest.raises(SpecError, match="noise per step has more than one limit"):
        Multipliers(costly, [limit := Constraint(cost="noise", limit=1.0, per="step"), limit])


def test_costs_per_step_are_means_over_windows(costly: TaskContract) -> None:
    multipliers = Multipliers(costly, [Constraint(cost="noise", limit=1.0, per="step")])
    costs = np.random.default_rng(0).uniform(size=WINDOW + 50).tolist()
    multipliers.add("a", episode(costly, 0, costs[:150]))
    multipliers.add("a", episode(costly, 1, costs[150:])[: WINDOW - 151])
    assert multipliers.measured == [None]
    multipliers.add("a", episode(costly, 1, costs[150:])[WINDOW - 151 :])
    assert multipliers.measured == pytest.approx([np.mean(costs[:WINDOW])])


def test_unknown_costs_are_refused(contract: TaskContract, costly: TaskContract) -> None:
    with pytest.raises(SpecError, match="no cost term 'niose'; did you mean noise"):
        Multipliers(costly, [Constraint(cost="niose", limit=1.0)])
    with pytest.raises(SpecError, match="the task has none"):
        Learner(contract, LearnerConfig(constraints=(Constraint(cost="noise", limit=1.0),)), 0)
    for limit in (-1.0, np.nan, np.inf):
        with pytest.raises(SpecError, match="constraint: a finite limit"):
            Constraint(cost="noise", limit=limit)


@pytest.mark.parametrize("algorithm", ["sac", "avtd"])
def test_a_batch_of_one_s_own_without_costs_is_refused_and_nothing_is_learned(
    costly: TaskContract, algorithm: str
) -> None:
    constraints = [{"cost": "noise", "limit": 1.0}]
    settings = {"hidden": [8], "batch": 4, "updates_per_step": 2, "constraints": constraints}
    learner = Learner(costly, preset(algorithm, settings), 0)
    before = learner.state_dict()
    observation, action = torch.zeros(2, 4, costly.observation_size), torch.zeros(2, 4, 2)
    batch = Batch(observation, action, torch.zeros(2, 4), torch.ones(2, 4), observation)
    for wrong in (batch, batch._replace(cost=torch.zeros(2, 4, 1))):
        with pytest.raises(SandlotError, match=r"`cost` \(2, 4, 2\) .* heat, noise of each"):
            learner.update(wrong)
    assert learner.updates == 0
    assert {k: v.tobytes() for k, v in learner.state_dict().items()} == {
        k: v.tobytes() for k, v in before.items()
    }
    learner.update(batch._replace(cost=torch.zeros(2, 4, 2)))


def test_constraints_as_text() -> None:
    assert parse_constraint("impact<=0.5/step") == Constraint(cost="impact", limit=0.5, per="step")
    assert parse_constraint("cost <= 20/episode") == Constraint(cost="cost", limit=20.0)
    for wrong in ("impact", "impact<=0.5", "impact<=much/step", "impact<0.5/step", "impact<=1/lap"):
        with pytest.raises(SpecError, match="expected NAME<=LIMIT/step"):
            parse_constraint(wrong)


def test_a_resumed_learner_charges_what_it_would_have(costly: TaskContract, tmp_path: Path) -> None:
    config = LearnerConfig(
        hidden=(8, 8),
        batch=8,
        warmup=0,
        updates_per_step=2,
        constraints=(Constraint(cost="heat", limit=0.1),),
    )

    def make() -> Learner:
        learner = Learner(costly, config, 0)
        for k in range(4):
            learner.add("s", episode(costly, k, [0.1 * k, 0.2, 0.3]))
        return learner

    whole = make()
    whole.pretrain(2)
    whole.save(tmp_path)
    again = make()
    again.load(tmp_path)
    for learner in (whole, again):
        learner.add("s", episode(costly, 9, [1.0, 1.0]))
        learner.pretrain(2)
    assert whole.metrics == again.metrics and whole.metrics["multiplier_heat"] > 0.0
    assert whole.export(1) == again.export(1)
    ours, theirs = whole.algorithm.arrays(), again.algorithm.arrays()
    assert "cost_targets0" in ours
    for name in ours:
        np.testing.assert_array_equal(ours[name], theirs[name])


def test_contracts_without_constraints_learn_as_before(
    contract: TaskContract, costly: TaskContract, make_rows: Callable[..., Rows]
) -> None:
    """Costs that nobody constrains change nothing."""

    def learnt(one: TaskContract) -> bytes:
        learner = Learner(one, LearnerConfig(hidden=(8, 8), batch=8, warmup=0, updates_per_step=2), 0)
        rows = make_rows(40)
        own = np.zeros(len(rows), one.step_dtype())
        for name in rows.dtype.names or ():
            if name != "cost_terms":
                own[name] = rows[name]
        own["cost_terms"] = 5.0
        learner.add("s", own)
        learner.pretrain(3)
        arrays = learner.algorithm.arrays()
        return b"".join(arrays[name].tobytes() for name in sorted(arrays))

    assert learnt(contract) == learnt(costly)
