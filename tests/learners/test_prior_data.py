from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from learners.config import LearnerConfig
from learners.prior_data import Experience
from robot.contract import ImageTerm, TaskContract
from robot.errors import SandlotError
from robot.messages import Actor

Rows = NDArray[np.void]
RNG = np.random.default_rng


def labelled(rows: Rows) -> Rows:
    """Reward 1 on demonstrated steps, 0 on the policy's."""
    rows = rows.copy()
    rows["reward"] = rows["actor"] != Actor.POLICY
    return rows


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 60), st.floats(0, 1), st.integers(1, 9), st.integers(1, 4))
@example(50, 0.5, 7, 1)
@example(50, 0.1, 7, 3)
def test_every_minibatch_has_exactly_its_share_of_prior_data(
    contract: TaskContract,
    make_rows: Callable[..., Rows],
    size: int,
    fraction: float,
    updates: int,
    n_step: int,
) -> None:
    config = LearnerConfig(
        batch=size, prior_fraction=fraction, updates_per_step=updates, n_step=n_step, discount=0.0
    )
    experience = Experience(contract, config)
    experience.add("s", labelled(make_rows(30, 1, Actor.SCRIPT, 0)))
    experience.add("s", labelled(make_rows(20, 2, Actor.HUMAN, 1)))
    experience.add("s", labelled(make_rows(900, 3, Actor.POLICY, 2)))
    assert abs(config.prior_batch - size * fraction) <= 0.5
    for batch in (experience.batch(RNG(0)), experience.chunks(RNG(0), n_step)):
        assert batch.reward.shape == (updates, size)
        assert batch.observation.shape == (updates, size, contract.observation_size)
        assert batch.reward.sum(1).tolist() == [config.prior_batch] * updates
    assert batch.action.shape == (updates, size, n_step, contract.action_size)


def test_without_symmetric_sampling_all_transitions_are_equally_likely(
    contract: TaskContract, make_rows: Callable[..., Rows]
) -> None:
    """40 demonstrated of 200: each minibatch's share is binomial, and wherever it stands in it."""
    config = LearnerConfig(batch=250, updates_per_step=40, symmetric=False)
    experience = Experience(contract, config)
    experience.add("s", labelled(make_rows(40, 1, Actor.SCRIPT, 0)))
    experience.add("s", labelled(make_rows(160, 2, Actor.POLICY, 2)))
    shown = experience.batch(RNG(0)).reward.numpy()
    assert shown.shape == (40, 250)
    assert shown.mean() == pytest.approx(0.2, abs=3.5 * np.sqrt(0.16 / shown.size))
    assert shown.sum(1).std() == pytest.approx(np.sqrt(250 * 0.16), rel=0.4)
    halves = shown[:, :125].mean(), shown[:, 125:].mean()
    assert halves == pytest.approx((0.2, 0.2), abs=0.02)
    assert experience.chunks(RNG(0), 3).action.shape == (40, 250, 3, contract.action_size)


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize(("actor", "reward"), [(Actor.POLICY, 0.0), (Actor.HUMAN, 1.0)])
def test_with_one_kind_of_data_it_is_all_of_that_kind(
    contract: TaskContract, make_rows: Callable[..., Rows], actor: Actor, reward: float, symmetric: bool
) -> None:
    experience = Experience(contract, LearnerConfig(symmetric=symmetric))
    experience.add("s", labelled(make_rows(30, 1, actor)))
    batch = experience.batch(RNG(0))
    assert batch.reward.shape == (LearnerConfig().updates_per_step, LearnerConfig().batch)
    assert (batch.reward == reward).all()


def test_an_episode_that_changes_hands_keeps_each_step_with_who_acted(
    contract: TaskContract, make_rows: Callable[..., Rows]
) -> None:
    """Policy 0..4, human 5..8, policy 9..11, in messages of three rows: 12 transitions, none lost."""
    rows = make_rows(12)
    rows["reward"] = np.arange(13)
    rows["actor"][5:9] = Actor.HUMAN
    experience = Experience(contract, LearnerConfig())
    for start in range(0, 13, 3):
        experience.add("s", rows[start : start + 3])
    assert experience.steps == 12
    for replay, wanted in (
        (experience.practice, {0, 1, 2, 3, 4, 9, 10, 11}),
        (experience.prior, {5, 6, 7, 8}),
    ):
        assert replay.transitions == len(wanted)
        drawn = replay.sample(500, RNG(0))
        assert set(drawn.reward) == wanted
        following = rows["observation"][drawn.reward.astype(int) + 1]
        np.testing.assert_array_equal(drawn.next_observation, following)


