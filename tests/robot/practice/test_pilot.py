"""The pilot end to end on a board: every failure once, no recovery action in a row, who acted is right."""

from __future__ import annotations

import numpy as np
import pytest

from robot.contract import ActionMap
from robot.messages import Actor, PilotPhase, SafetyState
from robot.practice.lap_task import LapTask
from robot.task import reward
from robot.teleop.device import TeleopCommand
from robot.teleop.pure_pursuit import PurePursuit


class Wheel:
    """A teleop device in the test's hand."""

    def __init__(self) -> None:
        self.setpoint: tuple[float, float] | None = None
        self.silent_since: int | None = None

    def read(self, now_ns: int, state: np.ndarray) -> TeleopCommand | None:
        if self.setpoint is None:
            return None
        return TeleopCommand(np.array(self.setpoint), self.silent_since or now_ns, Actor.HUMAN)


def episodes(rows: list) -> list[np.ndarray]:
    table = np.array(rows)
    return [table[table["episode"] == e] for e in np.unique(table["episode"])]


def check_rows(bench) -> None:
    """What holds for every session, whatever happened in it."""
    table = np.array(bench.rows)
    assert np.array_equal(table["sequence"], np.arange(len(table)))
    assert not np.isin(table["actor"], [Actor.RECOVERY, Actor.SAFETY, Actor.NOBODY]).any()
    for episode in episodes(bench.rows):
        acted = episode[~episode["last"]]
        assert np.all(np.diff(episode["step"].astype(int)) == 1)
        assert len(np.unique(episode["actor"])) == 1
        assert episode["last"].sum() <= 1 and not episode["last"][:-1].any()
        assert not acted["terminated"][:-1].any() and not acted["truncated"][:-1].any()
        assert not (acted["terminated"] & acted["truncated"]).any()
        previous = episode["observation"][1:][:, bench.contract.previous_action]
        assert np.array_equal(previous, acted["action"][: len(previous)])


def failures(bench) -> int:
    return bench.kinds().count("failure")


def test_without_a_policy_nothing_drives(bench) -> None:
    bench.run(bench.make_pilot(), 100)
    assert set(bench.phases) == {PilotPhase.WAITING} and not bench.rows
    assert all(np.all(c["setpoint"] == 0.0) and c["actor"] == Actor.NOBODY for c in bench.commands)


def test_demonstration_then_practice_with_laps_of_each(bench, spec, course) -> None:
    bench.publish_policy(3)
    pilot = bench.make_pilot(
        demonstrator=PurePursuit(spec, course, 1.5), demonstration_laps=1, evaluate_every=2
    )
    bench.run(pilot, 2400)
    check_rows(bench)
    laps = [(kind, text) for kind, _, text in bench.events if kind.startswith("lap")]
    assert laps[:3] == [
        ("lap_script", "script"),
        ("lap", "exploring policy 3"),
        ("lap_deterministic", "deterministic policy 3"),
    ]
    first, *rest = episodes(bench.rows)
    assert set(first["actor"]) == {Actor.SCRIPT} and first["truncated"].sum() == 1 and first[-1]["last"]
    assert all(set(e["actor"]) == {Actor.POLICY} and set(e["policy_version"]) == {3} for e in rest)
    assert failures(bench) == 0
    script_lap = next(value for kind, value, _ in bench.events if kind == "lap_script")
    assert script_lap == pytest.approx(course.length / 1.5, abs=0.6)


def test_actions_in_rows_are_what_was_commanded_and_respect_the_slew(bench, spec) -> None:
    bench.publish_policy(1)
    pilot = bench.make_pilot()
    bench.run(pilot, 200)
    actions = ActionMap(bench.contract.actions, bench.contract.policy_hz)
    sent = np.array([c["setpoint"] for c in bench.commands if c["actor"] == Actor.POLICY])
    table = np.array(bench.rows)
    table = table[~table["last"]]
    assert np.allclose(
        actions.to_units(table["action"].astype(float)), sent[: len(table)], rtol=0.0, atol=1e-12
    )
    largest = np.abs(np.diff(table["action"], axis=0)).max(axis=0)
    assert np.all(largest <= actions.max_change + 1e-6) and np.all(largest > 0.9 * actions.max_change)
    assert len(np.unique(table["action"], axis=0)) > 100  # it explores


