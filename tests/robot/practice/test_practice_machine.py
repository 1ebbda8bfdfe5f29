"""The practice state machine under any sequence of situations, and its named paths."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robot.messages import PilotPhase
from robot.practice.failures import Failure
from robot.practice.state_machine import CALM_NS, DRIVING, Practice, Situation, advance
from robot.spec import RobotSpec

STEP = 50_000_000
GOOD = Situation(time_ns=0, position=(0.0, 0.0), able=True, policy=True)

situations = st.lists(
    st.builds(
        Situation,
        time_ns=st.just(0),
        position=st.tuples(st.floats(-3, 3), st.floats(-3, 3)),
        able=st.sampled_from([True, True, True, False]),
        policy=st.sampled_from([True, True, False]),
        demonstration=st.sampled_from([True, False, False]),
        human=st.sampled_from([True, False, False, False]),
        finished=st.sampled_from([False] * 60 + [True]),
        failure=st.sampled_from([None] * 6 + list(Failure)),
        flipped=st.sampled_from([False] * 9 + [True]),
        oriented=st.booleans(),
        calm=st.booleans(),
        rearmed=st.sampled_from([False] * 9 + [True]),
    ),
    max_size=150,
)


def run(spec: RobotSpec, sequence, practice: Practice | None = None) -> list[Practice]:
    trace = [practice or Practice()]
    start = trace[0].since_ns
    for i, situation in enumerate(sequence):
        trace.append(advance(trace[-1], replace(situation, time_ns=start + i * STEP), spec.practice))
    return trace


@pytest.mark.slow
@settings(deadline=None, max_examples=300)
@given(sequence=situations)
def test_invariants(spec: RobotSpec, sequence: list[Situation]) -> None:
    trace = run(spec, sequence)
    rungs = len(spec.practice.recovery) * spec.practice.cycles
    for before, situation, after in zip(trace, sequence, trace[1:], strict=False):
        if after.phase is PilotPhase.PRACTISING and before.phase is not PilotPhase.PRACTISING:
            assert situation.policy, "a policy that is not there cannot practise"
        if after.phase in DRIVING or after.phase in (PilotPhase.SETTLING, PilotPhase.RECOVERING):
            assert situation.able, "whoever is not able does not drive"
        if before.phase is PilotPhase.FINISHED:
            assert after.phase is PilotPhase.FINISHED
        if situation.failure and before.phase in (PilotPhase.DEMONSTRATING, PilotPhase.PRACTISING):
            assert after.phase not in (PilotPhase.DEMONSTRATING, PilotPhase.PRACTISING)
        if before.phase is PilotPhase.CALLING and after.phase not in (
            PilotPhase.CALLING,
            PilotPhase.FINISHED,
        ):
            assert after.phase is PilotPhase.TELEOPERATED or (situation.calm and after.rung == 0)
        if after.phase is PilotPhase.RECOVERING:
            assert after.rung < rungs


def fail(spec: RobotSpec) -> Practice:
    """Practising at the origin, then stuck."""
    stuck = replace(GOOD, failure=Failure.STUCK)
    practice = run(spec, [GOOD, stuck])[-1]
    assert practice.phase is PilotPhase.SETTLING
    return practice


def test_without_a_policy_it_waits(spec) -> None:
    assert {p.phase for p in run(spec, [replace(GOOD, policy=False)] * 50)} == {PilotPhase.WAITING}


def test_the_ladder_escalates_to_a_call_in_bounded_time_if_nothing_moves(spec) -> None:
    trace = run(spec, [GOOD] * 1000, fail(spec))
    rungs = [p.rung for p in trace if p.phase is PilotPhase.RECOVERING]
    assert sorted(set(rungs)) == list(range(len(spec.practice.recovery) * spec.practice.cycles))
    assert rungs == sorted(rungs)
    seconds = spec.practice.cycles * sum(r.seconds for r in spec.practice.recovery)
    called = next(i for i, p in enumerate(trace) if p.phase is PilotPhase.CALLING)
    assert called * STEP / 1e9 == pytest.approx(seconds + spec.practice.settle_seconds, abs=0.5)
    assert all(p.phase is PilotPhase.CALLING for p in trace[called:])


def test_moving_far_enough_recovers_and_not_facing_along_does_not(spec) -> None:
    away = replace(GOOD, position=(-spec.practice.recovered_metres, 0.0))
    start = [GOOD] * 8 + [away] * 30
    assert run(spec, start, fail(spec))[-1].phase is PilotPhase.PRACTISING
    lost = [replace(s, oriented=False) for s in start]
    assert run(spec, lost, fail(spec))[-1].phase is PilotPhase.RECOVERING


def test_the_same_trouble_again_goes_on_up_the_ladder_a_new_one_starts_at_its_foot(spec) -> None:
    away = replace(GOOD, position=(-0.6, 0.0))
    recovered = run(spec, [GOOD] * 8 + [away] * 30, fail(spec))[-1]
    again = advance(
        recovered, replace(GOOD, failure=Failure.CRASH, time_ns=recovered.since_ns), spec.practice
    )
    assert again.rung == recovered.rung > 0
    lap = run(spec, [replace(GOOD, position=(x, 0.0)) for x in (2.0, 5.0, 2.0)], recovered)[-1]
    later = advance(lap, replace(GOOD, failure=Failure.CRASH), spec.practice)
    elsewhere = advance(recovered, replace(GOOD, position=(1.0, 0.0), failure=Failure.CRASH), spec.practice)
    assert later.rung == elsewhere.rung == 0


def test_a_flip_calls_at_once(spec) -> None:
    trace = run(spec, [GOOD, replace(GOOD, failure=Failure.FLIP, flipped=True)])
    assert trace[-1].phase is PilotPhase.CALLING


@pytest.mark.parametrize(
    "help_", [{"position": (3.0, 0.0)}, {"rearmed": True}], ids=["carried", "armed anew"]
)
def test_a_call_ends_when_somebody_helped_and_it_has_been_calm(spec, help_) -> None:
    called = run(spec, [GOOD, replace(GOOD, flipped=True)])[-1]
    calm = replace(GOOD, calm=True)
    assert run(spec, [calm] * 200, called)[-1].phase is PilotPhase.CALLING, "nobody came"
    helped = [replace(calm, **help_)] + [replace(calm, position=help_.get("position", (0.0, 0.0)))] * 40
    trace = run(spec, helped, called)
    resumed = next(i for i, p in enumerate(trace) if p.phase is PilotPhase.PRACTISING)
    assert (resumed - 1) * STEP == CALM_NS


def test_a_safety_stop_in_trouble_still_recovers_afterwards(spec) -> None:
    stopped = replace(GOOD, able=False)
    trace = run(spec, [GOOD, replace(stopped, failure=Failure.CRASH), stopped, GOOD])
    assert [p.phase for p in trace[2:]] == [PilotPhase.WAITING, PilotPhase.WAITING, PilotPhase.SETTLING]


def test_a_takeover_wins_over_recovery_and_ends_the_trouble(spec) -> None:
    taken = advance(fail(spec), replace(GOOD, human=True), spec.practice)
    assert taken.phase is PilotPhase.TELEOPERATED
    assert advance(taken, GOOD, spec.practice).phase is PilotPhase.PRACTISING