def test_what_no_action_says_is_no_demonstration(
    contract: TaskContract, make_rows: Callable[..., Rows]
) -> None:
    """A person's steps that were executed otherwise than their rows say complete the ones before them. Of a
    policy they are what comes of what it asked for."""
    rows = make_rows(12)
    rows["reward"] = np.arange(13)
    rows["actor"][5:12], rows["altered"][[2, 6, 7]] = Actor.HUMAN, True
    experience = Experience(contract, LearnerConfig())
    experience.add("s", rows)
    assert experience.practice.transitions == 5
    drawn = experience.prior.sample(500, RNG(0))
    assert set(drawn.reward) == {5, 8, 9, 10, 11}
    following = rows["observation"][drawn.reward.astype(int) + 1]
    np.testing.assert_array_equal(drawn.next_observation, following)


def test_interleaved_robots_do_not_mix(contract: TaskContract, make_rows: Callable[..., Rows]) -> None:
    experience = Experience(contract, LearnerConfig())
    one, two = make_rows(20, 1), make_rows(20, 2)
    for k in range(21):
        experience.add("one", one[k : k + 1])
        experience.add("two", two[k : k + 1])
    assert experience.practice.transitions == 40


def test_demonstrations_outlive_the_ring_of_practice(
    contract: TaskContract, make_rows: Callable[..., Rows]
) -> None:
    experience = Experience(contract, LearnerConfig(capacity=50))
    experience.add("s", make_rows(30, 1, Actor.SCRIPT, 0))
    for episode in range(1, 20):
        experience.add("s", make_rows(20, episode, Actor.POLICY, episode))
    assert experience.prior.transitions == 30
    assert experience.practice.size == 50


def test_rows_of_another_contract_are_refused(contract: TaskContract) -> None:
    with pytest.raises(SandlotError, match="different tasks or versions"):
        Experience(contract, LearnerConfig()).add("s", np.zeros(3, [("observation", "<f4", (2,))]))


def test_pictures_go_where_their_rows_go(
    contract: TaskContract, make_rows: Callable[..., Rows], tmp_path: Path
) -> None:
    """Each picture shows its row's number; a second learner finds them in the folder."""
    camera = ImageTerm(name="front", height=2, width=2, channels=1, stack=2)
    seeing = msgspec.structs.replace(contract, images=(camera,))
    config = LearnerConfig(batch=20, updates_per_step=3, n_step=2)
    one, sent, number = Experience(seeing, config, tmp_path), [], 0
    for actor, episode in ((Actor.SCRIPT, 0), (Actor.POLICY, 1), (Actor.POLICY, 2)):
        rows = make_rows(15, episode, actor, episode)
        rows["observation"][:, 0] = number + np.arange(16)
        frames = np.zeros(16, seeing.frame_dtype())
        frames["front"] = (number + np.arange(16))[:, None, None, None]
        number += 16
        one.add("s", rows, frames)
        sent.append(rows)
    two = Experience(seeing, config, tmp_path)
    for rows in sent:
        two.add("s", rows)
    batch = one.batch(RNG(0))
    (now,), (then,) = batch.images, batch.next_images
    assert now.shape == then.shape == (3, 20, 2, 2, 2, 1)
    for pictures, observation in ((now, batch.observation), (then, batch.next_observation)):
        assert (pictures[:, :, 1].flatten(2) == observation[..., :1]).all()
        first = observation[..., 0] % 16 == 0
        assert (pictures[:, :, 0, 0, 0, 0] == observation[..., 0] - 1 + first.float()).all()
    for a, b in zip(batch, two.batch(RNG(0)), strict=True):
        for x, y in zip(a, b, strict=True):
            assert (x == y).all()


def test_rows_without_pictures_are_refused(contract: TaskContract, make_rows: Callable[..., Rows]) -> None:
    seeing = msgspec.structs.replace(contract, images=(ImageTerm(name="front", height=2, width=2),))
    with pytest.raises(SandlotError, match="came without pictures"):
        Experience(seeing, LearnerConfig(capacity=10, prior_capacity=10)).add("s", make_rows(3))
