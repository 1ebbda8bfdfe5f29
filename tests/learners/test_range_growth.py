from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from learners.action_reach import ActionReach
from learners.config import DrqConfig, LearnerConfig
from learners.environments.point_circle import PointCircle
from learners.environments.settings import TrainingSettings, read_settings
from learners.environments.training import Training
from learners.learner import Learner
from learners.presets import preset
from learners.range_growth import GrowingRange, RangeGrowth, parse_growth
from robot.contract import ActionMap, TaskContract
from robot.errors import SpecError
from robot.messages import Actor

Rows = NDArray[np.void]
Make = Callable[..., Rows]

GROWTH = RangeGrowth(start=0.2, steps=40, window=10, failures=1, neutral={"a": -1.0})
CONFIG = LearnerConfig(hidden=(8, 8), batch=8, updates_per_step=2, warmup=0, matmul="float32", growth=GROWTH)


def shares(growth: RangeGrowth, failed: list[bool]) -> list[float]:
    """The share after each step."""
    found, growing = [], GrowingRange(growth)
    for one in failed:
        growing.step(one)
        found.append(growing.share)
    return found


def test_it_grows_linearly_to_the_whole_range_and_no_further() -> None:
    found = shares(GROWTH, [False] * 60)
    assert found[:9] == [0.2] * 9
    assert found[9::10] == pytest.approx([0.4, 0.6, 0.8, 1.0, 1.0, 1.0])
    assert found[39] == 1.0  # not one rounding less


def test_one_failure_too_many_halves_it_at_once_and_it_grows_on_from_there() -> None:
    calm, tolerated = [False] * 10, [True] + [False] * 9
    found = shares(GROWTH, calm * 3 + tolerated + [False, True, True] + calm)
    assert found[39] == 1.0  # one failure in a window is no reason not to grow
    assert found[40:43] == pytest.approx([1.0, 1.0, 0.5])
    assert found[-1] == pytest.approx(0.7)  # after a whole new window
    assert shares(GROWTH, [True] * 50)[-1] == 0.2  # never below the start


def test_only_what_the_published_policy_did_counts(contract: TaskContract, make_rows: Make) -> None:
    def share(rows: Rows) -> float:
        growing = GrowingRange(msgspec.structs.replace(GROWTH, failures=0))
        growing.share = 0.8
        for row in np.split(rows, len(rows)):
            growing.add(row)
        return growing.share

    rows = make_rows(9, terminated=True)
    rows["policy_version"] = 3
    assert share(rows) == 0.4
    for field, value in (("policy_version", 0), ("actor", int(Actor.HUMAN)), ("actor", int(Actor.SAFETY))):
        other = rows.copy()
        other[field] = value
        assert share(other) == 0.8
    assert share(make_rows(9)) == 0.8  # truncated


unit = st.floats(-1, 1, width=32)


@settings(deadline=None)
@given(st.floats(0.01, 1.0), st.lists(st.tuples(unit, unit, unit, unit), min_size=1, max_size=20))
def test_a_robot_executes_what_is_meant_and_stays_in_the_part_of_the_range(
    contract: TaskContract, share: float, drawn: list[tuple[float, ...]]
) -> None:
    """Or comes back to it as fast as its slew limit lets it."""
    reach = ActionReach(contract, RangeGrowth(neutral={"a": -1.0, "b": 1.0}))
    reach.keep_to(share)
    raw, previous = torch.tensor(drawn, dtype=torch.float32).split(2, -1)
    meant = reach(raw, previous).numpy()
    robot = ActionMap(contract.actions, contract.policy_hz)
    told = reach.widened(raw, previous).numpy()
    assert np.abs(told).max() <= 1.0
    executed = robot.reach(told, previous.numpy())
    np.testing.assert_allclose(executed, meant, atol=2e-6)
    least, most = np.array([-1.0, 0.5 - 1.5 * share]), np.array([2.0 * share - 1.0, 0.5 + 0.5 * share])
    nearest = robot.limit(np.clip(previous.numpy(), least, most), previous.numpy())
    inside = (previous.numpy() >= least) & (previous.numpy() <= most)
    slack = 2e-6
    assert ((executed >= least - slack) & (executed <= most + slack))[inside].all()
    way = np.abs(executed - np.clip(executed, least, most))
    assert (way <= np.abs(nearest - np.clip(nearest, least, most)) + slack).all()