def test_rewards_can_be_recomputed_from_the_rows_states(bench, spec, course) -> None:
    bench.publish_policy(1)
    pilot = bench.make_pilot()
    states = []
    for _ in range(300):
        bench.state()
        states.append(bench.record["state"][0].copy())
        pilot.step(bench.clock.now_ns())
        bench.collect()
        bench.drive()
    task = LapTask(spec, course)
    task.reset(states[0])
    rows = [r for r in bench.rows if not r["last"]]
    for i, row in enumerate(rows):
        previous = row["observation"][bench.contract.previous_action].astype(float)
        assert np.array_equal(task.observe(states[i], previous), row["observation"])
        outcome = task.outcome(states[i], row["action"].astype(float), states[i + 1], False)
        assert np.allclose(outcome.reward_terms, row["reward_terms"], atol=1e-6)
        assert reward(task, outcome) == pytest.approx(float(row["reward"]), abs=1e-6)


def test_stuck_is_one_failure_recovered_by_nobody_s_action(bench, spec) -> None:
    bench.publish_policy(1)
    pilot = bench.make_pilot()
    bench.run(pilot, 40)
    bench.blocked = True
    while pilot.practice.phase is PilotPhase.PRACTISING:
        bench.step(pilot)
    bench.blocked = False
    bench.run(pilot, 200)
    check_rows(bench)
    terminated = [r for r in bench.rows if r["terminated"]]
    assert failures(bench) == len(terminated) >= 1
    first = terminated[0]
    term = bench.contract.reward_terms.index("failure")
    assert first["reward_terms"][term] == 1.0 and first["reward"] < -4.0
    assert sum(float(r["reward_terms"][term]) for r in bench.rows) == len(terminated)
    recovering = [c for c in bench.commands if c is not None and c["actor"] == Actor.RECOVERY]
    assert any(c["setpoint"][0] == pytest.approx(-0.8) for c in recovering)
    assert PilotPhase.SETTLING in bench.phases and bench.phases[-1] == PilotPhase.PRACTISING


def test_a_crash_terminates_once_even_while_the_impact_rings(bench) -> None:
    bench.publish_policy(1)
    pilot = bench.make_pilot()
    bench.run(pilot, 40)
    bench.impact = 50.0
    bench.run(pilot, 40)  # rings on through settling, recovery and the next episode's start
    bench.run(pilot, 60)
    check_rows(bench)
    assert failures(bench) == 1 and sum(bool(r["terminated"]) for r in bench.rows) == 1
    assert bench.rows[-1]["episode"] > bench.rows[0]["episode"]


@pytest.mark.parametrize(
    "state", [SafetyState.HOLD, SafetyState.STOP1, SafetyState.FAULT, SafetyState.STANDBY]
)
def test_a_safety_stop_truncates(bench, state: SafetyState) -> None:
    bench.publish_policy(1)
    pilot = bench.make_pilot()
    bench.run(pilot, 40)
    bench.record["safety_state"] = state
    bench.run(pilot, 10)
    assert bench.phases[-1] == PilotPhase.WAITING
    bench.record["safety_state"], bench.record["epoch"] = SafetyState.ACTIVE, 2
    bench.run(pilot, 20)
    check_rows(bench)
    first = episodes(bench.rows)[0]
    assert first[-1]["last"] and first[-2]["truncated"] and not first["terminated"].any()
    assert failures(bench) == 0 and bench.commands[-1]["epoch"] == 2
    assert bench.kinds().count("assist") == int(bench.board.pilot.read()["assists"][0]) == 1
    assert bench.phases[-1] == PilotPhase.PRACTISING


