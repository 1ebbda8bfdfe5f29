"""A run in a folder: the same again from its seed, and the same after any kill."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from small_environment import PointEnvironment, ScriptedEnvironment

from learners.config import LearnerConfig
from learners.environments.contract import environment_contract, normalisation
from learners.environments.settings import TrainingSettings
from learners.environments.train import train
from learners.environments.training import Training
from learners.journal import Journal
from robot.claim import ClaimedError, claim
from robot.contract import TaskContract
from robot.errors import ContractMismatchError, SandlotError
from robot.frame_file import StorageError
from robot.messages import Actor
from robot.policy import Policy

LEARNER = LearnerConfig(hidden=(16, 16), batch=16, warmup=60, updates_per_step=2, dropout=0.05)
SETTINGS = TrainingSettings(
    environment="point",
    algorithm="test",
    learner=LEARNER,
    steps=160,
    seed=3,
    evaluate_every=50,
    evaluation_episodes=2,
    checkpoint_every=40,
)
DTYPE = environment_contract(PointEnvironment(), "point").step_dtype()


class KilledError(Exception):
    """As if the process had been."""


@dataclass
class Kill:
    """Die after a step."""

    step: int

    def __call__(self, training: Training) -> None:
        if training.steps == self.step:
            raise KilledError


def ran(directory: Path, settings: TrainingSettings = SETTINGS, prior: Path | None = None) -> Training:
    training = Training(PointEnvironment, directory, settings, prior=prior)
    training.run()
    training.close()
    return training


def outcome(directory: Path) -> dict[str, Any]:
    """All that a run leaves, times aside."""
    curve = [line.split(",") for line in (directory / "curve.csv").read_text().splitlines()]
    names = ("contract.json", "settings.toml", "policy.onnx")
    journal = Journal(directory / "rows.journal", DTYPE)
    rows = [[rows[field].tobytes() for field in DTYPE.fields or ()] for _, rows in journal.replay()]
    journal.close()
    return {name: (directory / name).read_bytes() for name in names} | {
        "curve": [line[:1] + line[2:] for line in curve],
        "rows": rows,
    }


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("unbroken")
    ran(directory)
    return directory


@pytest.mark.slow
@pytest.mark.parametrize("step", [1, 60, 61, 119, 130, 159])
def test_killed_at_any_step_it_becomes_what_it_would_have_become(
    step: int, unbroken: Path, tmp_path: Path
) -> None:
    with pytest.raises(KilledError):
        Training(PointEnvironment, tmp_path, SETTINGS, watch=Kill(step)).run()
    went_on = ran(tmp_path)
    assert went_on.steps == 160
    assert outcome(tmp_path) == outcome(unbroken)


@pytest.mark.slow
def test_a_torn_checkpoint_costs_the_time_since_the_one_before_it_and_nothing_else(
    unbroken: Path, tmp_path: Path
) -> None:
    with pytest.raises(KilledError):
        Training(PointEnvironment, tmp_path, SETTINGS, watch=Kill(130)).run()
    newest = sorted((tmp_path / "checkpoints").iterdir())[-1]
    newest.write_bytes(newest.read_bytes()[:1000])
    ran(tmp_path)
    assert outcome(tmp_path) == outcome(unbroken)


def test_a_run_is_prolonged_as_if_it_had_been_meant_to_be_longer(unbroken: Path, tmp_path: Path) -> None:
    short = msgspec.structs.replace(SETTINGS, steps=110)
    ran(tmp_path, short)
    told: list[str] = []
    longer = Training(PointEnvironment, tmp_path, SETTINGS, tell=told.append)
    assert any("going on from step" in line for line in told)
    longer.run()
    longer.close()
    assert outcome(tmp_path) == outcome(unbroken)


def test_a_short_run_has_a_checkpoint_and_says_where_it_goes_on(unbroken: Path, tmp_path: Path) -> None:
    """Of its last episode that ended, whatever ``checkpoint_every``; before that it begins again, and says
    so."""
    seldom = msgspec.structs.replace(SETTINGS, checkpoint_every=1000)
    with pytest.raises(KilledError):
        Training(PointEnvironment, tmp_path, seldom, watch=Kill(100)).run()
    told: list[str] = []
    again = Training(PointEnvironment, tmp_path, seldom, tell=told.append)
    assert "it has no checkpoint yet, and begins again" in told and again.checkpointed == 0
    again.run()
    again.close()
    assert 140 <= again.checkpointed <= 160
    ours, theirs = outcome(tmp_path), outcome(unbroken)
    del ours["settings.toml"], theirs["settings.toml"]
    assert ours == theirs


def test_every_step_is_in_the_journal_and_nothing_else_is(tmp_path: Path) -> None:
    """Also of the episode that the run ends in; and no memory between the fields of a row."""
    shorter = msgspec.structs.replace(SETTINGS, steps=55)
    found = []
    for name in ("a", "b"):
        ran(tmp_path / name, shorter)
        found.append((tmp_path / name / "rows.journal").read_bytes())
    assert found[0] == found[1]
    journal = Journal(tmp_path / "a" / "rows.journal", DTYPE)
    rows = np.concatenate([rows for _, rows in journal.replay()])
    journal.close()
    assert np.count_nonzero(~rows["last"]) == 55 and not rows["last"][-1]


def test_prior_data_that_was_damaged_ends_a_resume(unbroken: Path, tmp_path: Path) -> None:
    ran(tmp_path, msgspec.structs.replace(SETTINGS, steps=100), unbroken)
    prior = next((tmp_path / "prior").iterdir())
    content = bytearray(prior.read_bytes())
    content[len(content) // 2] ^= 1
    prior.write_bytes(content)
    with pytest.raises(SandlotError, match="bytes at its end are damaged"):
        Training(PointEnvironment, tmp_path, SETTINGS)
    with pytest.raises(ContractMismatchError, match="warmup"):  # nor without a word another time
        Training(PointEnvironment, tmp_path, SETTINGS)


def test_it_goes_on_with_other_threads_and_comes_to_the_same(unbroken: Path, tmp_path: Path) -> None:
    with pytest.raises(KilledError):
        Training(PointEnvironment, tmp_path, SETTINGS, watch=Kill(130)).run()
    ran(tmp_path, msgspec.structs.replace(SETTINGS, learner=msgspec.structs.replace(LEARNER, threads=2)))
    ours, theirs = outcome(tmp_path), outcome(unbroken)
    assert ours.pop("settings.toml") != theirs.pop("settings.toml")
    assert ours == theirs


@pytest.mark.slow
def test_the_seed_decides_everything(unbroken: Path, tmp_path: Path) -> None:
    ran(tmp_path / "same")
    ran(tmp_path / "other", msgspec.structs.replace(SETTINGS, seed=4))
    assert outcome(tmp_path / "same") == outcome(unbroken)
    assert outcome(tmp_path / "other")["policy.onnx"] != outcome(unbroken)["policy.onnx"]


def test_evaluating_more_often_changes_nothing_but_the_curve(unbroken: Path, tmp_path: Path) -> None:
    ran(tmp_path, msgspec.structs.replace(SETTINGS, evaluate_every=20, evaluation_episodes=3))
    often, seldom = outcome(tmp_path), outcome(unbroken)
    assert often["rows"] == seldom["rows"]
    assert often["policy.onnx"] == seldom["policy.onnx"]
    assert len(often["curve"]) > len(seldom["curve"])


def test_updates_and_rows_are_as_many_as_the_settings_say(tmp_path: Path) -> None:
    done = ran(tmp_path)
    assert done.learner is not None
    assert done.learner.experience.steps == 160
    assert done.learner.updates == 2 * (160 - 60)
    assert done.learner.pacing.given_up == 0
    assert [point.step for point in done.curve] == [100, 150, 160]
    assert [point.updates for point in done.curve] == [2 * (step - 60) for step in (100, 150, 160)]
    assert all(1 <= point.length_mean <= 20 for point in done.curve)


def test_the_first_steps_are_random_and_what_they_show_fixes_the_normalisation(tmp_path: Path) -> None:
    done = ran(tmp_path, msgspec.structs.replace(SETTINGS, steps=100))
    assert done.learner is not None
    journal = Journal(tmp_path / "rows.journal", DTYPE)
    versions = np.concatenate([rows["policy_version"][~rows["last"]] for _, rows in journal.replay()])
    journal.close()
    assert versions[:63].tolist() == [0] * 60 + [1, 1, 2]
    replay = done.learner.experience.practice
    actions = replay.action[: replay.size][replay._valid[: replay.size]][:60]
    assert np.abs(actions).max() <= 1.0 and 0.4 < actions.std() < 0.75
    assert len(np.unique(actions[:, 0])) == 60, "every episode has noise of its own"
    contract = done.learner.contract
    steps = np.arange(replay.size) - np.cumsum(~replay._valid[: replay.size])
    seen = replay.observation[: replay.size][steps < 60][:, :2]
    offset, scale = normalisation(seen, 2)
    np.testing.assert_allclose(contract.normaliser()[0][:2], offset, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(contract.normaliser()[1][:2], scale, rtol=1e-5)
    raw = ran(tmp_path / "raw", msgspec.structs.replace(SETTINGS, steps=100, normalise=False))
    assert raw.learner is not None
    assert raw.learner.contract.normaliser()[1].tolist() == [1, 1, 1, 1]


def test_the_policy_file_acts_as_the_learner_does(tmp_path: Path) -> None:
    done = ran(tmp_path)
    assert done.learner is not None
    contract = msgspec.json.decode((tmp_path / "contract.json").read_bytes(), type=TaskContract)
    policy = Policy(done.policy, contract)
    rng = np.random.default_rng(0)
    for _ in range(20):
        observation = rng.normal(size=contract.observation_size).astype(np.float32)
        noise = rng.normal(size=contract.action_size).astype(np.float32)
        np.testing.assert_allclose(
            done.learner.act(observation, noise), policy.act(observation, noise), atol=1e-5
        )
        still = policy.act(observation, np.zeros_like(noise))
        np.testing.assert_allclose(done.learner.act(observation), still, atol=1e-5)


@pytest.mark.slow
def test_prior_data_is_learned_from_besides_and_earns_no_updates(unbroken: Path, tmp_path: Path) -> None:
    with pytest.raises(KilledError):
        Training(PointEnvironment, tmp_path / "a", SETTINGS, prior=unbroken, watch=Kill(100)).run()
    done = ran(tmp_path / "a")  # the run has its own copy
    ran(tmp_path / "b", prior=unbroken)
    assert outcome(tmp_path / "a") == outcome(tmp_path / "b")
    assert done.learner is not None
    experience = done.learner.experience
    assert experience.prior.transitions > 120 and experience.practice.transitions > 120
    assert done.learner.updates == 2 * (160 - 60)
    assert outcome(tmp_path / "a")["policy.onnx"] != outcome(unbroken)["policy.onnx"]


def test_what_safety_did_is_no_demonstration(unbroken: Path, tmp_path: Path) -> None:
    source = Journal(unbroken / "rows.journal", DTYPE)
    rows = next(iter(source.replay()))[1].copy()
    source.close()
    rows["actor"][0] = int(Actor.RECOVERY)
    (tmp_path / "data").mkdir()
    data = Journal(tmp_path / "data" / "one.journal", DTYPE)
    data.append("s", 0, rows)
    data.close()
    done = ran(tmp_path / "run", msgspec.structs.replace(SETTINGS, steps=61), tmp_path / "data")
    assert done.learner is not None
    assert done.learner.experience.prior.transitions == np.count_nonzero(~rows["last"]) - 1


def test_prior_data_that_cannot_be_used_is_refused_before_anything_is_begun(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for folder, expected in ((tmp_path / "empty", "none in it"), (tmp_path / "absent", "no such folder")):
        with pytest.raises(SandlotError, match=expected):
            Training(PointEnvironment, tmp_path / "run", SETTINGS, prior=folder)
    assert not (tmp_path / "run").exists()
    ran(tmp_path / "other", msgspec.structs.replace(SETTINGS, steps=5))

    def make() -> ScriptedEnvironment:
        return ScriptedEnvironment([(True, False)])

    with pytest.raises(SandlotError, match="expected 1 actions; it has 2; expected 2 observations"):
        Training(make, tmp_path / "run", SETTINGS, prior=tmp_path / "other")
    assert not (tmp_path / "run").exists()


def test_what_cannot_be_begun_leaves_no_settings_and_nothing_claimed(tmp_path: Path) -> None:
    journal = tmp_path / "rows.journal"
    journal.write_bytes(b"of something else than rows")
    with pytest.raises(StorageError) as refused:
        Training(PointEnvironment, tmp_path, SETTINGS)
    assert not (tmp_path / "settings.toml").exists()
    claim(journal).close()
    assert refused.tb is not None, "which holds on to everything that the constructor had"


def test_a_device_that_is_not_there_is_refused_before_any_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    on_gpu = msgspec.structs.replace(SETTINGS, learner=msgspec.structs.replace(LEARNER, device="cuda"))
    with pytest.raises(SandlotError, match="learn on the processor with device=cpu"):
        Training(PointEnvironment, tmp_path / "run", on_gpu)
    assert not (tmp_path / "run").exists()


def test_another_run_s_folder_is_refused(tmp_path: Path) -> None:
    ran(tmp_path, msgspec.structs.replace(SETTINGS, steps=5))
    other = msgspec.structs.replace(SETTINGS, learner=msgspec.structs.replace(LEARNER, critics=3))
    with pytest.raises(ContractMismatchError, match=r"learner\.critics: ours 3, theirs 2"):
        Training(PointEnvironment, tmp_path, other)


def test_train_is_all_of_it_in_one_call(tmp_path: Path) -> None:
    small = {"hidden": [16], "batch": 16, "warmup": 40}
    done = train(PointEnvironment, tmp_path, "sac", steps=80, seed=1, learner=small, evaluate_every=40)
    assert done.settings.environment == "PointEnvironment"
    assert [point.step for point in done.curve] == [40, 80]
    assert done.policy.exists()


def test_two_cannot_practise_in_one_folder(tmp_path: Path) -> None:
    first = Training(PointEnvironment, tmp_path, SETTINGS)
    with pytest.raises(ClaimedError, match="in use by another process"):
        Training(PointEnvironment, tmp_path, SETTINGS)
    first.close()
    Training(PointEnvironment, tmp_path, SETTINGS).close()