@pytest.mark.parametrize("share", [0.2, 0.7, 1.0])
def test_the_file_acts_as_the_learner_does(contract: TaskContract, share: float) -> None:
    learner = Learner(contract, CONFIG, seed=3)
    learner.algorithm.action_share = share
    exported = learner.export(1)
    onnx.checker.check_model(onnx.load_model_from_string(exported), full_check=True)
    session = onnxruntime.InferenceSession(exported, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    observation = rng.normal(size=(64, contract.observation_size)).astype(np.float32)
    observation[:, contract.previous_action] = rng.uniform(-1, 1, (64, 2))
    for noise in (np.zeros((64, 2), np.float32), 2.0 * rng.normal(size=(64, 2)).astype(np.float32)):
        (theirs,) = session.run(["action"], {"observation": observation, "noise": noise})
        ours = [learner.act(o, n) for o, n in zip(observation, noise, strict=True)]
        np.testing.assert_allclose(theirs, ours, atol=1e-5)


def test_off_there_is_nothing_of_it(contract: TaskContract) -> None:
    learner = Learner(contract, msgspec.structs.replace(CONFIG, growth=RangeGrowth()), seed=3)
    operators = {node.op_type for node in onnx.load_model_from_string(learner.export(1)).graph.node}
    assert operators <= {"Sub", "Div", "Gemm", "Relu", "Clip", "Exp", "Mul", "Add", "Tanh"}
    assert "action_share" not in learner.metrics and "action_share" not in learner.state_dict()


def episodes(make_rows: Make, numbers: range) -> list[Rows]:
    found = [make_rows(13, k, Actor.POLICY, k, terminated=k % 5 == 2) for k in numbers]
    for rows in found:
        rows["policy_version"] = 1
    return found


def test_a_resumed_learner_is_where_it_would_have_been(
    contract: TaskContract, make_rows: Make, tmp_path: Path
) -> None:
    def learn(learner: Learner, rows: Rows) -> None:
        for row in np.split(rows, len(rows)):
            learner.add("s", row)
            while learner.due():
                learner.step()

    config = msgspec.structs.replace(CONFIG, growth=msgspec.structs.replace(GROWTH, steps=100))
    whole, first, again = (Learner(contract, config, seed=3) for _ in range(3))
    before, after = episodes(make_rows, range(4)), episodes(make_rows, range(4, 7))
    for rows in before:
        learn(whole, rows)
        learn(first, rows)
    first.save(tmp_path)
    again.load(tmp_path)
    assert again.export(1) == first.export(1), "the policy needs no rows"
    for rows in before:
        again.add("s", rows)
    assert again.metrics["action_share"] == again.range.share == whole.range.share
    assert GROWTH.start < again.range.share < 1.0
    for rows in after:
        learn(whole, rows)
        learn(again, rows)
    assert again.range.share == whole.range.share
    assert again.export(2) == whole.export(2)
    assert {k: v.tobytes() for k, v in again.state_dict().items()} == {
        k: v.tobytes() for k, v in whole.state_dict().items()
    }


def test_all_candidates_of_avtd_keep_to_it(contract: TaskContract, make_rows: Make) -> None:
    small = {"hidden": [8], "batch": 8, "warmup": 0, "matmul": "float32"}
    learner = Learner(contract, preset("avtd", small | {"growth": msgspec.to_builtins(GROWTH)}), 0)
    for rows in episodes(make_rows, range(2)):
        learner.add("s", rows)
    assert learner.range.share == pytest.approx(0.6)
    assert [one.action_share for one in learner.algorithm.candidates] == [learner.range.share] * 4


def test_random_steps_and_the_policy_s_stay_inside_in_an_environment(tmp_path: Path) -> None:
    growth = {"start": 0.3, "steps": 60, "window": 20, "neutral": {"action_1": 1.0}}
    learner = preset("sac", {"hidden": [8], "batch": 8, "warmup": 100, "growth": growth})
    settings = TrainingSettings(
        "circle", "sac", learner, steps=220, evaluate_every=1_000, evaluation_episodes=1
    )
    seen: list[tuple[NDArray[np.float32], float]] = []

    def watch(training: Training) -> None:
        share = 0.3 if training.learner is None else training.learner.range.share
        seen.append((training._source.observation[-2:].copy(), share))

    training = Training(PointCircle, tmp_path / "run", settings, watch=watch)
    training.run()
    training.close()
    assert read_settings(tmp_path / "run" / "settings.toml") == settings
    # A row's action was chosen when its share was still that of the step before.
    for (action, _), (_, share) in zip(seen[1:], seen, strict=False):
        assert abs(action[0]) <= share + 1e-6 and 1.0 - action[1] <= 2.0 * share + 1e-6
    actions = np.array([action for action, _ in seen])
    assert np.abs(actions[:100, 0]).max() > 0.28 and seen[-1][1] == 1.0


def test_what_makes_no_sense_is_refused(contract: TaskContract) -> None:
    for wrong in ({"start": 0.0}, {"start": 1.1}, {"window": 0}, {"window": 9, "steps": 8}, {"failures": -1}):
        with pytest.raises(SpecError, match="range growth"):
            RangeGrowth(**wrong)  # type: ignore[arg-type]
    for neutral, said in (({"c": 0.0}, "no action 'c'"), ({"a": 3.5}, r"must lie in \[-1, 3\]; got 3.5")):
        with pytest.raises(SpecError, match=said):
            ActionReach(contract, RangeGrowth(neutral=neutral))
    with pytest.raises(SpecError, match="pictures"):
        DrqConfig(growth=GROWTH)
    assert parse_growth(()) == RangeGrowth()
    assert parse_growth(("0.35", "speed=0.4")) == RangeGrowth(start=0.35, neutral={"speed": 0.4})
    for words in (("half",), ("0.5", "speed"), ("0.5", "speed=slow")):
        with pytest.raises(SpecError, match="expected SHARE"):
            parse_growth(words)