def test_an_impact_that_the_guardian_stops_for_is_still_the_policy_s_crash(bench) -> None:
    bench.publish_policy(1)
    pilot = bench.make_pilot()
    bench.run(pilot, 40)
    bench.impact, bench.record["safety_state"] = 150.0, SafetyState.STOP1
    bench.run(pilot, 10)
    check_rows(bench)
    assert failures(bench) == 1 and sum(bool(r["terminated"]) for r in bench.rows) == 1


def test_takeover_truncates_and_the_human_s_actions_are_the_human_s(bench, spec) -> None:
    bench.publish_policy(1)
    wheel = Wheel()
    pilot = bench.make_pilot(teleop=wheel)
    bench.run(pilot, 40)
    wheel.setpoint = (1.0, 0.1)
    bench.run(pilot, 40)
    wheel.setpoint = (-0.5, 0.0)  # reverse: not in the policy's range, but a person may
    bench.run(pilot, 10)
    assert bench.commands[-1]["setpoint"][0] == -0.5
    wheel.setpoint = None
    bench.run(pilot, 20)
    check_rows(bench)
    first, human, last = episodes(bench.rows)
    assert (set(first["actor"]), set(human["actor"]), set(last["actor"])) == (
        {Actor.POLICY},
        {Actor.HUMAN},
        {Actor.POLICY},
    )
    assert first[-2]["truncated"] and human[-2]["truncated"]
    assert not human["altered"][:40].any() and human["altered"][40:-1].all()
    assert set(human["policy_version"]) == {0}
    extra = [
        rows["reward"] - rows["reward_terms"] @ pilot.task.reward_weights for rows in (first, human, last)
    ]
    np.testing.assert_allclose(extra[0][-2], spec.practice.takeover_reward, atol=1e-5)
    assert spec.practice.takeover_reward < 0.0
    for rest in (extra[0][:-2], *extra[1:]):
        np.testing.assert_allclose(rest, 0.0, atol=1e-5)


def test_a_silent_wheel_holds_the_robot_at_rest_and_never_gives_it_to_the_policy(bench) -> None:
    bench.publish_policy(1)
    wheel = Wheel()
    pilot = bench.make_pilot(teleop=wheel)
    wheel.setpoint = (1.0, 0.0)
    bench.run(pilot, 20)
    wheel.silent_since = bench.clock.now_ns()
    bench.run(pilot, 60)
    assert bench.phases[-1] == PilotPhase.TELEOPERATED
    assert np.all(bench.commands[-1]["setpoint"] == 0.0) and bench.commands[-1]["actor"] == Actor.NOBODY
    check_rows(bench)


def test_a_person_standing_still_is_not_stuck(bench) -> None:
    bench.publish_policy(1)
    wheel = Wheel()
    wheel.setpoint = (0.0, 0.0)
    pilot = bench.make_pilot(teleop=wheel)
    bench.run(pilot, 200)
    assert failures(bench) == 0


def test_an_exhausted_ladder_calls_and_help_starts_a_new_episode(bench, course) -> None:
    bench.publish_policy(1)
    pilot = bench.make_pilot()
    bench.run(pilot, 40)
    bench.deaf = True
    while pilot.practice.phase is not PilotPhase.CALLING:
        bench.step(pilot)
    bench.run(pilot, 100)
    assert pilot.practice.phase is PilotPhase.CALLING
    assert np.all(bench.commands[-1]["setpoint"] == 0.0)
    bench.deaf = False
    bench.x, bench.y, bench.heading = course.start
    bench.run(pilot, 60)
    check_rows(bench)
    assert pilot.practice.phase is PilotPhase.PRACTISING
    assert failures(bench) == 1
    status = bench.board.pilot.read()[0]
    assert (int(status["assists"]), int(status["failures"])) == (1, 1)
    rungs = [value for kind, value, _ in bench.events if kind == "recovery"]
    assert rungs == list(range(len(bench.spec.practice.recovery) * bench.spec.practice.cycles))
    assert int(status["recoveries"]) == len(rungs)


