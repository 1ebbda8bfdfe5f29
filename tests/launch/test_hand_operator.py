"""From an input device's readings to a robot that may move, and back, through the real mailboxes and the real
safety state machine."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from launch.catalogue import find
from launch.hand_operator import AssistedOperator, HandButtons, HandOperator, HandThread
from launch.operator import SimulatedOperator
from robot.claim import ClaimedError
from robot.clock import SimulatedClock
from robot.inbox import OperatorInbox
from robot.messages import (
    CUE_DTYPE,
    OPERATOR_DTYPE,
    Actor,
    Cause,
    InputKind,
    SafetyState,
    hand_dtype,
    state_dtype,
)
from robot.practice.acting import TELEOP_STALE_NS
from robot.safety.state_machine import Inputs, Request, Timing, boot, step
from robot.shared_memory import Mailbox
from robot.spec import load_spec
from robot.teleop.device import Reading
from robot.teleop.hand import Hand, HandFeeder

SPEC = load_spec(find("robots", "racer"))
TICK_NS = 10_000_000
STATE = np.zeros(SPEC.state_layout.size)


class Puppet:
    """An input device that does as a test says."""

    kind = InputKind.GAMEPAD
    reason = "unplugged"

    def __init__(self) -> None:
        self.held, self.estop, self.connected = False, False, True
        self.axes = np.zeros(len(SPEC.actuators))
        self.presses: list[str] = []

    def descriptors(self) -> Sequence[int]:
        return ()

    def read(self, now_ns: int) -> Reading:
        presses, self.presses = tuple(self.presses), []
        return Reading(self.axes, self.held, now_ns, self.connected, presses, self.estop)

    def close(self) -> None:
        return


class World:
    """Device, feeder, operator, inbox and state machine, a tick at a time."""

    def __init__(self, directory: Path) -> None:
        self.clock = SimulatedClock(5_000_000_000)
        self.mailbox = Mailbox(directory / "operator", OPERATOR_DTYPE, create=True)
        self.hand = Mailbox(directory / "hand", hand_dtype(SPEC), create=True)
        self.cues = Mailbox(directory / "cues", CUE_DTYPE, create=True)
        self.puppet = Puppet()
        self.said: list[str] = []
        self.feeder: HandFeeder | None = self.feed()
        self.inbox = OperatorInbox(self.mailbox, SPEC.enable.timeout_s)
        self.kernel, self.timing = boot(self.clock.now_ns()), Timing.of(SPEC)
        self.operator: HandOperator | AssistedOperator = HandOperator(self.mailbox, self.hand, self.cues)

    def feed(self) -> HandFeeder:
        return HandFeeder(SPEC, self.puppet, self.hand, self.clock, lambda _, text: self.said.append(text))

    def run(self, seconds: float, request: Request = Request.NONE) -> SafetyState:
        record = np.zeros(1, state_dtype(SPEC))
        for tick in range(round(seconds * 1e9 / TICK_NS)):
            self.clock.sleep_until(self.clock.now_ns() + TICK_NS)
            now_ns = self.clock.now_ns()
            if self.feeder is not None:
                self.feeder.step()
            record["time_ns"], record["safety_state"] = now_ns, self.kernel.state
            record["converged"] = True
            if tick % 5 == 0:
                self.operator.step(now_ns, record, None)
            self.inbox.update(self.clock)
            self.kernel = step(
                self.kernel,
                Inputs(
                    now_ns=now_ns,
                    request=request,
                    cause=Cause.NONE if request == Request.NONE else Cause.LIMIT,
                    enable=self.inbox.enable,
                    fresh=self.inbox.fresh,
                    still=True,
                    ready=True,
                    arm=self.inbox.arm,
                    reset=self.inbox.reset,
                    resume=self.inbox.resume,
                    stop=self.inbox.stop,
                    estop=self.inbox.estop,
                ),
                self.timing,
            )
        return self.kernel.state


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_taking_hold_arms_once_and_letting_go_stops(world: World) -> None:
    assert world.run(1.0) == SafetyState.STANDBY
    world.puppet.held = True
    assert world.run(3.0) == SafetyState.ACTIVE
    world.puppet.held = False
    assert world.run(0.3) == SafetyState.HOLD
    assert world.run(0.5) == SafetyState.HOLD
    world.puppet.held = True
    assert world.run(2.0) == SafetyState.ACTIVE, "through REDUCED"


def test_holding_on_does_not_go_on_after_a_stop_of_the_kernels(world: World) -> None:
    world.run(1.0)
    world.puppet.held = True
    assert world.run(3.0) == SafetyState.ACTIVE
    world.run(0.05, Request.CATEGORY2)
    assert world.run(1.5) == SafetyState.HOLD, "only taking hold anew says go"
    world.puppet.held = False
    world.run(0.2)
    world.puppet.held = True
    assert world.run(1.0) in (SafetyState.REDUCED, SafetyState.ACTIVE)


def test_a_short_touch_enables_nothing(world: World) -> None:
    world.run(1.0)
    for _ in range(5):
        world.puppet.held = True
        world.run(0.2)
        world.puppet.held = False
        assert world.run(1.0) == SafetyState.STANDBY


def test_a_device_whose_process_is_gone_has_let_go(world: World) -> None:
    world.run(1.0)
    world.puppet.held = True
    assert world.run(3.0) == SafetyState.ACTIVE
    world.feeder = None
    assert world.run(0.3) == SafetyState.HOLD


def test_a_device_that_vanishes_has_let_go_and_is_told_of(world: World) -> None:
    world.run(1.0)
    world.puppet.held = True
    world.run(3.0)
    world.puppet.connected = False
    assert world.run(0.2) == SafetyState.HOLD
    assert world.said == ["gamepad connected", "gamepad not there: unplugged"]


def test_its_emergency_stop_latches_until_it_is_taken_back_and_reset(world: World) -> None:
    world.run(1.0)
    world.puppet.held = True
    world.run(3.0)
    world.puppet.estop = True
    assert world.run(0.2) == SafetyState.ESTOP
    world.puppet.held = world.puppet.estop = False
    assert world.run(2.0) == SafetyState.ESTOP
    for _ in range(2):
        world.puppet.presses = ["reset"]
        world.run(1.0)
    assert world.run(0.1) == SafetyState.STANDBY


def test_a_press_is_neither_lost_nor_doubled_by_a_device_that_comes_back(world: World) -> None:
    world.run(0.5)
    world.puppet.presses = ["success", "drop"]
    world.run(0.5)
    assert world.feeder is not None
    world.feeder.close()
    world.feeder = world.feed()
    world.run(0.5)
    record = world.cues.read()
    assert record is not None
    assert [int(record[name][0]) for name in ("end", "success", "failure", "drop")] == [0, 1, 0, 1]


def test_a_device_that_hangs_is_left_behind_at_the_end(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("launch.hand_operator.LEAVES_S", 0.05)
    asked, back = threading.Event(), threading.Event()

    def hangs(now_ns: int) -> Reading:
        asked.set()
        back.wait(10.0)
        return Reading(world.puppet.axes, False, now_ns, True)

    world.puppet.read = hangs  # type: ignore[method-assign]
    assert world.feeder is not None
    operator = HandThread(world.operator, world.feeder)
    assert asked.wait(10.0)
    operator.close()
    assert operator._thread.is_alive(), "nobody waited for it"
    HandOperator(world.mailbox, world.hand, world.cues).close()
    back.set()
    operator._thread.join(10.0)


def test_only_one_device_drives(world: World) -> None:
    with pytest.raises(ClaimedError, match="another process"):
        world.feed()


def test_a_person_who_may_step_in_stops_a_robot_that_somebody_else_enables(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.operator.close()
    other = SimulatedOperator(world.mailbox, lambda: None)
    world.operator = AssistedOperator(other, HandButtons(other.panel, world.hand, world.cues))
    assert world.run(4.0) == SafetyState.ACTIVE
    world.puppet.presses = ["stop"]
    world.run(0.1)
    assert world.kernel.state in (SafetyState.STOP1, SafetyState.FAULT)


def test_the_pilot_drives_as_the_hand_says_within_its_cap(world: World) -> None:
    hand = Hand(SPEC, world.hand)
    speed, steering = (SPEC.actuator_layout.index(name) for name in ("speed", "steering"))
    world.run(0.1)
    assert hand.read(0, STATE) is None
    world.puppet.held = True
    world.puppet.axes[[speed, steering]] = 1.0, -2.0
    world.run(0.05)
    command = hand.read(0, STATE)
    assert command is not None and command.source is Actor.HUMAN and command.input is InputKind.GAMEPAD
    assert command.setpoint[speed] == pytest.approx(0.4 * 5.0) and command.setpoint[steering] == -0.263
    world.puppet.axes[speed] = -1.0
    world.run(0.05)
    command = hand.read(0, STATE)
    assert command is not None and command.setpoint[speed] == pytest.approx(-0.4 * 1.5)


def test_a_hand_that_falls_silent_keeps_the_robot_at_rest(world: World) -> None:
    hand = Hand(SPEC, world.hand)
    world.puppet.held = True
    world.run(0.1)
    world.feeder = None
    world.run(1.0)
    command = hand.read(world.clock.now_ns(), STATE)
    assert command is not None, "no policy takes over by itself"
    assert world.clock.now_ns() - command.time_ns > TELEOP_STALE_NS
