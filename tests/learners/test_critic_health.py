from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from learners.config import LearnerConfig
from learners.critic_health import EVERY, LOOKS, OUTSIDE, CriticHealth, td_error
from learners.held_out import LONGEST, HeldOut, chosen
from learners.learner import Learner
from learners.offline_config import AlgorithmConfig, BcConfig, IdqlConfig, ImplicitConfig, IqlConfig
from learners.prior_data import LEAST_HELD_OUT, Experience
from learners.sac import Assessment
from learners.value_bound import Bound, RewardRange
from robot.contract import ActionMap, TaskContract
from robot.messages import Actor

Rows = NDArray[np.void]
Make = Callable[..., Rows]


@pytest.mark.parametrize("share", [0.0, 0.05, 0.1, 0.3, 0.99])
def test_the_share_of_episodes_is_held_out_evenly_and_never_the_first(share: float) -> None:
    found = chosen(np.arange(1001), share)
    assert not found[0]
    assert np.abs(np.cumsum(found) - share * np.arange(1001)).max() <= 0.5 + 1e-9


def test_episodes_are_counted_in_each_session_however_its_rows_come(make_rows: Make) -> None:
    """Their numbers are not consecutive: a session's episodes are numbered by their first row."""
    rows = np.concatenate([make_rows(5, k, Actor.POLICY, 7 * k + 3) for k in range(40)])
    wanted = np.repeat(chosen(np.arange(40), 0.1), 6)
    for parts in (1, 3, 40, len(rows)):
        held_out = HeldOut(0.1)
        found = []
        for part in np.array_split(rows, parts):
            found.append(held_out.rows("a", part))
            np.testing.assert_array_equal(held_out.rows("b", part), found[-1])
        np.testing.assert_array_equal(np.concatenate(found), wanted)


def test_whole_episodes_are_never_trained_on(contract: TaskContract, make_rows: Make) -> None:
    config = LearnerConfig(held_out=0.3, batch=64)
    experience, marks = Experience(contract, config), {True: set[float](), False: set[float]()}
    for k in range(30):
        rows = make_rows(10, k, (Actor.POLICY, Actor.SCRIPT)[k % 2], k)
        rows["reward"] = k
        marks[bool(chosen(np.array(k), 0.3))].add(float(k))
        for row in np.split(rows, 11):  # as they come, one by one
            experience.add("s", row)
    rng = np.random.default_rng(0)
    trained = np.unique(np.concatenate([experience.batch(rng).reward.numpy().ravel() for _ in range(30)]))
    batches = [experience.held_out_batch(rng) for _ in range(30)]
    judged = np.unique(np.concatenate([b.reward.numpy().ravel() for b in batches if b is not None]))
    assert marks[True] and set(judged) == marks[True] and set(trained) == marks[False]
    kept = experience.practice.transitions + experience.prior.transitions + experience.held_out.transitions
    assert kept == experience.steps == 300  # nothing is lost on the way


@pytest.mark.parametrize("cuts", [[], [3, LONGEST, LONGEST + 1], range(1, 3 * LONGEST + 201, 100)])
def test_a_long_episode_counts_as_several(
    cuts: Sequence[int], contract: TaskContract, make_rows: Make
) -> None:
    experience = Experience(contract, LearnerConfig(held_out=0.5))
    experience.add("s", make_rows(LONGEST))  # whose last row, in place LONGEST, begins nothing
    rows = make_rows(3 * LONGEST + 200, 0, Actor.POLICY, 1)
    rows["reward"] = np.arange(len(rows)) // LONGEST
    for part in np.split(rows, cuts):
        experience.add("s", part)
    experience.add("s", make_rows(7, 0, Actor.POLICY, 2))
    assert experience.held_out.transitions == 2 * LONGEST + 7
    batch = experience.held_out_batch(np.random.default_rng(0))
    assert batch is not None and {0.0, 2.0} <= set(batch.reward.numpy().ravel())
    assert 1.0 not in batch.reward and 3.0 not in batch.reward


def test_nobody_is_judged_by_the_first_steps_of_one_episode(contract: TaskContract, make_rows: Make) -> None:
    experience = Experience(contract, LearnerConfig(held_out=0.5))
    experience.add("s", make_rows(100))
    rows = make_rows(2 * LEAST_HELD_OUT, episode=1)
    experience.add("s", rows[:LEAST_HELD_OUT])
    assert experience.held_out_batch(np.random.default_rng(0)) is None
    experience.add("s", rows[LEAST_HELD_OUT:])
    assert experience.held_out_batch(np.random.default_rng(0)) is not None


def test_the_error_is_the_share_of_the_target_s_variance_that_is_not_explained() -> None:
    target = torch.tensor([1.0, 3.0])
    assert td_error(Assessment(torch.tensor([[1.0, 3.0]]), target)) == 0.0
    assert td_error(Assessment(torch.tensor([[2.0, 2.0], [2.0, 2.0]]), target)) == 1.0
    small = td_error(Assessment(0.01 * torch.tensor([[1.0, 2.0]]), 0.01 * target))
    assert small == pytest.approx(td_error(Assessment(torch.tensor([[1.0, 2.0]]), target)))


