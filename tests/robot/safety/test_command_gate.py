"""The command gate against its rule, stated once more as a model that remembers everything it was told."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robot.messages import Cause
from robot.safety.command_gate import NOT_FINITE_LIMIT, CommandGate
from robot.safety.state_machine import Request

MS = 1_000_000
TIMEOUT = 1001 * MS
"""1.001e9 is no whole number in floating point: a timeout that is not rounded is a nanosecond off."""


@dataclass
class Model:
    """``accepted``: time and content of the commands accepted in this epoch, in order; ``refused``: why not,
    for those since the last accepted one or the epoch's begin."""

    epoch: int
    highest: int
    spoken: int = 0
    accepted: list[tuple[int, float, int, int]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def judge(self, now: int, sequence: int, time: int, epoch: int, value: float) -> str:
        if sequence == self.highest:
            return "repeated"
        if sequence < self.highest:
            return "replayed"
        if epoch != self.epoch:
            return "epoch"
        if time > now:
            return "future"
        newest = self.accepted[-1][0] if self.accepted else -(2**63)
        if now > time + TIMEOUT or time < newest:
            return "stale"
        return "accepted" if math.isfinite(value) else "not_finite"

    def offer(
        self, now: int, sequence: int, time: int, epoch: int, value: float, who: int, which: int
    ) -> str:
        verdict = self.judge(now, sequence, time, epoch, value)
        self.highest = max(self.highest, sequence)
        if verdict == "accepted":
            self.accepted.append((time, value, who, which))
            self.refused = []
        elif verdict != "repeated":
            self.refused.append(verdict)
        return verdict

    def request(self, now: int, timed: bool) -> tuple[Request, Cause]:
        if self.refused.count("not_finite") >= NOT_FINITE_LIMIT:
            return Request.CATEGORY1, Cause.COMMAND_NOT_FINITE
        since = self.accepted[-1][0] if self.accepted else self.spoken
        if not timed or now <= since + TIMEOUT:
            return Request.NONE, Cause.NONE
        why = {
            "replayed": Cause.COMMAND_REPLAYED,
            "epoch": Cause.COMMAND_REPLAYED,
            "not_finite": Cause.COMMAND_NOT_FINITE,
        }
        return Request.CATEGORY2, why.get(self.refused[-1] if self.refused else "", Cause.COMMAND_STALE)


ages = st.sampled_from([0, 1, TIMEOUT - 1, TIMEOUT, TIMEOUT + 1, -1, 5 * MS, 20 * MS])
offers = st.tuples(
    st.just("offer"),
    st.sampled_from([1, 1, 1, 2, 0, -1, -3]),  # what the sequence is ahead by
    ages,
    st.sampled_from([0, 0, 0, 0, -1, 1]),  # and the epoch
    st.sampled_from([0.5, -0.25, math.nan, math.inf, -math.inf]),
)
waits = st.tuples(st.just("wait"), st.sampled_from([0, 1, 10 * MS, 40 * MS, TIMEOUT, TIMEOUT + 1]))
steps = st.one_of(offers, offers, waits, st.just(("begin",)), st.just(("grace",)))


@given(st.lists(steps, max_size=40), st.integers(0, 3), st.integers(0, 3), st.booleans())
def test_gate_equals_its_rule(script: list[tuple], epoch: int, sequence: int, timed: bool) -> None:
    now = 10 * TIMEOUT
    gate, model = CommandGate(1, TIMEOUT / 1e9, epoch, sequence), Model(epoch, sequence)
    if timed:
        gate.begin(now, epoch)
        model.spoken = now
    refused: dict[str, int] = {}
    for k, step in enumerate(script):
        if step[0] == "wait":
            now += step[1]
        elif step[0] == "begin":
            gate.begin(now, model.epoch + 1)
            model = Model(model.epoch + 1, model.highest, now)
        elif step[0] == "grace":
            gate.grace(now)
            if not model.accepted:
                model.spoken = now
        else:
            _, ahead, age, off, value = step
            asked = (now, max(model.highest + ahead, 0), now - age, model.epoch + off)
            verdict = gate.offer(*asked, np.array([value]), k % 5, k)
            assert verdict == model.offer(*asked, value, k % 5, k)
            if verdict not in ("accepted", "repeated"):
                refused[verdict] = refused.get(verdict, 0) + 1
        assert gate.rejected == refused
        assert gate.valid == bool(model.accepted)
        if model.accepted:
            assert (gate.setpoint[0], gate.actor, gate.policy_version) == model.accepted[-1][1:]
        else:
            assert np.isnan(gate.setpoint).all()
            assert (gate.actor, gate.policy_version) == (0, 0)
        for matters in (True, False):
            assert gate.request(now, matters) == model.request(now, matters)


def test_a_gate_that_was_never_told_of_an_epoch_has_epoch_0_and_takes_the_first_command() -> None:
    gate = CommandGate(1, 0.1)
    assert gate.offer(5, 1, 5, 0, np.ones(1)) == "accepted"
    assert (gate.actor, gate.policy_version) == (0, 0)


def test_every_element_must_be_finite() -> None:
    for k in range(3):
        setpoint = np.ones(3)
        setpoint[k] = np.nan
        assert CommandGate(3, 0.1).offer(5, 1, 5, 0, setpoint) == "not_finite"


def test_three_commands_in_a_row_that_are_not_finite_are_a_broken_pilot() -> None:
    """The specification's number: one is a glitch, three stop the robot (category 1)."""
    assert NOT_FINITE_LIMIT == 3


REASONS = {
    "replayed": ((7, 0, 3, 0.5), Cause.COMMAND_REPLAYED),
    "epoch": ((9, 0, 2, 0.5), Cause.COMMAND_REPLAYED),
    "future": ((9, -1, 3, 0.5), Cause.COMMAND_STALE),
    "stale": ((9, TIMEOUT + 1, 3, 0.5), Cause.COMMAND_STALE),
    "not_finite": ((9, 0, 3, math.nan), Cause.COMMAND_NOT_FINITE),
}


@pytest.mark.parametrize("verdict", REASONS)
def test_a_pilot_that_times_out_is_told_what_was_wrong_with_its_last_command(verdict: str) -> None:
    gate, now = CommandGate(1, TIMEOUT / 1e9), 10 * TIMEOUT
    gate.begin(now, 3)
    assert gate.offer(now, 8, now, 3, np.ones(1)) == "accepted"
    # Another reason first: it is the last one that counts.
    gate.offer(now, 5, now, 3, np.ones(1)) if verdict != "replayed" else gate.offer(
        now, 8, now, 3, np.ones(1)
    )
    (sequence, age, epoch, value), cause = REASONS[verdict]
    assert gate.offer(now, sequence, now - age, epoch, np.array([value])) == verdict
    assert gate.request(now + TIMEOUT + 1, True) == (Request.CATEGORY2, cause)
    gate.begin(now, 4)
    assert gate.request(now + TIMEOUT + 1, True) == (Request.CATEGORY2, Cause.COMMAND_STALE), "a new epoch"


def test_an_accepted_command_clears_what_was_wrong_before_it() -> None:
    gate, now = CommandGate(1, TIMEOUT / 1e9), 10 * TIMEOUT
    gate.begin(now, 3)
    for k in range(1, 8):
        bad = np.full(1, math.nan)
        assert gate.offer(now, 2 * k, now, 3, bad) == "not_finite"
        assert gate.offer(now, 2 * k + 1, now, 3, np.ones(1)) == "accepted"
        assert gate.request(now, True) == (Request.NONE, Cause.NONE), "never three in a row"
    assert gate.request(now + TIMEOUT + 1, True) == (Request.CATEGORY2, Cause.COMMAND_STALE)


def test_grace_is_for_those_who_have_not_spoken_yet() -> None:
    silent, spoken, now = CommandGate(1, TIMEOUT / 1e9), CommandGate(1, TIMEOUT / 1e9), 10 * TIMEOUT
    for gate in (silent, spoken):
        gate.begin(now, 1)
    assert spoken.offer(now, 1, now, 1, np.ones(1)) == "accepted"
    for gate, patient in ((silent, True), (spoken, False)):
        gate.grace(now + TIMEOUT // 2)
        assert (gate.request(now + TIMEOUT + 1, True)[0] == Request.NONE) == patient


def test_a_new_gate_counts_from_zero() -> None:
    gate = CommandGate(1, TIMEOUT / 1e9)
    assert gate.request(TIMEOUT, True) == (Request.NONE, Cause.NONE)
    assert gate.request(TIMEOUT + 1, True) == (Request.CATEGORY2, Cause.COMMAND_STALE)
    assert gate.timeout_ns == TIMEOUT
    for k in range(NOT_FINITE_LIMIT):
        assert gate.request(0, False)[0] == Request.NONE
        gate.offer(0, k + 1, 0, 0, np.full(1, math.nan))
    assert gate.request(0, False)[0] == Request.CATEGORY1
