"""``sandlot stop``: a message presses the emergency stop, and no message can do anything else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_session import SPEC

from launch.keys import ALLOWED, STOPPERS, stop_keys
from launch.options.stop import StopOptions
from launch.stop import stop
from robot.clock import SimulatedClock
from robot.errors import SandlotError, WireError
from robot.estop.stop_receiver import HOLD_NS, StopReceiver
from robot.keys import LearnerKeys, RobotKeys, load_pair, load_public, write_pair
from robot.messages import ESTOP_DTYPE, SCHEMA_VERSION, EstopState, Hello, SafetyState, Stop, state_dtype
from robot.shared_memory import Mailbox
from robot.transport import LearnerLink, RobotLink, new_pair
from robot.wire import decode_stop, decode_stopped, encode

ANY = ("tcp://127.0.0.1:*", "tcp://127.0.0.1:*")


class Wire:
    """A link in this thread: what is put into ``incoming`` arrives, what is sent lies in ``sent``."""

    def __init__(self) -> None:
        self.incoming: list[tuple[bytes, list[bytes]]] = []
        self.sent: list[tuple[bytes, list[bytes]]] = []

    def receive(self) -> list[tuple[bytes, list[bytes]]]:
        taken, self.incoming = self.incoming, []
        return taken

    def send(self, identity: bytes, frames: list[bytes]) -> bool:
        self.sent.append((identity, frames))
        return True

    def publish(self, frame: bytes) -> None: ...

    def wait(self, seconds: float) -> None: ...

    def close(self) -> None: ...


class World:
    def __init__(self, directory: Path, link: Wire | LearnerLink) -> None:
        self.clock = SimulatedClock(10 * HOLD_NS)
        self.mailbox = Mailbox(directory / "estop", ESTOP_DTYPE, create=True)
        self.state = Mailbox(directory / "state", state_dtype(SPEC), create=True)
        self.told: list[str] = []
        self.receiver = StopReceiver(
            link, self.mailbox, self.state, "s1", self.clock, lambda kind, value, text: self.told.append(kind)
        )

    def look(self) -> tuple[EstopState, int]:
        self.receiver.pump()
        record = self.mailbox.read()
        assert record is not None
        assert record["time_ns"][0] == self.clock.now_ns(), "pumping is its sign of life"
        return EstopState(int(record["state"][0])), int(record["presses"][0])

    def guardian_says(self, state: SafetyState) -> None:
        record = np.zeros(1, state_dtype(SPEC))
        record["safety_state"] = state
        self.state.write(record)


def test_a_message_is_a_press_for_a_moment_and_is_answered(tmp_path: Path) -> None:
    wire = Wire()
    world = World(tmp_path, wire)
    assert world.look() == (EstopState.CLOSED, 0)
    world.guardian_says(SafetyState.ESTOP)
    wire.incoming.append((b"me", encode(Stop(schema=SCHEMA_VERSION, reason="dog"))))
    assert world.look() == (EstopState.OPEN, 1)
    identity, frames = wire.sent.pop()
    assert identity == b"me"
    assert decode_stopped(frames).safety_state == SafetyState.ESTOP
    world.clock.sleep_until(world.clock.now_ns() + HOLD_NS)
    assert world.look() == (EstopState.CLOSED, 1)
    assert world.told == ["stop_received"]


@settings(max_examples=200, deadline=None)
@given(frames=st.lists(st.binary(max_size=64), max_size=3))
def test_anything_else_presses_nothing_and_harms_nothing(
    tmp_path_factory: pytest.TempPathFactory, frames: list[bytes]
) -> None:
    wire = Wire()
    world = World(tmp_path_factory.mktemp("board"), wire)
    wire.incoming.append((b"me", frames))
    assert world.look() == (EstopState.CLOSED, 0)
    assert world.told == ["stop_refused"]
    assert not wire.sent


def test_a_learners_or_robots_message_and_a_huge_one_are_no_request_to_stop() -> None:
    hello = Hello(
        schema=SCHEMA_VERSION, robot="r", session="s", contract={}, calibration_hash="c", first_sequence=0
    )
    for frames in (
        encode(hello),
        encode(Stop(schema=SCHEMA_VERSION, reason="x" * 2000)),
        encode(Stop(schema=99, reason="")),
    ):
        with pytest.raises(WireError):
            decode_stop(frames)


def pump_until(world: World, robot: RobotLink, frames: list[bytes], rounds: int) -> EstopState:
    for _ in range(rounds):
        robot.send(frames)
        robot.wait(0.02)
        state, _ = world.look()
        if state == EstopState.OPEN:
            return state
    return state


def test_over_the_network_only_those_on_the_list_may_stop(tmp_path: Path) -> None:
    robot, friend, stranger = new_pair(), new_pair(), new_pair()
    link = LearnerLink(*ANY, LearnerKeys(robot, frozenset({friend.public})))
    world = World(tmp_path, link)
    message = encode(Stop(schema=SCHEMA_VERSION, reason="test"))
    outsider = RobotLink(*link.endpoints, RobotKeys(stranger, robot.public))
    assert pump_until(world, outsider, message, 25) == EstopState.CLOSED
    assert link.refused > 0
    outsider.close()
    insider = RobotLink(*link.endpoints, RobotKeys(friend, robot.public))
    assert pump_until(world, insider, message, 250) == EstopState.OPEN
    insider.close()
    world.receiver.close()
    record = world.mailbox.read()
    assert record is not None
    assert record["state"][0] == EstopState.UNKNOWN, "a courier that ends says so"


def test_a_key_that_may_only_stop_is_on_the_stop_list_and_on_no_other(tmp_path: Path) -> None:
    write_pair(tmp_path, "racer", new_pair())
    with pytest.raises(SandlotError, match="stop-only"):
        stop_keys(tmp_path, "racer", "0.0.0.0:5590")
    write_pair(tmp_path / STOPPERS, "laptop", new_pair())
    write_pair(tmp_path / ALLOWED, "learner", new_pair())
    keys = stop_keys(tmp_path, "racer", "0.0.0.0:5590")
    assert keys is not None
    publics = {
        load_public(tmp_path / STOPPERS / "laptop.pub"),
        load_public(tmp_path / ALLOWED / "learner.pub"),
    }
    assert keys.allowed == publics
    assert keys.own == load_pair(tmp_path / "racer.key")
    with pytest.raises(SandlotError, match="need keys"):
        stop_keys(tmp_path, None, "0.0.0.0:5590")
    assert stop_keys(tmp_path, None, "127.0.0.1:5590") is None


def test_nobody_there_is_said_loudly() -> None:
    with pytest.raises(SandlotError, match="USE THE EMERGENCY STOP"):
        stop(StopOptions(address="127.0.0.1:9", seconds=0.3))
