"""An offline phase: nothing of the environment but evaluations, and the same after any kill."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from small_environment import PointEnvironment

from learners.environments.contract import environment_contract, normalisation
from learners.environments.settings import TrainingSettings
from learners.environments.training import Training
from learners.journal import Journal
from learners.presets import preset
from robot.errors import SandlotError, SpecError
from robot.policy import Policy

SMALL: dict[str, Any] = {"hidden": [16], "batch": 16, "updates_per_step": 2, "warmup": 30}
DIFFUSION = {"actor_width": 8, "actor_blocks": 1, "time_features": 4, "candidates": 3}
ALGORITHMS: dict[str, dict[str, Any]] = {"rlpd": {"critics": 2}, "bc": {}, "iql": {}, "idql": DIFFUSION}
DTYPE = environment_contract(PointEnvironment(), "point").step_dtype()


class KilledError(Exception):
    """As if the process had been."""


def settings(algorithm: str, steps: int = 0) -> TrainingSettings:
    return TrainingSettings(
        environment="point",
        algorithm=algorithm,
        learner=preset(algorithm, SMALL | ALGORITHMS[algorithm]),
        steps=steps,
        offline_steps=50,
        seed=3,
        evaluate_every=25,
        evaluation_episodes=2,
        checkpoint_every=20,
    )


@pytest.fixture(scope="module")
def prior(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random steps."""
    directory = tmp_path_factory.mktemp("prior")
    random = TrainingSettings(
        environment="point", algorithm="sac", learner=preset("sac", SMALL | {"warmup": 200}), steps=120
    )
    ran(directory, random)
    return directory


def ran(directory: Path, wanted: TrainingSettings, prior: Path | None = None, kill: int = -1) -> Training:
    def watch(training: Training) -> None:
        if training.progress == kill:
            raise KilledError

    training = Training(PointEnvironment, directory, wanted, prior=prior, watch=watch)
    training.run()
    training.close()
    return training


def outcome(directory: Path) -> dict[str, Any]:
    """All that a run leaves, times aside."""
    curve = [line.split(",") for line in (directory / "curve.csv").read_text().splitlines()]
    journal = Journal(directory / "rows.journal", DTYPE)
    # Field by field: between them is padding.
    rows = [[rows[field].tobytes() for field in DTYPE.fields or ()] for _, rows in journal.replay()]
    journal.close()
    names = ("contract.json", "policy.onnx")
    return {name: (directory / name).read_bytes() for name in names} | {
        "curve": [line[:1] + line[2:] for line in curve],
        "rows": rows,
    }


def versions(directory: Path) -> list[int]:
    """Of the policy that acted, step by step, in the episodes that have ended."""
    journal = Journal(directory / "rows.journal", DTYPE)
    found = [version for _, rows in journal.replay() for version in rows["policy_version"][~rows["last"]]]
    journal.close()
    return [int(version) for version in found]


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_offline_and_then_online_killed_anywhere_it_becomes_the_same(
    algorithm: str, prior: Path, tmp_path: Path
) -> None:
    """Killed in the offline phase, between the phases and online; and ended offline, prolonged online."""
    both = settings(algorithm, steps=90)
    whole = ran(tmp_path / "whole", both, prior)
    assert [point.step for point in whole.curve] == [25, 50, 75, 100, 125, 140]
    for kill in (33, 50, 51, 110):
        directory = tmp_path / str(kill)
        with pytest.raises(KilledError):
            ran(directory, both, prior, kill)
        ran(directory, both)
        assert outcome(directory) == outcome(tmp_path / "whole"), kill
    ended = ran(tmp_path / "ended", settings(algorithm), prior)
    assert (ended.steps, ended.progress) == (0, 50)
    assert outcome(tmp_path / "ended")["rows"] == []
    ran(tmp_path / "ended", both)
    assert outcome(tmp_path / "ended") == outcome(tmp_path / "whole")


