"""The operators press edges, never levels that start a robot by being held; halted, they enable nothing."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from launch.catalogue import find
from launch.operator import HeldKeyOperator, SimulatedOperator, StartLine
from robot.errors import SandlotError
from robot.messages import (
    OPERATOR_DTYPE,
    PILOT_DTYPE,
    POSE_DTYPE,
    Cause,
    PilotPhase,
    SafetyState,
    state_dtype,
)
from robot.safety.state_machine import AUTHORITY, Inputs, KernelState, Request, Timing, boot, step
from robot.shared_memory import Mailbox
from robot.spec import load_spec

SPEC = load_spec(find("robots", "racer"))
TICK_NS = 10_000_000
EVERY = 5  # operator rounds are five guardian ticks apart


class Kernel:
    """The real safety state machine, fed from the operator's mailbox."""

    def __init__(self, mailbox: Mailbox) -> None:
        self.mailbox = mailbox
        self.now_ns = 1_000_000_000
        self.state: KernelState = boot(self.now_ns)
        self.timing = Timing.of(SPEC)
        self.history: list[SafetyState] = []
        self.converged = True

    def tick(self, request: Request = Request.NONE, cause: Cause = Cause.NONE) -> None:
        self.now_ns += TICK_NS
        record = self.mailbox.read()
        values: dict[str, int] = {}
        enable = fresh = False
        if record is not None:
            row = record[0]
            fresh = self.now_ns - int(row["time_ns"]) < SPEC.enable.timeout_s * 1e9
            enable = fresh and bool(row["enable"])
            values = {name: int(row[name]) for name in ("arm", "reset", "resume", "stop")}
        inputs = Inputs(
            now_ns=self.now_ns,
            request=request,
            cause=cause,
            enable=enable,
            fresh=fresh,
            still=True,
            ready=True,
            **values,
        )
        self.state = step(self.state, inputs, self.timing)
        if not self.history or self.history[-1] != self.state.state:
            self.history.append(self.state.state)

    def record(self):  # type: ignore[no-untyped-def]
        made = np.zeros(1, state_dtype(SPEC))
        made["safety_state"] = self.state.state
        made["cause"] = self.state.cause
        made["time_ns"] = self.now_ns
        made["converged"] = self.converged
        return made


def pilot(phase: PilotPhase = PilotPhase.PRACTISING):  # type: ignore[no-untyped-def]
    record = np.zeros(1, PILOT_DTYPE)
    record["phase"] = phase
    return record


@pytest.fixture
def mailbox(tmp_path: Path) -> Mailbox:
    return Mailbox(tmp_path / "operator.mailbox", OPERATOR_DTYPE, create=True)


def run(kernel: Kernel, operator, seconds: float, phase=PilotPhase.PRACTISING, **request) -> None:  # type: ignore[no-untyped-def]
    for tick in range(round(seconds * 1e9 / TICK_NS)):
        if tick % EVERY == 0:
            operator.step(kernel.now_ns, kernel.record(), pilot(phase))
        kernel.tick(**request)


def test_simulated_operator_arms_the_robot(mailbox: Mailbox) -> None:
    kernel, placed = Kernel(mailbox), []
    run(kernel, SimulatedOperator(mailbox, lambda: placed.append(1)), 4.0)
    assert kernel.history == [SafetyState.STANDBY, SafetyState.ARMING, SafetyState.ACTIVE]
    assert not placed


@pytest.mark.parametrize(("cause", "places"), [(Cause.LIMIT, True), (Cause.SENSOR_STALE, False)])
def test_simulated_operator_resets_and_arms_after_a_fault(
    mailbox: Mailbox, cause: Cause, places: bool
) -> None:
    kernel, placed = Kernel(mailbox), []
    operator = SimulatedOperator(mailbox, lambda: placed.append(1))
    run(kernel, operator, 4.0)
    kernel.tick(Request.CATEGORY1, cause)
    run(kernel, operator, 6.0)
    assert kernel.history[3:] == [
        SafetyState.STOP1,
        SafetyState.FAULT,
        SafetyState.STANDBY,
        SafetyState.ARMING,
        SafetyState.ACTIVE,
    ]
    assert bool(placed) == places


def test_simulated_operator_resumes_from_hold_once_the_cause_is_gone(mailbox: Mailbox) -> None:
    kernel = Kernel(mailbox)
    operator = SimulatedOperator(mailbox, lambda: None)
    run(kernel, operator, 4.0)
    run(kernel, operator, 1.5, request=Request.CATEGORY2, cause=Cause.COMMAND_STALE)
    assert kernel.state.state == SafetyState.HOLD
    run(kernel, operator, 4.0)
    assert kernel.state.state in AUTHORITY


