"""An attending person: a press lasts as long as its lease, a stuck key renews nothing, a stop ends it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from launch.attendance import AttendingOperator
from launch.catalogue import find
from launch.operator import HeldKeyOperator
from robot.clock import SimulatedClock
from robot.errors import SandlotError
from robot.inbox import OperatorInbox
from robot.messages import OPERATOR_DTYPE, SafetyState, state_dtype
from robot.safety.state_machine import Inputs, Request, Timing, boot, step
from robot.shared_memory import Mailbox
from robot.spec import load_spec
from robot.teleop.terminal import Terminal

SPEC = load_spec(find("robots", "racer"))
TICK = 10_000_000
LEASE_S = 30.0


class World:
    """The real inbox and state machine at the other end of the mailbox, a pipe for a keyboard."""

    def __init__(self, directory: Path, lease_s: float | None = LEASE_S) -> None:
        self.mailbox = Mailbox(directory / "operator", OPERATOR_DTYPE, create=True)
        self.clock = SimulatedClock(5_000_000_000)
        self.inbox = OperatorInbox(self.mailbox, SPEC.enable.timeout_s, lease_s)
        self.kernel = boot(self.clock.now_ns())
        self.timing = Timing.of(SPEC)
        self.ends = os.pipe()
        self.said: list[str] = []
        self.keyboard = Terminal(self.ends[0])
        self.operator = AttendingOperator(
            self.mailbox, self.keyboard, lease_s, lambda _, text: self.said.append(text)
        )
        self.radio: bool | None = None
        self.attended = True

    @property
    def state(self) -> SafetyState:
        return self.kernel.state

    def run(self, seconds: float, keys: str = "", stuck: str = "", request: Request = Request.NONE) -> None:
        """``keys``: pressed once, at the start; ``stuck``: repeating 30 times a second after half a one."""
        os.write(self.ends[1], keys.encode() + stuck.encode())
        for tick in range(round(seconds * 1e9 / TICK)):
            self.clock.sleep_until(self.clock.now_ns() + TICK)
            if stuck and tick >= 50 and tick % 3 == 0:
                os.write(self.ends[1], stuck.encode())
            if tick % 5 == 0 and self.attended:
                record = np.zeros(1, state_dtype(SPEC))
                record["safety_state"], record["time_ns"] = self.state, self.clock.now_ns()
                self.operator.step(self.clock.now_ns(), record, None)
            self.inbox.update(self.clock)
            inbox = self.inbox
            enable = inbox.enable if self.radio is None else self.radio
            facts = Inputs(
                now_ns=self.clock.now_ns(),
                request=request,
                estop=inbox.estop,
                enable=enable,
                fresh=inbox.fresh,
                arm=inbox.arm,
                reset=inbox.reset,
                resume=inbox.resume,
                stop=inbox.stop,
                still=True,
                ready=True,
            )
            self.kernel = step(self.kernel, facts, self.timing)

    def go(self) -> None:
        self.run(1.0)
        self.run(0.3, " ")
        self.run(1.0, "g")
        assert self.state == SafetyState.ACTIVE


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.operator.close()


def test_a_press_lasts_as_long_as_its_lease_and_is_warned_of_before(world: World) -> None:
    world.go()
    world.run(LEASE_S - 11.5)
    assert world.state == SafetyState.ACTIVE
    assert not world.said
    world.run(9.9)
    assert world.state == SafetyState.ACTIVE
    assert len(world.said) == 5
    assert all("press space" in line for line in world.said)
    world.run(1.0)
    assert world.state == SafetyState.HOLD
    assert world.said[-1] == "nobody has pressed space: motion has ended"
    world.run(60.0)
    assert world.state == SafetyState.HOLD


def test_presses_renew_it_for_as_long_as_somebody_is_there(world: World) -> None:
    world.go()
    for _ in range(10):
        world.run(LEASE_S / 2, " ")
        assert world.state == SafetyState.ACTIVE
    assert not world.said


@pytest.mark.parametrize("key", [" ", "g", "r"])
def test_a_stuck_key_renews_nothing(world: World, key: str) -> None:
    world.go()
    world.run(LEASE_S + 2.0, stuck=key)
    assert world.state == SafetyState.HOLD


def test_after_it_ended_a_press_alone_moves_nothing(world: World) -> None:
    world.go()
    world.run(LEASE_S + 1.0)
    world.run(2.0, " ")
    assert world.state == SafetyState.HOLD
    world.run(2.0, "g")
    assert world.state == SafetyState.ACTIVE


def test_go_alone_moves_nothing(world: World) -> None:
    world.run(1.0)
    world.run(1.0, "g")
    assert world.state == SafetyState.STANDBY


def test_a_stop_ends_the_lease_and_leads_back_only_by_hand(world: World) -> None:
    world.go()
    world.run(0.1, request=Request.CATEGORY1)
    world.run(2.0)
    assert world.state == SafetyState.FAULT
    world.run(2.0, " ")
    assert world.state == SafetyState.FAULT
    world.run(1.0, "r")
    assert world.state == SafetyState.STANDBY
    world.run(2.0, "g")
    assert world.state == SafetyState.STANDBY
    world.go()


def test_an_operator_that_dies_takes_its_permission_along(world: World) -> None:
    world.go()
    world.attended = False
    world.run(SPEC.enable.timeout_s + 0.1)
    assert world.state == SafetyState.HOLD


def test_an_operator_that_restarts_renews_nothing(world: World) -> None:
    world.go()
    world.operator.close()
    world.keyboard = Terminal(world.ends[0])
    world.operator = AttendingOperator(world.mailbox, world.keyboard, LEASE_S, lambda _, text: None)
    world.run(1.0)
    assert world.state == SafetyState.HOLD


def test_the_emergency_stop_key_outlives_a_restart_and_a_stuck_reset_key(world: World) -> None:
    world.go()
    world.run(2.0, stuck="r")
    world.run(1.0, "x", stuck="r")
    world.run(0.01, "x")
    world.operator.close()
    world.operator = AttendingOperator(world.mailbox, Terminal(world.ends[0]), LEASE_S, lambda _, text: None)
    world.run(0.5)
    assert world.state == SafetyState.ESTOP
    world.run(1.5)
    world.run(1.5, "r")
    assert world.state == SafetyState.FAULT
    world.run(1.5, "r")
    assert world.state == SafetyState.STANDBY


def test_a_held_reset_key_does_not_undo_the_emergency_stop(tmp_path: Path) -> None:
    mailbox = Mailbox(tmp_path / "operator", OPERATOR_DTYPE, create=True)
    ends = os.pipe()
    operator = HeldKeyOperator(mailbox, ends[0])
    now, resets = 1_000_000_000, 0
    for tick in range(200):
        if tick == 0 or (tick >= 50 and tick % 3 == 0):
            os.write(ends[1], b"r")
        if tick == 100:
            os.write(ends[1], b"x")
        operator.step(now + tick * TICK, None, None)
        record = mailbox.read()
        assert record is not None
        resets = int(record["reset"][0])
        assert bool(record["estop"][0]) == (tick >= 100)
    assert resets == 1, "a held button is one press"


def test_with_a_radio_the_keys_arm_and_the_stick_enables(tmp_path: Path) -> None:
    world = World(tmp_path, lease_s=None)
    world.radio = False
    world.run(1.0)
    world.run(1.0, " ")
    world.run(1.0, "g")
    assert world.state == SafetyState.STANDBY
    world.radio = True
    world.run(0.5)
    world.run(1.5, "g")
    assert world.state == SafetyState.ACTIVE
    world.radio = False
    world.run(0.1)
    assert world.state == SafetyState.HOLD
    world.operator.close()


def test_halted_it_enables_nothing_ever_again(world: World) -> None:
    world.go()
    world.operator.halt(world.clock.now_ns())
    for keys in (" ", "r", " ", "g"):
        world.run(2.0, keys)
    assert world.state in (SafetyState.FAULT, SafetyState.STANDBY)


def test_only_one_person_at_a_time(world: World) -> None:
    with pytest.raises(SandlotError, match="already enables motion"):
        AttendingOperator(world.mailbox, world.keyboard, LEASE_S, lambda _, text: None)
