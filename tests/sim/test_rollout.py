"""Episodes of many cars: the same for any company and any number of threads, and judged by what they show."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from learners.export import policy_file
from robot.contract import TaskContract, task_contract
from robot.messages import Cause, SafetyState
from robot.policy import Policy
from robot.practice.course import load_course
from robot.practice.lap_task import LapTask
from robot.spec import at_site, load_spec
from robot.task import Success
from sim.episode_results import Ending, EpisodeResults
from sim.estimate_errors import load_errors
from sim.fleet_pilots import CHUNK, PolicyFile, PolicyPilots
from sim.randomisation import Draws, draw, nominal, randomised
from sim.rollout import Rollout, Setting, rollout
from sim.world import load_world, world_path

ROOT = Path(__file__).parents[2]
COURSE = load_course(ROOT / "launch/courses/oval.toml")
SPEC = at_site(load_spec(ROOT / "launch/robots/racer.toml"), COURSE.file.site)


def make_task() -> LapTask:
    return LapTask(SPEC, COURSE)


def contract() -> TaskContract:
    task = make_task()
    return task_contract(SPEC, task.name, task.observation, task.reward_terms, task.cost_terms)


CONTRACT = contract()
SETTING = Setting(
    spec=SPEC,
    contract=CONTRACT,
    course=COURSE,
    world=load_world(world_path("oval")),
    make_task=make_task,
    seconds=0.8,
    threads=1,
)


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """tanh(observation @ weight + bias + noise): it steers towards the course 1.3 m ahead, at 2 m/s."""
    weight = np.zeros((CONTRACT.observation_size, 2), np.float32)
    layout = CONTRACT.observation_layout
    weight[layout.index("preview_2_y"), 1], weight[layout.index("velocity_body_x"), 0] = 1.5, -1.0
    nodes = [
        helper.make_node("Gemm", ["observation", "weight", "bias"], ["mean"]),
        helper.make_node("Add", ["mean", "noise"], ["sample"]),
        helper.make_node("Tanh", ["sample"], ["action"]),
    ]
    constants = {"weight": weight, "bias": np.array([2.0, 0.0], np.float32)}
    path = tmp_path_factory.mktemp("policy") / "policy.onnx"
    path.write_bytes(policy_file(CONTRACT, nodes, constants, 2, SPEC.calibration_hash(), 1))
    return path


def drive(
    policy: Path, draws: Draws, setting: Setting = SETTING, record: tuple[int, ...] = ()
) -> EpisodeResults:
    return rollout(setting, PolicyPilots(PolicyFile(policy, CONTRACT), CONTRACT), draws, record)


class Straight:
    """Full ahead, and never mind the bend."""

    def act(self, now_ns: int, states, observations, previous, cars):  # type: ignore[no-untyped-def]
        return np.tile([0.2, 0.0], (len(cars), 1))


def test_a_batch_of_observations_is_acted_on_row_by_row(policy: Path) -> None:
    single, many = Policy(policy, CONTRACT), PolicyFile(policy, CONTRACT)
    rng = np.random.default_rng(0)
    observations = rng.normal(size=(CHUNK + 5, CONTRACT.observation_size)).astype(np.float32)
    actions = many(observations)
    alone = np.array([single.act(o, np.zeros(2, np.float32)).copy() for o in observations])
    np.testing.assert_allclose(actions, alone, atol=1e-6)
    np.testing.assert_array_equal(actions[::-1], many(observations[::-1]))
    np.testing.assert_array_equal(actions[3:4], many(observations[3:4]))


def test_an_episode_is_the_same_alone_and_beside_others_at_any_number_of_threads(policy: Path) -> None:
    draws = draw(randomised(SPEC, COURSE.length), 3, seed=4).having(
        {"observation_jitter": 0.02, "command_jitter": 0.01, "command_dropped": 0.1}
    )
    together = drive(policy, draws)
    threaded = drive(policy, draws, replace(SETTING, threads=2))
    alone = drive(policy, draws.take([1]))
    assert together.rows.tobytes() == threaded.rows.tobytes()
    assert together.rows[1:2].tobytes() == alone.rows.tobytes()
    assert len(np.unique(together.rows["score"])) == 3


def test_episode_k_draws_the_same_whatever_else_is_drawn() -> None:
    parameters = randomised(SPEC, COURSE.length)
    few, more = draw(parameters, 3, seed=1), draw(parameters, 2, seed=1, first=1)
    np.testing.assert_array_equal(few.values[1:], more.values)
    fixed = draw(nominal(SPEC), 3, seed=1)
    offsets = few.column("start_offset"), fixed.column("start_offset")
    assert fixed.names == few.names and not np.array_equal(*offsets)
    swept = few.having({"tyre_friction": 0.6})
    assert set(swept.column("tyre_friction")) == {0.6}
    np.testing.assert_array_equal(swept.column("mass"), few.column("mass"))


def test_draws_follow_the_calibration_and_stay_physical() -> None:
    parameters = {p.name: p for p in randomised(SPEC, COURSE.length)}
    draws = draw(tuple(parameters.values()), 400, seed=0)
    for name, entry in SPEC.calibration.items():
        if name not in parameters or not entry.sigma:
            continue
        values = draws.column(name)
        assert abs(values.mean() - float(np.mean(entry.value))) < 0.2 * entry.sigma + 1e-12, name
        assert 0.8 * entry.sigma < values.std() < 1.1 * entry.sigma, name
    assert (draws.column("steering_time_constant") > 0.0).all()
    assert parameters["mass"].quantile(0.5) == parameters["mass"].value
    assert parameters["wall_friction"].quantile(0.25) == pytest.approx(0.175)


def test_who_laps_succeeds_and_who_drives_straight_on_crashes(policy: Path) -> None:
    class ShortTask(LapTask):
        def __init__(self) -> None:
            super().__init__(SPEC, COURSE)
            self.success = Success(0.1, 4.0)

    setting = replace(SETTING, make_task=ShortTask, seconds=None)
    draws = draw(nominal(SPEC), 2, seed=0)
    good = drive(policy, draws, setting, record=(1,))
    assert good.successes == good.count(Ending.FINISHED) == 2
    assert (good.rows["cycles"] >= 0.1).all() and (good.rows["duration"] < 4.0).all()
    assert not good.rows["violated"].any() and (good.rows["margin"] > 0.0).all()
    (tape,) = good.trajectories
    assert (
        tape.number == 1 and len(tape.time_s) == len(tape.truth) == round(good.rows["duration"][1] * 100) + 1
    )
    assert (tape.kernel == SafetyState.ACTIVE).all()
    moved = np.hypot(*(tape.truth[-1, :2] - tape.truth[0, :2]))
    assert moved == pytest.approx(0.1 * COURSE.length, rel=0.1)
    setting = replace(SETTING, seconds=4.0)
    bad = rollout(setting, Straight(), draws.having({"start_speed": 2.5}))
    assert bad.successes == 0 and bad.count(Ending.CRASH) == 2
    assert (bad.rows["touched"] > 0.0).all() and (bad.rows["duration"] < 4.0).all()


def test_a_policy_that_falls_silent_is_stopped_by_the_kernel(policy: Path) -> None:
    draws = draw(nominal(SPEC), 2, seed=0).having({"command_dropped": np.array([0.0, 1.0])})
    results = drive(policy, draws)
    assert results.rows["ending"].tolist() == [Ending.TIME, Ending.STOPPED]
    assert results.rows["cause"][1] == Cause.COMMAND_STALE
    assert results.rows["duration"][1] == pytest.approx(SPEC.safety.command_timeout_s + 0.01)


def test_a_policy_that_says_nonsense_ends_its_episode() -> None:
    class Nonsense:
        def act(self, now_ns: int, states, observations, previous, cars):  # type: ignore[no-untyped-def]
            return np.where((cars == 1)[:, None] & (now_ns > 1_300_000_000), np.nan, previous)

    results = rollout(SETTING, Nonsense(), draw(nominal(SPEC), 2, seed=0))
    assert results.rows["ending"].tolist() == [Ending.TIME, Ending.NOT_FINITE]


def test_late_observations_are_late(policy: Path) -> None:
    """A pilot that answers with what it sees: the command shows how old that was."""

    class Echo:
        seen: list[float]

        def act(self, now_ns: int, states, observations, previous, cars):  # type: ignore[no-untyped-def]
            self.seen.append(float(states[0, 0]))
            return np.tile([0.0, 0.0], (len(cars), 1))

    errors = load_errors(SPEC)
    for name in ("lag_s", "noise", "drift"):
        getattr(errors, name)[:] = 0.0
    setting, paths = replace(SETTING, errors=errors, seconds=0.7), []
    for delay in (0.0, 0.1):
        pilot = Echo()
        pilot.seen = []
        draws = draw(nominal(SPEC), 1, seed=0).having({"start_speed": 2.0, "observation_delay": delay})
        rollout(setting, pilot, draws)
        paths.append(np.array(pilot.seen))
    prompt, late = paths
    assert prompt[-1] - prompt[0] > 0.8
    np.testing.assert_allclose(late[3:], prompt[1:-2], atol=0.02)


@pytest.mark.filterwarnings("error")
def test_an_episode_whose_physics_diverges_ends_so_and_disturbs_no_other(
    policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # MuJoCo leaves a log of its warnings where it is
    draws = draw(nominal(SPEC), 2, seed=0)
    calm = drive(policy, draws)
    pilots = PolicyPilots(PolicyFile(policy, CONTRACT), CONTRACT)
    episodes = Rollout(SETTING, pilots, draws)
    act = pilots.act

    def explode(now_ns: int, *seen):  # type: ignore[no-untyped-def]
        if now_ns > 1_300_000_000:
            episodes.fleet.batch.qvel[0, 0] = np.nan
        return act(now_ns, *seen)

    monkeypatch.setattr(pilots, "act", explode)
    results = episodes.run()
    assert results.rows["ending"].tolist() == [Ending.DIVERGED, Ending.TIME]
    assert results.rows[1:].tobytes() == calm.rows[1:].tobytes()