def test_no_policy_s_discounted_return_is_outside_the_bound() -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        discount, bonus = rng.uniform(0.0, 0.999), rng.normal()
        seen, reward = RewardRange(), rng.normal(rng.normal(), 1.0, rng.integers(1, 400))
        terminated = np.zeros(len(reward), bool)
        terminated[-1] = rng.uniform() < 0.5
        seen.add(reward[:3], terminated[:3])
        seen.add(reward[3:], terminated[3:])
        if not terminated[-1]:
            reward = np.tile(reward, 1 + 20_000 // len(reward))
        bonuses = np.concatenate([[0.0], np.full(len(reward) - 1, bonus)])
        value = (reward + bonuses) @ discount ** np.arange(len(reward))
        lower, upper = seen.bound(discount, min(bonus, 0.0), max(bonus, 0.0))
        assert lower - 1e-6 <= value <= upper + 1e-6
    assert seen.bound(1.0) == (-math.inf, math.inf)


def test_the_bound_is_reached_and_a_last_reward_counts_once() -> None:
    seen = RewardRange()
    seen.add(np.array([1.0, 0.5, -20.0, np.nan]), np.array([False, False, True, False]))
    assert seen.bound(0.9) == pytest.approx((-20.0, 10.0))
    seen.add(np.array([-3.0]), np.array([False]))
    assert seen.bound(0.9, 0.0, 2.0) == pytest.approx((-30.0, 10.0 + 0.9 * 20.0))


BOUND = Bound(-10.0, 10.0)


def alarms(values: Sequence[tuple[float, float]] = (), errors: Sequence[float] = ()) -> str:
    health = CriticHealth(0)
    health.observe_values(-1.0, 1.0, BOUND)
    for lowest, highest in values:
        health.observe_values(lowest, highest, BOUND)
    for error in errors:
        health.observe_error(error)
    return health.alarm


def test_an_alarm_for_values_outside_the_bound_and_its_slack() -> None:
    inside, above, below = (-12.9, 12.9), (-1.0, 13.1), (-13.1, 1.0)  # 10 % of 20, and 1 as at first
    assert alarms([inside] * 50) == ""
    assert alarms([above] * (OUTSIDE - 1)) == ""
    assert "-1 to 13.1 are outside what rewards allow, -10 to 10" in alarms([below] * (OUTSIDE - 1) + [above])
    assert alarms([above] * OUTSIDE + [inside]) == ""
    for wrong in ((-1.0, math.inf), (-math.inf, 1.0), (math.nan, math.nan)):
        assert "not finite" in alarms([wrong])


def test_an_alarm_for_a_held_out_error_that_stays_worse_than_it_was() -> None:
    worse = [0.4, *([1.6, 1.4] * LOOKS)[:LOOKS]]  # the average is above 0.6 from the second on
    assert "held-out" in alarms(errors=worse)
    assert alarms(errors=worse[:-1]) == ""  # not often enough
    assert alarms(errors=[0.3 * error for error in worse]) == ""  # not bad
    assert alarms(errors=[2.0, *[2.9] * 3 * LOOKS]) == ""  # not much worse than ever
    assert alarms(errors=[*worse, *[0.1] * 5]) == ""


def test_its_memory_survives_a_checkpoint() -> None:
    health = CriticHealth(0)
    health.observe_values(-math.inf, 1.0, BOUND)
    for k in range(8):
        health.observe_error(0.1 * k)
    for one in (health, CriticHealth(1)):
        again = CriticHealth(0)
        again.restore(msgspec.json.decode(msgspec.json.encode(one.plain())))
        assert str(again) == str(one)


SMALL: dict[str, Any] = {
    "hidden": (16, 16),
    "batch": 16,
    "updates_per_step": 2,
    "warmup": 0,
    "held_out": 0.5,
}
DIFFUSION: dict[str, Any] = {"actor_width": 8, "actor_blocks": 1, "time_features": 4, "candidates": 3}


@pytest.mark.parametrize(
    "config",
    [
        LearnerConfig(**SMALL),
        LearnerConfig(**SMALL, dropout=0.1),
        BcConfig(**SMALL),
        IqlConfig(**SMALL),
        IdqlConfig(**SMALL, **DIFFUSION),
    ],
    ids=["sac", "dropout", "bc", "iql", "idql"],
)
def test_looking_changes_nothing(
    contract: TaskContract, make_rows: Make, config: AlgorithmConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def learn(every: int) -> tuple[Learner, dict[str, bytes]]:
        monkeypatch.setattr("learners.critic_health.EVERY", every)
        learner = Learner(contract, config, 3)
        for episode in range(2):
            learner.add("s", make_rows(60, 1, Actor.SCRIPT, episode))
        learner.pretrain(6)
        return learner, {name: array.tobytes() for name, array in learner.state_dict().items()}

    seldom, often = learn(5), learn(1)
    assert seldom[1] == often[1]
    found = often[0].metrics
    assert found["held_out_error"] > 0.0 and found["critic_alarm"] == 0.0
    assert ("held_out_value_loss" in found) == isinstance(config, ImplicitConfig)
    if not isinstance(config, BcConfig):
        assert (
            found["value_lower_bound"] < found["value_min"] < found["value_max"] < found["value_upper_bound"]
        )


def test_the_bound_is_of_rewards_as_they_are_learned(contract: TaskContract, make_rows: Make) -> None:
    config = IqlConfig(**SMALL, discount=0.9, reward_scale=10.0, reward_shift=-1.0)
    learner = Learner(contract, config, 3)
    rows = make_rows(30, 1, Actor.SCRIPT)
    learner.add("s", rows)
    learner.pretrain(1)
    least, greatest = (10.0 * f(rows["reward"][:-1]) - 1.0 for f in (np.min, np.max))
    assert learner.metrics["value_lower_bound"] == pytest.approx(10.0 * least, rel=1e-6)
    assert learner.metrics["value_upper_bound"] == pytest.approx(10.0 * greatest, rel=1e-6)


@pytest.mark.slow
def test_a_clone_that_remembers_is_alarmed_and_one_that_understands_is_not(
    contract: TaskContract, make_rows: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Noise can only be learned by heart; a rule can be followed."""
    monkeypatch.setattr("learners.critic_health.EVERY", 10)

    def alarmed(updates: int, rule: bool) -> tuple[bool, float]:
        """Whether there ever was an alarm, and the last error."""
        config = BcConfig(
            hidden=(64, 64),
            batch=64,
            updates_per_step=1,
            learning_rate=1e-2,
            held_out=0.5,
            matmul="float32",
        )
        learner, ever = Learner(contract, config, 0), False
        for episode in range(12):
            rows = make_rows(30, episode, Actor.SCRIPT, episode)
            if rule:
                wanted = np.tanh(rows["observation"][:, [0]] - rows["observation"][:, [4]])
                rows["action"] = ActionMap(contract.actions, contract.policy_hz).reach(
                    0.9 * wanted, rows["observation"][:, contract.previous_action]
                )
            learner.add("s", rows)
        for _ in range(updates):
            learner.pretrain(1)
            ever |= "held-out" in learner.alarm
        return ever, learner.metrics["held_out_error"]

    remembered, understood = alarmed(1_101, rule=False), alarmed(401, rule=True)
    assert remembered[0] and remembered[1] > 1.2
    assert not understood[0] and understood[1] < 0.3


def test_held_out_episodes_are_looked_at_seldom_and_at_once(contract: TaskContract, make_rows: Make) -> None:
    config = LearnerConfig(hidden=(8,), batch=8, updates_per_step=1, warmup=0, held_out=0.5)
    learner = Learner(contract, config, 3)
    learner.add("s", make_rows(60))
    assert "held_out_error" not in learner.step()
    learner.add("s", make_rows(60, 1, Actor.POLICY, 1))
    seen = [learner.step().get("held_out_error") for _ in range(2 * EVERY)]
    assert [k for k in range(1, 2 * EVERY) if seen[k] != seen[k - 1]] == [EVERY - 1, 2 * EVERY - 1]


def narrow_learner(contract: TaskContract, make_rows: Make, **settings: Any) -> Learner:
    """On 240 steps of hardly varied actions, whose successors are strange to it."""
    common = {"hidden": (64, 64), "batch": 64, "warmup": 0, "matmul": "float32", "discount": 0.99}
    config = LearnerConfig(**common, updates_per_step=20, initial_temperature=1e-3, **settings)
    learner = Learner(contract, config, 0)
    for episode in range(12):
        rows = make_rows(20, episode, Actor.POLICY, episode)
        rows["action"] *= 0.1
        learner.add("p", rows)
    return learner


def largest(learner: Learner) -> float:
    """Its largest value, in units of the bound."""
    m = learner.metrics
    return max(m["value_max"] / m["value_upper_bound"], m["value_min"] / m["value_lower_bound"])


def test_the_alarm_comes_long_before_divergence(contract: TaskContract, make_rows: Make) -> None:
    """One critic, no average of it in the targets, no LayerNorm, 20 updates per step on narrow data."""
    learner = narrow_learner(contract, make_rows, layer_norm=False, subset=1, polyak=1.0, learning_rate=1e-3)
    sizes, alarmed = [0.0], 0
    while sizes[-1] < 100.0 and len(sizes) < 400:
        learner.pretrain(1)
        sizes.append(largest(learner))
        alarmed = alarmed or len(sizes) * bool(learner.alarm)
        assert not learner.alarm or "outside what rewards allow" in learner.alarm
    assert sizes[-1] > 100.0 and sizes[alarmed] < 6.0
    assert 20 * (len(sizes) - alarmed) >= 200  # updates in which something can be done
    assert learner.metrics["critic_alarm"] == 1.0


@pytest.mark.slow
def test_no_alarm_on_the_same_data_with_layer_norm(contract: TaskContract, make_rows: Make) -> None:
    learner = narrow_learner(contract, make_rows, subset=2, learning_rate=3e-4)
    for _ in range(150):
        learner.pretrain(1)
        assert learner.alarm == ""
