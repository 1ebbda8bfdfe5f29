"""Step rows as a robot streams them; termination is not truncation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from small_environment import PointEnvironment, ScriptedEnvironment

from learners.environments.contract import environment_contract
from learners.environments.episodes import Episodes
from learners.replay import Replay
from robot.errors import SandlotError
from robot.messages import Actor

GOES_ON = (False, False)


def episodes_of(environment: Any, longest: int = 1000) -> Episodes:
    return Episodes(environment, environment_contract(environment, "test"), longest)


def played(episodes: Episodes, raws: list[float], number: int = 0, sequence: int = 0) -> NDArray[np.void]:
    """Rows of one episode, acted as given until it is over."""
    episodes.begin(number, seed=5, sequence=sequence)
    rows = []
    for raw in raws:
        assert not episodes.over
        rows.append(episodes.step(np.array([raw]), Actor.POLICY, version=3))
    return np.concatenate(rows)


@pytest.mark.parametrize(
    ("end", "longest", "terminated", "truncated"),
    [
        ((True, False), 1000, True, False),
        ((False, True), 1000, False, True),
        ((True, True), 1000, True, False),  # what came after a termination counts for nothing
        (GOES_ON, 3, False, True),
        ((True, False), 3, True, False),
    ],
)
def test_how_an_episode_ends(end: tuple[bool, bool], longest: int, terminated: bool, truncated: bool) -> None:
    environment = ScriptedEnvironment([GOES_ON, GOES_ON, end])
    episodes = episodes_of(environment, longest)
    rows = played(episodes, [-1.0, 0.0, 1.0], number=7, sequence=40)
    assert episodes.over and episodes.total_reward == 60.0 and episodes.step_number == 3
    assert environment.seeds == [5]
    assert rows["terminated"].tolist() == [False, False, terminated, False]
    assert rows["truncated"].tolist() == [False, False, truncated, False]
    assert rows["last"].tolist() == [False, False, False, True]
    assert rows["reward"].tolist() == [10, 20, 30, 0]
    assert rows["episode"].tolist() == [7] * 4 and rows["step"].tolist() == [0, 1, 2, 3]
    assert rows["sequence"].tolist() == [40, 41, 42, 43]
    assert rows["actor"].tolist() == [*[int(Actor.POLICY)] * 3, int(Actor.NOBODY)]


def test_a_row_has_what_was_seen_before_the_action_and_the_action_before_that() -> None:
    environment = ScriptedEnvironment([GOES_ON, GOES_ON, (False, True)])
    rows = played(episodes_of(environment), [-1.0, 0.5, 1.0])
    assert rows["observation"].tolist() == [[0, 0], [1, -1], [2, 0.5], [3, 1]]
    assert rows["action"].tolist() == [[-1], [0.5], [1], [0]]
    assert environment.actions == [0.0, 7.5, 10.0]
    again = played(episodes_of(environment), [1.0])
    assert again["observation"].tolist() == [[0, 0]], "an episode begins with no previous action"


@pytest.mark.parametrize(("end", "masks"), [((True, False), {1.0, 0.0}), ((False, True), {1.0})])
def test_the_replay_bootstraps_after_a_truncation_and_not_after_a_termination(
    end: tuple[bool, bool], masks: set[float]
) -> None:
    environment = ScriptedEnvironment([GOES_ON, end])
    rows = played(episodes_of(environment), [0.0, 1.0])
    replay = Replay(rows.dtype, 10)
    replay.add("s", rows)
    assert replay.transitions == 2
    found = replay.sample(200, np.random.default_rng(0))
    assert set(found.discount.tolist()) == masks
    assert set(found.reward.tolist()) == {10.0, 20.0}
    ends = found.observation[:, 0] == 1
    if end[1]:
        np.testing.assert_array_equal(found.next_observation[ends], [[2.0, 1.0]] * ends.sum())


def test_numbers_that_are_not_finite_are_refused() -> None:
    class Broken(PointEnvironment):
        reward, where, heat = 0.0, np.nan, 0.0

        def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
            seen, info = np.array([0.0, *np.atleast_1d(self.where)], np.float32), {"heat": self.heat}
            return seen, self.reward, False, False, info

    broken = Broken()
    episodes = Episodes(broken, environment_contract(broken, "test", costs=("heat",)), 1000)
    episodes.begin(4, 0)
    with pytest.raises(SandlotError, match="step 1 of episode 4: element 1 is nan"):
        episodes.step(np.zeros(2), Actor.POLICY)
    broken.where = 0.0
    for reward in (np.inf, 1e300, None, [1.0, 2.0]):
        broken.reward = reward  # type: ignore[assignment]
        episodes.begin(4, 0)
        with pytest.raises(SandlotError, match=r"the reward .* in step 1 of episode 4; expected a finite"):
            episodes.step(np.zeros(2), Actor.POLICY)
    broken.reward, broken.heat = 0.0, np.nan
    episodes.begin(4, 0)
    with pytest.raises(SandlotError, match="costs that are not finite in step 1 of episode 4: heat nan"):
        episodes.step(np.zeros(2), Actor.POLICY)
    broken.heat, broken.where = 0.0, [1.0, 2.0]  # type: ignore[assignment]
    episodes.begin(4, 0)
    with pytest.raises(SandlotError, match="in step 1 of episode 4 that is not of its space"):
        episodes.step(np.zeros(2), Actor.POLICY)