@pytest.mark.slow
def test_updates_are_counted_and_the_policy_acts_from_the_first_step_on(prior: Path, tmp_path: Path) -> None:
    done = ran(tmp_path, settings("iql", steps=90), prior)
    learner = done.learner
    assert learner is not None
    assert learner.pretrained == 50 and learner.pacing.done == 90 - 30
    assert learner.updates == 2 * (50 + 60)
    assert [point.updates for point in done.curve[:2]] == [50, 100]
    # Random actions would be uniform: the first steps are the offline policy's instead.
    practice = learner.experience.practice
    offline = ran(tmp_path / "offline", settings("iql"), prior)
    policy = Policy(offline.policy, learner.contract)
    first = practice.observation[0]
    noise = np.random.default_rng(np.random.SeedSequence(3, spawn_key=(1, 0))).standard_normal(2, np.float32)
    np.testing.assert_allclose(practice.action[0], policy.act(first, noise), atol=1e-5)
    # The steps that earn no updates are the policy's all the same; of 90 those of a whole episode are there.
    found = versions(tmp_path)
    assert found[:31] == [50] * 31 and found[31:] == list(range(51, 50 + len(found) - 30))


def test_what_an_offline_policy_does_counts_before_its_first_update_online(
    prior: Path, tmp_path: Path
) -> None:
    growth = {"start": 0.5, "window": 10, "steps": 20, "failures": 100}
    learner = preset("rlpd", SMALL | {"critics": 2, "warmup": 1_000, "growth": growth})
    done = ran(tmp_path, msgspec.structs.replace(settings("rlpd", steps=20), learner=learner), prior)
    assert done.learner is not None and done.learner.pacing.done == 0
    assert done.learner.range.share == 1.0


@pytest.mark.slow
def test_an_online_run_begins_with_what_an_offline_run_has_learned(prior: Path, tmp_path: Path) -> None:
    """Its first actions, its normalisation; and wherever it is killed, it becomes the same."""
    offline = ran(tmp_path / "offline", settings("iql"), prior)
    online = msgspec.structs.replace(settings("rlpd", steps=90), offline_steps=0)

    def go(name: str, kill: int = -1, initial: Path | None = offline.folder.path) -> Training:
        def watch(training: Training) -> None:
            if training.progress == kill:
                raise KilledError

        training = Training(PointEnvironment, tmp_path / name, online, initial=initial, watch=watch)
        training.run()
        training.close()
        return training

    whole = go("whole")
    assert whole.learner is not None and whole.steps == 90
    assert (tmp_path / "whole/contract.json").read_bytes() == (
        offline.folder.path / "contract.json"
    ).read_bytes()
    practice = whole.learner.experience.practice
    std = np.exp(offline.learner.algorithm.actor.published.tensors["log_std_bias"].numpy())  # type: ignore
    seeds = np.random.SeedSequence(3, spawn_key=(1, 0))
    noise = np.random.default_rng(seeds).standard_normal(2, np.float32)
    mean = Policy(offline.policy, whole.learner.contract).act(practice.observation[0], 0 * noise)
    wanted = np.tanh(np.arctanh(mean) + std * noise)
    np.testing.assert_allclose(practice.action[0], wanted, atol=1e-5)
    assert versions(tmp_path / "whole")[:31] == [1] * 31, "random steps would have 0"
    for kill in (5, 60):
        with pytest.raises(KilledError):
            go(str(kill), kill)
        go(str(kill), initial=None)
        assert outcome(tmp_path / str(kill)) == outcome(tmp_path / "whole")


def test_the_prior_data_alone_fixes_the_normalisation(prior: Path, tmp_path: Path) -> None:
    done = ran(tmp_path, settings("bc"), prior)
    assert done.learner is not None
    journal = Journal(prior / "rows.journal", DTYPE)
    seen = np.concatenate([rows["observation"][:, :2] for _, rows in journal.replay()])
    journal.close()
    offset, scale = normalisation(seen, 2)
    np.testing.assert_allclose(done.learner.contract.normaliser()[0][:2], offset, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(done.learner.contract.normaliser()[1][:2], scale, rtol=1e-5)
    assert done.learner.experience.practice.transitions == 0
    assert done.learner.experience.prior.transitions > 100


def test_there_must_be_something_to_learn_from_and_something_to_do(tmp_path: Path) -> None:
    with pytest.raises(SandlotError, match="--prior"):
        Training(PointEnvironment, tmp_path / "run", settings("iql"))
    assert not (tmp_path / "run").exists()
    with pytest.raises(SandlotError, match="imitates and does not practise"):
        Training(PointEnvironment, tmp_path / "run", settings("bc"))
    with pytest.raises(SpecError, match="at least one step"):
        msgspec.structs.replace(settings("iql"), offline_steps=0)