def test_a_call_for_help_stops_the_robot_before_it_is_picked_up(mailbox: Mailbox) -> None:
    kernel = Kernel(mailbox)
    placed: list[SafetyState] = []
    operator = SimulatedOperator(mailbox, lambda: placed.append(kernel.state.state))
    run(kernel, operator, 4.0)
    run(kernel, operator, 5.0, phase=PilotPhase.CALLING)
    assert placed and set(placed) == {SafetyState.FAULT}


def test_a_robot_that_does_not_know_where_it_is_is_put_on_its_start_line(
    mailbox: Mailbox, tmp_path: Path
) -> None:
    kernel = Kernel(mailbox)
    poses = Mailbox(tmp_path / "pose.mailbox", POSE_DTYPE, create=True)
    placed: list[SafetyState] = []
    operator = SimulatedOperator(
        mailbox, lambda: placed.append(kernel.state.state), start=StartLine(poses, (1.0, 2.0, 0.5))
    )
    run(kernel, operator, 4.0)
    kernel.converged = False
    run(kernel, operator, 4.0)
    assert not placed and poses.read() is None
    run(kernel, operator, 6.0)
    assert placed == [SafetyState.FAULT]
    told = poses.read()
    assert told is not None and told["pose"][0].tolist() == [1.0, 2.0, 0.5]
    kernel.converged = True
    run(kernel, operator, 5.0)
    assert kernel.state.state == SafetyState.ACTIVE
    # The pose held for a moment; a robot that has driven on must not be told it any more.
    assert kernel.now_ns - int(poses.read()["time_ns"][0]) > 1_000_000_000  # type: ignore[index]


def test_a_permission_is_as_old_as_the_state_it_was_given_for(mailbox: Mailbox) -> None:
    kernel = Kernel(mailbox)
    operator = SimulatedOperator(mailbox, lambda: None)
    run(kernel, operator, 4.0)
    frozen = kernel.record()
    later_ns = kernel.now_ns + 2_000_000_000
    operator.step(later_ns, frozen, pilot())
    record = mailbox.read()
    assert record is not None and int(record["time_ns"][0]) == int(frozen["time_ns"][0])


def test_halted_operator_stops_the_robot_for_good(mailbox: Mailbox) -> None:
    kernel = Kernel(mailbox)
    operator = SimulatedOperator(mailbox, lambda: None)
    run(kernel, operator, 4.0)
    operator.halt(kernel.now_ns)
    run(kernel, operator, 20.0)
    assert kernel.state.state in (SafetyState.FAULT, SafetyState.STANDBY)
    assert not AUTHORITY & set(kernel.history[kernel.history.index(SafetyState.STOP1) :])


class Keyboard:
    """A terminal's repeats of a held key: the first after half a second, then 30 a second."""

    def __init__(self) -> None:
        self.read_end, self.write_end = os.pipe()

    def send(self, keys: str) -> None:
        os.write(self.write_end, keys.encode())


def hold(kernel: Kernel, operator, keyboard: Keyboard, seconds: float) -> None:  # type: ignore[no-untyped-def]
    for tick in range(round(seconds * 1e9 / TICK_NS)):
        at = tick * 0.01
        if tick == 0 or (at >= 0.5 and tick % 3 == 0):
            keyboard.send(" ")
        if tick % EVERY == 0:
            operator.step(kernel.now_ns, kernel.record(), None)
        kernel.tick()


def test_held_key_arms_and_letting_go_stops(mailbox: Mailbox) -> None:
    kernel, keyboard = Kernel(mailbox), Keyboard()
    operator = HeldKeyOperator(mailbox, keyboard.read_end)
    run(kernel, operator, 1.0)
    hold(kernel, operator, keyboard, 3.0)
    assert kernel.state.state == SafetyState.ACTIVE
    run(kernel, operator, 0.5)
    assert kernel.state.state == SafetyState.HOLD


def test_a_tap_enables_nothing(mailbox: Mailbox) -> None:
    kernel, keyboard = Kernel(mailbox), Keyboard()
    operator = HeldKeyOperator(mailbox, keyboard.read_end)
    for _ in range(5):
        keyboard.send(" ")
        run(kernel, operator, 0.6)
        record = mailbox.read()
        assert record is not None and not record["enable"][0]
    assert kernel.history == [SafetyState.STANDBY]


def test_emergency_stop_key_latches(mailbox: Mailbox) -> None:
    keyboard = Keyboard()
    operator = HeldKeyOperator(mailbox, keyboard.read_end)
    keyboard.send("x")
    for now_ns in range(0, 10 * TICK_NS, TICK_NS):
        operator.step(now_ns, None, None)
        record = mailbox.read()
        assert record is not None and record["estop"][0]


def test_only_one_person_at_a_time_holds_the_permission(mailbox: Mailbox) -> None:
    keyboard = Keyboard()
    first = HeldKeyOperator(mailbox, keyboard.read_end)
    with pytest.raises(SandlotError, match="already enables motion"):
        HeldKeyOperator(mailbox, keyboard.read_end)
    first.close()
    HeldKeyOperator(mailbox, keyboard.read_end).close()
