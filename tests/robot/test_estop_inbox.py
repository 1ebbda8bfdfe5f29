"""Emergency stops that a robot's file names: any one stops, at any age; a silent one is never ignored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robot.clock import SimulatedClock
from robot.estop_inbox import EstopInbox
from robot.messages import ESTOP_DTYPE, Cause, EstopState
from robot.people_spec import Estop, EstopSource
from robot.safety.state_machine import Request
from robot.shared_memory import Mailbox

START = 1_000_000_000
TIMEOUT = 250_000_000
NAMES = ("post", "pad")


class World:
    def __init__(self, directory: Path) -> None:
        self.clock = SimulatedClock(START)
        self.boxes = {n: Mailbox(directory / n, ESTOP_DTYPE, create=True) for n in NAMES}
        sources = tuple(EstopSource(name=n, kind="line", port="x", timeout_s=0.25) for n in NAMES)
        self.inbox = EstopInbox(Estop(sources=sources), self.boxes)
        self.presses = dict.fromkeys(NAMES, 0)

    def say(self, name: str, state: int, age_ns: int = 0, press: bool = False) -> None:
        record = np.zeros(1, ESTOP_DTYPE)
        self.presses[name] += press
        record["time_ns"], record["state"] = self.clock.now_ns() - age_ns, state
        record["presses"] = self.presses[name]
        self.boxes[name].write(record)

    def well(self) -> None:
        for name in NAMES:
            self.say(name, EstopState.CLOSED)

    def wait(self, nanoseconds: int) -> None:
        self.clock.sleep_until(self.clock.now_ns() + nanoseconds)

    def judge(self) -> tuple[bool, Request, str]:
        verdict = self.inbox.update(self.clock)
        assert verdict.cause == (Cause.ESTOP_SILENT if verdict.request else Cause.NONE)
        return self.inbox.pressed, verdict.request, verdict.detail


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


CLEAR = (False, Request.NONE, "")


def test_all_closed_and_fresh_is_the_only_way_to_be_well(world: World) -> None:
    assert world.judge() == (False, Request.CATEGORY1, "emergency stop post"), "nobody has spoken yet"
    world.say("post", EstopState.CLOSED)
    assert world.judge() == (False, Request.CATEGORY1, "emergency stop pad")
    world.say("pad", EstopState.CLOSED)
    assert world.judge() == CLEAR


@pytest.mark.parametrize("name", NAMES)
def test_one_that_is_pressed_stops_until_it_says_that_it_is_closed(world: World, name: str) -> None:
    world.well()
    assert world.judge() == CLEAR
    world.say(name, EstopState.OPEN, age_ns=10 * TIMEOUT)
    assert world.judge()[0], "at any age"
    world.wait(10 * TIMEOUT)
    assert world.judge()[0], "a feeder that died while it was pressed"
    world.well()
    assert world.judge() == CLEAR


def test_a_press_that_is_over_before_anybody_looked_still_counts_once(world: World) -> None:
    world.well()
    world.judge()
    world.say("pad", EstopState.OPEN, press=True)
    world.say("pad", EstopState.CLOSED)
    assert world.judge()[0]
    assert world.judge() == CLEAR


@pytest.mark.parametrize("name", NAMES)
def test_one_that_falls_silent_is_a_stop_in_bounded_time(world: World, name: str) -> None:
    world.well()
    assert world.judge() == CLEAR
    for _ in range(4):
        world.wait(TIMEOUT // 4)
        for other in NAMES:
            if other != name:
                world.say(other, EstopState.CLOSED)
    assert world.judge() == CLEAR
    world.wait(1)
    assert world.judge() == (False, Request.CATEGORY1, f"emergency stop {name}")


@pytest.mark.parametrize("age_ns", [-1, -TIMEOUT, TIMEOUT + 1, -(2**62), 2**62])
def test_a_record_from_the_future_or_too_old_says_nothing(world: World, age_ns: int) -> None:
    world.well()
    world.say("post", EstopState.CLOSED, age_ns=age_ns)
    assert world.judge()[1] == Request.CATEGORY1


@settings(max_examples=200, deadline=None)
@given(state=st.integers(0, 255), age_ns=st.integers(-(2**40), 2**40), press=st.booleans())
def test_whatever_a_source_says_only_fresh_and_closed_lets_the_robot_move(
    tmp_path_factory: pytest.TempPathFactory, state: int, age_ns: int, press: bool
) -> None:
    world = World(tmp_path_factory.mktemp("board"))
    world.well()
    world.judge()
    world.say("post", state, age_ns, press)
    pressed, request, _ = world.judge()
    well = state == EstopState.CLOSED and 0 <= age_ns <= TIMEOUT and not press
    assert (not pressed and request == Request.NONE) == well
    assert pressed == (state == EstopState.OPEN or press)


def test_a_robot_without_named_sources_has_nothing_to_wait_for() -> None:
    inbox = EstopInbox(Estop(), {})
    assert inbox.update(SimulatedClock(START)).request == Request.NONE
    assert not inbox.pressed