def test_a_flip_calls_without_trying_to_drive(bench) -> None:
    bench.publish_policy(1)
    pilot = bench.make_pilot()
    bench.run(pilot, 40)
    bench.upright = 0.1
    bench.run(pilot, 40)
    assert pilot.practice.phase is PilotPhase.CALLING and failures(bench) == 1
    assert not any(c["actor"] == Actor.RECOVERY for c in bench.commands)
    check_rows(bench)


def test_carrying_the_car_is_nobody_s_step(bench) -> None:
    bench.publish_policy(1)
    pilot = bench.make_pilot()
    bench.run(pilot, 40)
    bench.x += 2.0
    bench.run(pilot, 40)
    check_rows(bench)
    first, _ = episodes(bench.rows)
    assert first[-1]["last"] and not first["terminated"].any()
    assert max(float(r["reward_terms"][0]) for r in bench.rows) < 1.2


@pytest.mark.parametrize("how", ["stale", "nan"])
def test_without_a_state_there_is_no_command_and_no_step(bench, how: str) -> None:
    bench.publish_policy(1)
    pilot = bench.make_pilot()
    bench.run(pilot, 40)
    stepped = len(bench.rows)
    for i in range(20):
        if how == "nan":
            bench.state()
            bench.record["state"][0, i % bench.layout.size] = (np.nan, np.inf, -np.inf)[i % 3]
            bench.board.state.write(bench.record)
        bench.step(pilot, state=False)
        if i >= 4:
            assert bench.commands[-1] is None
            assert bench.phases[-1] == PilotPhase.WAITING
    check_rows(bench)
    assert len(bench.rows) <= stepped + 4
    bench.run(pilot, 20)
    assert bench.phases[-1] == PilotPhase.PRACTISING
    check_rows(bench)


def test_an_estimate_that_is_lost_ends_the_episode_and_is_looked_for_by_moving(bench, spec) -> None:
    bench.publish_policy(1)
    pilot = bench.make_pilot()
    bench.run(pilot, 40)
    stepped = len(bench.rows)
    bench.record["converged"] = False
    bench.run(pilot, 150)
    lost = bench.commands[40:]
    assert all(c["actor"] == Actor.RECOVERY for c in lost)
    moves = [step.command["speed"] for step in spec.practice.align]
    assert {round(float(c["setpoint"][0]), 6) for c in lost} == {0.0, *moves}
    assert all(c["setpoint"][0] == 0.0 for c in lost[:25]), "it may come back by itself"
    assert len(bench.rows) == stepped + 1 and bench.rows[-1]["last"] and failures(bench) == 0
    bench.record["converged"] = True
    bench.run(pilot, 20)
    assert bench.phases[-1] == PilotPhase.PRACTISING
    check_rows(bench)


def test_altered_steps_are_flagged(bench) -> None:
    bench.publish_policy(1)
    pilot = bench.make_pilot()
    bench.run(pilot, 30)
    bench.record["altered_ticks"] += 3
    bench.run(pilot, 10)
    assert [i for i, r in enumerate(bench.rows) if r["altered"]] == [29]


def test_policies_swap_between_steps_and_a_refused_one_changes_nothing(bench) -> None:
    bench.publish_policy(1)
    pilot = bench.make_pilot()
    bench.run(pilot, 50)
    bench.publish_policy(2)
    bench.run(pilot, 50)
    bench.publish_policy(3, about={"contract_hash": "0" * 64})
    bench.run(pilot, 50)
    check_rows(bench)
    versions = [int(r["policy_version"]) for r in bench.rows if not r["last"]]
    assert versions == sorted(versions) and set(versions) == {1, 2} and versions.count(2) >= 98
    assert len(episodes(bench.rows)) == 1, "a swap does not end an episode"
    refused = [text for kind, _, text in bench.events if kind == "policy_refused"]
    assert len(refused) == 1 and "000003.onnx" in refused[0]


