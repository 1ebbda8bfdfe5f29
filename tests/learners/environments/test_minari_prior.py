"""A Minari episode becomes the rows that the same episode would have been here."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from learners.environments.contract import environment_contract
from learners.environments.environment import Box
from learners.environments.episodes import Episodes
from learners.environments.minari_prior import copy_minari, episode_rows
from learners.environments.swing_up import SwingUp
from learners.environments.train import train
from robot.errors import SandlotError
from robot.messages import Actor

T = 9


class Recorded(NamedTuple):
    observations: NDArray[Any]
    actions: NDArray[Any]
    rewards: NDArray[Any]
    terminations: NDArray[np.bool_]
    truncations: NDArray[np.bool_]


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


def test_episodes_of_another_environment_are_refused() -> None:
    theirs, _ = recorded(True, False)
    contract = environment_contract(Strong(), "strong")
    with pytest.raises(SandlotError, match=r"episode 4 .*\(10, 5\).*got \(10, 4\)"):
        episode_rows(theirs._replace(observations=theirs.observations[:, :4]), contract, 4, 0)


def test_a_dataset_is_read_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
                infos={},
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
    with pytest.raises(SandlotError, match="minari download nothing/here-v0"):
        copy_minari("nothing/here-v0", environment_contract(SwingUp(), "x"), tmp_path)
