"""The whole guardian arms the car in MuJoCo: the proof passes, the car stays; a wrong drive is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from launch.catalogue import find
from launch.operator import SimulatedOperator
from launch.parts import make_guardian
from launch.session import create_session
from robot.clock import SimulatedClock
from robot.interface import make_driver
from robot.messages import Cause, SafetyState
from sim.emulators.rig import Rig
from sim.twin import CarTwin

PERIOD = 10_000_000


class World:
    def __init__(self, directory: Path) -> None:
        session = create_session("racer", "oval", role="practice", runs=directory, twin=True, fast=True)
        self.session, spec = session, session.spec
        self.clock = SimulatedClock(1_000_000_000)
        self.board = session.board(create=True)
        self.twin = CarTwin(spec, find("worlds", "oval"), np.random.default_rng(0))
        rig = Rig(spec, self.twin, np.random.default_rng(1))
        self.vesc = rig.devices["vesc"]
        ports = rig.ports(self.clock)
        drivers = [make_driver(spec, device, ports[device.name]) for device in spec.devices]
        self.guardian = make_guardian(session, drivers, self.board, self.clock)
        self.operator = SimulatedOperator(self.board.operator, lambda: None, patience_s=0.5)
        self.guardian.start()

    def run(self, seconds: float) -> list[SafetyState]:
        """The states gone through."""
        seen: list[SafetyState] = []
        for tick in range(round(seconds * 1e9 / PERIOD)):
            due = self.clock.now_ns() + PERIOD
            self.clock.sleep_until(due)
            self.guardian.tick(due)
            if tick % 5 == 0:
                self.operator.step(due, self.board.state.read(), None)
            state = self.guardian.kernel.state
            if not seen or seen[-1] != state:
                seen.append(state)
        return seen

    def events(self, kind: str) -> list[str]:
        records = self.board.guardian_events.peek(1024)
        return [r["text"].decode() for r in records if r["kind"].decode() == kind]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.guardian.close()
    made.session.remove_board()


def test_a_drive_as_it_should_be_is_armed_within_arming_s_and_the_car_stays_where_it_is(world: World) -> None:
    x, y, yaw = world.twin.pose()
    states = world.run(2.0)
    assert SafetyState.ACTIVE in states
    told = world.events("stop_proven")
    assert len(told) == 1
    assert told[0].startswith("vesc: the drive stopped by itself")
    moved = np.hypot(world.twin.pose()[0] - x, world.twin.pose()[1] - y)
    assert moved < 0.005
    assert abs(world.twin.pose()[2] - yaw) < 0.01


@pytest.mark.parametrize("fault", ["off", "a second", "a receiver's pulses"])
def test_a_drive_that_would_go_on_without_its_guardian_is_never_armed(world: World, fault: str) -> None:
    if fault == "a receiver's pulses":
        world.vesc.servo_pulses = True  # type: ignore[attr-defined]
    else:
        world.vesc.timeout_ns = 0 if fault == "off" else 1_000_000_000  # type: ignore[attr-defined]
    x, y, _ = world.twin.pose()
    states = world.run(5.0)
    assert SafetyState.ARMING in states
    assert SafetyState.ACTIVE not in states
    assert SafetyState.FAULT in states
    assert world.guardian.kernel.cause in (Cause.UNPROVEN, Cause.NONE)
    assert world.events("stop_unproven")
    assert np.hypot(world.twin.pose()[0] - x, world.twin.pose()[1] - y) < 0.005