@pytest.mark.parametrize("evaluate_every", [0, 1], ids=["exploring", "in a deterministic lap"])
def test_a_policy_that_diverges_is_dropped_and_the_robot_rests(bench, contract, evaluate_every) -> None:
    bench.publish_policy(1)
    pilot = bench.make_pilot(evaluate_every=evaluate_every)
    bench.run(pilot, 30)

    class Broken:
        version = 1
        noise_size = contract.action_size

        def act(self, observation, noise):
            return np.full(contract.action_size, np.nan, np.float32)

    pilot.policy = Broken()
    bench.run(pilot, 30)
    assert "policy_not_finite" in bench.kinds()
    assert bench.phases[-1] == PilotPhase.WAITING and np.all(bench.commands[-1]["setpoint"] == 0.0)
    check_rows(bench)
    assert all(np.isfinite(c["setpoint"]).all() for c in bench.commands)
    bench.publish_policy(2)
    bench.run(pilot, 10)
    assert bench.phases[-1] == PilotPhase.PRACTISING


def test_the_end_of_the_session_truncates_once(bench) -> None:
    bench.publish_policy(1)
    pilot = bench.make_pilot()
    bench.run(pilot, 40)
    bench.state()
    pilot.finish()
    pilot.finish()
    bench.collect()
    check_rows(bench)
    assert bench.rows[-1]["last"] and bench.rows[-2]["truncated"]
    assert int(bench.board.pilot.read()["phase"][0]) == PilotPhase.FINISHED
    assert np.all(bench.board.command.read()["setpoint"] == 0.0)


def test_a_restarted_pilot_counts_on_and_does_not_demonstrate_again(bench, spec, course) -> None:
    bench.publish_policy(1)
    bench.run(bench.make_pilot(demonstrator=PurePursuit(spec, course, 2.0), demonstration_laps=1), 700)
    before = bench.board.pilot.read()[0]
    again = bench.make_pilot(demonstrator=PurePursuit(spec, course, 2.0), demonstration_laps=1)
    bench.run(again, 20)
    after = bench.board.pilot.read()[0]
    assert bench.phases[-1] == PilotPhase.PRACTISING
    assert int(after["steps"]) == int(before["steps"]) + 20 and int(after["laps"]) == int(before["laps"])
    table = np.array(bench.rows)
    assert np.array_equal(table["sequence"], np.arange(len(table)))


def test_a_pilot_killed_in_the_middle_of_demonstrating_goes_on_where_it_was(bench, spec, course) -> None:
    def pilot():
        return bench.make_pilot(demonstrator=PurePursuit(spec, course, 2.0), demonstration_laps=2)

    first = pilot()
    while "lap_script" not in bench.kinds():
        bench.step(first)
    while (
        bench.phases[-1] != PilotPhase.RECOVERING
    ):  # killed while it frees itself from a demonstrator's bump
        bench.impact = 60.0 if bench.phases[-1] == PilotPhase.DEMONSTRATING else 0.0
        bench.step(first)
    bench.publish_policy(1)
    bench.run(pilot(), 900)
    assert bench.kinds().count("lap_script") == 2
    assert bench.phases[-1] == PilotPhase.PRACTISING


def test_one_seed_gives_one_session(make_bench, spec, course) -> None:
    def session(name: str, seed: int) -> list:
        bench = make_bench(name)
        bench.publish_policy(1)
        pilot = bench.make_pilot(seed, demonstrator=PurePursuit(spec, course, 2.0), demonstration_laps=1)
        for i in range(400):
            bench.impact = 60.0 if i % 90 == 89 else 0.0
            bench.step(pilot)
        return [tuple(map(repr, row)) for row in np.array(bench.rows).tolist()]

    assert session("a", 1) == session("b", 1) != session("c", 2)
