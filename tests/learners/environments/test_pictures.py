"""Environments that show pictures: contract, stacks, a run that goes on after a kill, and learning itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pytest
from small_environment import DotEnvironment, PointEnvironment, box

from learners.config import DrqConfig
from learners.environments.contract import environment_contract
from learners.environments.episodes import Episodes
from learners.environments.evaluation import evaluate
from learners.environments.settings import TrainingSettings
from learners.environments.sight import Sight
from learners.environments.training import Training
from robot.contract import ImageTerm
from robot.errors import SandlotError
from robot.messages import Actor

TINY = DrqConfig(
    hidden=(16, 16),
    batch=16,
    filters=(4, 4),
    strides=(2, 2),
    features=8,
    warmup=60,
    updates_per_step=1,
    n_step=2,
    capacity=500,
    prior_capacity=500,
)
SETTINGS = TrainingSettings(
    environment="dot",
    algorithm="drq",
    learner=TINY,
    steps=200,
    seed=3,
    evaluate_every=50,
    evaluation_episodes=2,
    checkpoint_every=30,
    image_stack=2,
)


class Dict(NamedTuple):
    """As gymnasium.spaces.Dict has it."""

    spaces: dict[str, Any]


def test_numbers_and_pictures_under_names_are_told_apart() -> None:
    eye = DotEnvironment().observation_space
    sight = Sight(Dict({"speed": box([-1, -1], [1, 1]), "eye": eye, "arm": box([0], [1])}), "both", 2)
    assert sight.size == 3
    assert sight.images == (ImageTerm("eye", 16, 16, 1, 2),)
    seen = {"speed": np.array([1, 2]), "eye": np.full((16, 16, 1), 7, np.uint8), "arm": np.array([3])}
    assert sight.numbers(seen).tolist() == [1, 2, 3]
    assert (sight.frame(seen, np.dtype([("eye", "u1", (16, 16, 1))]))["eye"] == 7).all()
    alone = Sight(eye, "alone", 3)
    assert alone.size == 0 and alone.images == (ImageTerm("pixels", 16, 16, 1, 3),)
    assert Sight(PointEnvironment().observation_space, "point", 3).images == ()


def test_an_actor_sees_the_newest_pictures_and_at_first_the_first_one_again() -> None:
    environment = DotEnvironment()
    contract = environment_contract(environment, "dot", stack=3)
    assert contract.observation_size == 2, "the previous action only"
    episodes = Episodes(environment, contract, 1000)
    episodes.begin(0, 1)
    seen, rows, kept = [environment.picture()], [], []
    for k in range(21):
        wanted = [seen[max(i, 0)] for i in range(k - 2, k + 1)]
        np.testing.assert_array_equal(episodes.images[0], wanted)
        if episodes.over:
            break
        rows.append(episodes.step(np.full(2, 0.9 * (-1) ** k), Actor.POLICY))
        assert episodes.pictures is not None and len(episodes.pictures) == len(rows[-1])
        kept.append(episodes.pictures["pixels"])
        seen.append(environment.picture())
    np.testing.assert_array_equal(np.concatenate(kept), seen)
    episodes.begin(1, 2)
    np.testing.assert_array_equal(episodes.images[0], [environment.picture()] * 3)


class KilledError(Exception):
    """As if the process had been."""


@pytest.mark.slow
def test_a_killed_run_goes_on_and_comes_to_the_same(tmp_path: Path) -> None:
    def run(folder: Path, die: int = 0) -> Training:
        def watch(training: Training) -> None:
            if training.steps == die:
                raise KilledError

        training = Training(DotEnvironment, folder, SETTINGS, watch=watch)
        try:
            training.run()
        finally:
            training.close()
        return training

    whole = run(tmp_path / "whole")
    for die in (10, 75, 150):
        with pytest.raises(KilledError):
            run(tmp_path / "killed", die)
    again = run(tmp_path / "killed")
    assert whole.learner is not None and again.learner is not None
    ours, theirs = (learner.algorithm.arrays() for learner in (whole.learner, again.learner))
    assert {k: v.tobytes() for k, v in ours.items()} == {k: v.tobytes() for k, v in theirs.items()}
    assert [p.return_mean for p in whole.curve] == [p.return_mean for p in again.curve]
    assert [p.step for p in whole.curve] == [100, 150, 200]
    assert whole.policy.read_bytes() == again.folder.policy.read_bytes()


@pytest.mark.slow
def test_a_run_goes_on_without_the_one_that_its_encoder_came_from(tmp_path: Path) -> None:
    """Killed before its first checkpoint, and after it."""
    soon = msgspec.structs.replace(TINY, warmup=25)
    few = msgspec.structs.replace(SETTINGS, learner=soon, steps=60, checkpoint_every=20)

    def run(folder: str, settings: TrainingSettings, die: int = 0) -> Training:
        def watch(training: Training) -> None:
            if training.steps == die:
                raise KilledError

        training = Training(DotEnvironment, tmp_path / folder, settings, watch=watch)
        try:
            training.run()
        finally:
            training.close()
        return training

    source = run("source", few)
    begun = msgspec.structs.replace(soon, encoder=str(tmp_path / "source" / "checkpoints"))
    settings = msgspec.structs.replace(few, learner=begun, seed=4)
    whole = run("whole", settings)
    with pytest.raises(KilledError):
        run("killed", settings, 10)
    source.folder.path.rename(tmp_path / "gone")
    with pytest.raises(KilledError):
        run("killed", settings, 50)
    again = run("killed", settings)
    assert whole.learner is not None and again.learner is not None
    ours, theirs = (learner.algorithm.arrays() for learner in (whole.learner, again.learner))
    assert {k: v.tobytes() for k, v in ours.items()} == {k: v.tobytes() for k, v in theirs.items()}
    assert whole.policy.read_bytes() == again.folder.policy.read_bytes()
    with pytest.raises(SandlotError, match="source"):
        run("new", settings)
    assert not (tmp_path / "new").exists()


@pytest.fixture
def another(tmp_path: Path) -> Path:
    """A short run from pictures, with a checkpoint."""
    soon = msgspec.structs.replace(TINY, warmup=25)
    few = msgspec.structs.replace(SETTINGS, learner=soon, steps=50, evaluate_every=50, evaluation_episodes=1)
    training = Training(DotEnvironment, tmp_path / "another", few)
    training.run()
    training.close()
    return training.folder.path


def test_prior_data_without_pictures_is_refused(another: Path, tmp_path: Path) -> None:
    with pytest.raises(SandlotError, match="journals hold no pictures"):
        Training(DotEnvironment, tmp_path / "new", SETTINGS, prior=another)


def test_other_networks_than_an_encoder_are_no_beginning_for_what_sees(another: Path, tmp_path: Path) -> None:
    with pytest.raises(SandlotError, match="networks to begin with are for rlpd and its relatives"):
        Training(DotEnvironment, tmp_path / "new", SETTINGS, initial=another)
    assert not (tmp_path / "new" / "settings.toml").exists()


@pytest.mark.slow
def test_a_dot_is_brought_to_the_middle_by_what_is_seen_of_it(tmp_path: Path) -> None:
    """A random policy earns about -9 in an episode, one that goes straight to the middle about -1.2; with an
    encoder that shows nothing the best is to stay, about -9."""
    config = msgspec.structs.replace(
        TINY,
        hidden=(64, 64),
        filters=(16, 16),
        features=16,
        batch=64,
        shift=1,
        warmup=400,
        n_step=1,
        discount=0.9,
        learning_rate=1e-3,
        temperature_learning_rate=1e-3,
        initial_temperature=0.05,
        capacity=5000,
        actor_average=1.0,
    )
    settings = msgspec.structs.replace(
        SETTINGS, learner=config, steps=1_200, evaluate_every=1_200, evaluation_episodes=20, image_stack=1
    )
    training = Training(DotEnvironment, tmp_path, settings)
    training.run()
    training.close()
    rng = np.random.default_rng(0)
    contract = environment_contract(DotEnvironment(), "dot")
    untrained = evaluate(
        Episodes(DotEnvironment(), contract, 100),
        lambda o, i: rng.uniform(-1, 1, 2).astype(np.float32),
        range(20),
    )
    assert untrained.returns.mean() < -6
    assert training.curve[-1].return_mean > -2.5
