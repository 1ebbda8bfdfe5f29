"""A Minari episode becomes the rows that the same episode would have been here."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from learners.environments.contract import environment_contract
from learners.environments.environment import Box
from learners.environments.episodes import Episodes
from learners.environments.minari_prior import copy_minari, episode_rows
from learners.environments.prior_folder import prior_rows
from learners.environments.swing_up import SwingUp
from learners.environments.train import train
from learners.journal import Journal
from robot.errors import SandlotError
from robot.messages import Actor

T = 9


class Recorded(NamedTuple):
    observations: NDArray[Any]
    actions: NDArray[Any]
    rewards: NDArray[Any]
    terminations: NDArray[np.bool_]
    truncations: NDArray[np.bool_]
    infos: Mapping[str, Any] | None = None


class Strong(SwingUp):
    """With actions in [-3, 3]."""

    def __init__(self) -> None:
        super().__init__()
        self.action_space = Box(np.full(1, -3, np.float32), np.full(1, 3, np.float32), np.dtype(np.float32))


def recorded(terminated: bool, truncated: bool) -> tuple[Recorded, NDArray[np.void]]:
    """The same episode as Minari has it and as ``Episodes`` has it."""
    environment, rng = Strong(), np.random.default_rng(0)
    source = Episodes(environment, environment_contract(environment, "strong"), T)
    source.begin(4, 7, 20)
    rows = []
    while not source.over:
        rows.append(source.step(rng.uniform(-1, 1, 1), Actor.SCRIPT))
    ours = np.concatenate(rows)
    ends = np.arange(T) == T - 1
    ours["terminated"][:-1], ours["truncated"][:-1] = ends & terminated, ends & (not terminated)
    acting = ours[:-1]
    theirs = Recorded(
        ours["observation"][:, :5],
        3.0 * acting["action"],
        acting["reward"],
        ends & terminated,
        ends & truncated,
    )
    return theirs, ours


@pytest.mark.parametrize(
    ("terminated", "truncated"), [(True, False), (False, True), (True, True), (False, False)]
)
def test_rows_are_those_of_the_same_episode_here(terminated: bool, truncated: bool) -> None:
    theirs, ours = recorded(terminated, truncated)
    found = episode_rows(theirs, environment_contract(Strong(), "strong"), 4, 20)
    for name in ours.dtype.names:
        if ours[name].dtype.kind == "f":
            np.testing.assert_allclose(found[name], ours[name], atol=1e-6, err_msg=name)
        else:
            np.testing.assert_array_equal(found[name], ours[name], err_msg=name)


@pytest.mark.parametrize("costs", [np.arange(1.0, T + 1), [[k] for k in range(T + 1)]])
def test_a_step_costs_what_its_infos_say(costs: Any) -> None:
    """One for each step, or before them the reset's, as Minari's collector has it."""
    theirs, _ = recorded(True, False)
    contract = environment_contract(Strong(), "strong", costs=("heat", "wear"))
    rows = episode_rows(theirs._replace(infos={"wear": costs, "heat": np.ones(T + 1)}), contract, 4, 0)
    np.testing.assert_array_equal(rows["cost_terms"][:, 0], [1.0] * T + [0])
    np.testing.assert_array_equal(rows["cost_terms"][:, 1], [*range(1, T + 1), 0])


@pytest.mark.parametrize(
    ("infos", "expected"),
    [
        (None, r"costs heat, wear in its infos; it has nothing there, and without heat, wear every step"),
        ({"heat": np.ones(T + 1), "x": np.ones(T)}, r"it has heat, x there, and without wear every step"),
        ({"heat": np.ones(T - 1), "wear": np.ones(T)}, r"each of 9 steps as the cost heat, .*got shape \(8,"),
        ({"heat": np.ones((T, 2)), "wear": np.ones(T)}, r"as the cost heat, .*got shape \(9, 2\)"),
    ],
)
def test_steps_without_their_costs_are_refused(infos: Mapping[str, Any] | None, expected: str) -> None:
    theirs, _ = recorded(True, False)
    contract = environment_contract(Strong(), "strong", costs=("heat", "wear"))
    with pytest.raises(SandlotError, match=f"episode 4 .*{expected}"):
        episode_rows(theirs._replace(infos=infos), contract, 4, 0)


def test_episodes_of_another_environment_are_refused() -> None:
    theirs, _ = recorded(True, False)
    contract = environment_contract(Strong(), "strong")
    with pytest.raises(SandlotError, match=r"episode 4 .*\(10, 5\).*got \(10, 4\)"):
        episode_rows(theirs._replace(observations=theirs.observations[:, :4]), contract, 4, 0)


def killed(journal: Journal) -> None:
    raise KeyboardInterrupt


def test_a_dataset_is_read_by_its_name_and_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    minari = pytest.importorskip("minari")
    gymnasium = pytest.importorskip("gymnasium")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    environment = gymnasium.make("Pendulum-v1")
    buffers = []
    for seed in range(2):
        observations, actions, rewards, truncated = [environment.reset(seed=seed)[0]], [], [], False
        while not truncated:
            actions.append(environment.action_space.sample())
            observation, reward, _, truncated, _ = environment.step(actions[-1])
            observations.append(observation)
            rewards.append(float(reward))
        ends = [False] * (len(actions) - 1)
        buffers.append(
            minari.data_collector.EpisodeBuffer(
                id=seed,
                observations=observations,
                actions=actions,
                rewards=rewards,
                terminations=[*ends, False],
                truncations=[*ends, True],
                infos={"cost": [9.0] + [0.5] * len(actions)},
            )
        )
    minari.create_dataset_from_buffers("pendulum/random-v0", buffers, env=environment, requirements=[])
    settings = {"hidden": [8], "batch": 8, "warmup": 50, "held_out": 0.0}
    run = train(
        "Pendulum-v1",
        tmp_path / "run",
        "sac",
        steps=60,
        prior="minari:pendulum/random-v0",
        learner=settings,
        evaluation_episodes=1,
    )
    assert run.learner is not None and run.learner.experience.prior.transitions == 400
    contract = environment_contract(environment, "pendulum", costs=("cost",))
    copy_minari("pendulum/random-v0", contract, tmp_path / "prior")
    for _, rows in prior_rows(tmp_path / "prior", contract.step_dtype()):
        np.testing.assert_array_equal(rows["cost_terms"][:, 0], [0.5] * 200 + [0.0])
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Journal, "close", killed)
        copy_minari("pendulum/random-v0", contract, tmp_path / "prior")
    assert not (tmp_path / "prior").exists()
    for _ in range(2):
        copy_minari("pendulum/random-v0", contract, tmp_path / "prior")
        assert sum(len(rows) for _, rows in prior_rows(tmp_path / "prior", contract.step_dtype())) == 402
    with pytest.raises(SandlotError, match="minari download nothing/here-v0"):
        copy_minari("nothing/here-v0", environment_contract(SwingUp(), "x"), tmp_path)
