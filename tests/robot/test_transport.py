"""Links: who gets in, what is kept, and that nothing ever blocks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from robot.direct_link import direct_link_pair
from robot.errors import SandlotError
from robot.keys import KeyPair, LearnerKeys, RobotKeys
from robot.transport import (
    QUEUED_MESSAGES,
    LearnerLink,
    RobotLink,
    endpoints,
    is_local,
    new_pair,
)

ANY = "tcp://127.0.0.1:*"
WITHIN_S = 10.0
"""How long a test waits for what must happen; it is normally milliseconds."""


@pytest.fixture
def open_link() -> Iterator[Callable[..., Any]]:
    with ExitStack() as stack:

        def make(kind: type[RobotLink] | type[LearnerLink], *arguments: Any) -> Any:
            link = kind(*arguments)
            stack.callback(link.close)
            return link

        yield make


def until(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + WITHIN_S
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.005)
    raise AssertionError("it did not happen in time")


def talk(robot: RobotLink, learner: LearnerLink) -> bytes:
    """One message up and one down; returns the robot's identity."""

    def sent() -> bool:
        learner.wait(0.0)  # its gate is answered from its polls
        return robot.send([b"up", b"rows"])

    until(sent)
    identity, frames = until(learner.receive)[0]
    assert frames == [b"up", b"rows"]
    assert learner.send(identity, [b"down"])
    assert until(robot.receive)[0] == [b"down"]
    return bytes(identity)


def test_messages_go_both_ways_and_policies_down(open_link: Callable[..., Any]) -> None:
    learner = open_link(LearnerLink, ANY, ANY)
    robots = [open_link(RobotLink, *learner.endpoints) for _ in range(2)]
    assert talk(robots[0], learner) != talk(robots[1], learner)

    def published() -> bool:
        learner.publish(b"policy")
        return all(robot.policy() == b"policy" for robot in robots)

    until(published)


def test_a_slow_robot_gets_the_newest_policy_and_no_older_one(open_link: Callable[..., Any]) -> None:
    learner = open_link(LearnerLink, ANY, ANY)
    robot = open_link(RobotLink, *learner.endpoints)

    def subscribed() -> bool:
        learner.publish(b"hello")
        return bool(robot.policy())

    until(subscribed)
    for number in range(100):
        learner.publish(b"%d" % number + bytes(10_000))
        time.sleep(0.003)  # time enough for each to arrive, so that nothing but CONFLATE can drop it
    newest: list[bytes] = []

    def arrived() -> bool:
        frame = robot.policy()
        if frame is not None and frame != b"hello":
            newest.append(frame[: frame.index(0)])
        return newest[-1:] == [b"99"]

    until(arrived)
    assert len(newest) < 5  # conflated, not queued: 100 were published


def test_nothing_is_queued_for_a_learner_that_is_not_there(open_link: Callable[..., Any]) -> None:
    robot = open_link(RobotLink, "tcp://127.0.0.1:9", "tcp://127.0.0.1:10")
    assert not robot.send([b"lost?"])
    assert robot.receive() == []
    assert robot.policy() is None


def test_queues_are_bounded(open_link: Callable[..., Any]) -> None:
    learner = open_link(LearnerLink, ANY, ANY)
    robot = open_link(RobotLink, *learner.endpoints)
    talk(robot, learner)
    payload = [bytes(1 << 20)]
    until(lambda: not robot.send(payload))  # nobody receives: it says no, rather than block or grow
    assert not learner.send(b"nobody", [b"x"])


def test_a_link_outlives_its_learner(open_link: Callable[..., Any]) -> None:
    first = LearnerLink(ANY, ANY)
    where = first.endpoints
    robot = open_link(RobotLink, *where)
    talk(robot, first)
    first.close()
    until(lambda: not robot.send([b"into the void"]))
    second = open_link(LearnerLink, *where)
    until(lambda: robot.send([b"again"]))
    assert until(second.receive)


def test_an_occupied_address_says_so(open_link: Callable[..., Any]) -> None:
    learner = open_link(LearnerLink, ANY, ANY)
    with pytest.raises(SandlotError, match="another learner"):
        LearnerLink(*learner.endpoints)


@pytest.mark.parametrize(
    ("endpoint", "local"),
    [
        ("tcp://127.0.0.1:5588", True),
        ("tcp://127.8.9.1:*", True),
        ("tcp://localhost:5588", True),
        ("tcp://[::1]:5588", True),
        ("tcp://[::ffff:127.0.0.1]:5588", True),
        ("tcp://[::ffff:192.168.1.2]:5588", False),
        ("ipc:///tmp/x", True),
        ("tcp://*:5588", False),
        ("tcp://0.0.0.0:5588", False),
        ("tcp://[::]:5588", False),
        ("tcp://192.168.1.2:5588", False),
        ("tcp://localhost.evil.example:5588", False),
        ("tcp://127.0.0.1.evil.example:5588", False),
        ("tcp://127.0.0.1@evil.example:5588", False),
        ("tcp://127.0.0.1:0;192.168.1.2:5588", False),
        ("tcp://eth0:5588", False),
        ("udp://127.0.0.1:5588", False),
    ],
)
def test_what_counts_as_this_machine(endpoint: str, local: bool) -> None:
    assert is_local(endpoint) is local


def test_off_loopback_keys_are_required() -> None:
    outside = "tcp://192.0.2.1:5588"
    for kind in (RobotLink, LearnerLink):
        for where in ((outside, outside), (ANY, outside), (outside, ANY)):
            with pytest.raises(SandlotError, match="sandlot keys"):
                kind(*where)


@pytest.mark.parametrize("address", ["", "host", "host:", ":1", "host:x", "host:0", "host:65535"])
def test_a_bad_address_says_what_was_expected(address: str) -> None:
    with pytest.raises(SandlotError, match="HOST:PORT"):
        endpoints(address)
    assert endpoints("a:5588") == ("tcp://a:5588", "tcp://a:5589")


def stays_outside(robot: RobotLink, learner: LearnerLink) -> None:
    """For a second, everything is tried; nothing may arrive on either side."""
    deadline = time.monotonic() + 1.0
    while time.monotonic() < deadline:
        robot.send([b"let me in"])
        learner.publish(b"policy")
        assert learner.receive() == []
        assert robot.receive() == []
        assert robot.policy() is None
        time.sleep(0.01)


@pytest.fixture
def secured(open_link: Callable[..., Any]) -> tuple[LearnerLink, KeyPair, KeyPair]:
    own, listed = new_pair(), new_pair()
    return open_link(LearnerLink, ANY, ANY, LearnerKeys(own, frozenset([listed.public]))), own, listed


def test_a_listed_key_gets_in(
    secured: tuple[LearnerLink, KeyPair, KeyPair], open_link: Callable[..., Any]
) -> None:
    learner, own, listed = secured
    robot = open_link(RobotLink, *learner.endpoints, RobotKeys(listed, own.public))
    talk(robot, learner)

    def published() -> bool:
        learner.publish(b"policy")
        learner.wait(0.0)
        return robot.policy() == b"policy"

    until(published)
    assert learner.refused == 0


def test_an_unlisted_key_gets_nothing(
    secured: tuple[LearnerLink, KeyPair, KeyPair], open_link: Callable[..., Any]
) -> None:
    learner, own, _ = secured
    stays_outside(open_link(RobotLink, *learner.endpoints, RobotKeys(new_pair(), own.public)), learner)
    assert learner.refused > 0


def test_a_listed_public_key_without_its_secret_gets_nothing(
    secured: tuple[LearnerLink, KeyPair, KeyPair], open_link: Callable[..., Any]
) -> None:
    learner, own, listed = secured
    forged = KeyPair(listed.public, new_pair().secret)
    stays_outside(open_link(RobotLink, *learner.endpoints, RobotKeys(forged, own.public)), learner)


def test_no_key_gets_nothing(
    secured: tuple[LearnerLink, KeyPair, KeyPair], open_link: Callable[..., Any]
) -> None:
    learner, _, _ = secured
    stays_outside(open_link(RobotLink, *learner.endpoints), learner)


def test_a_robot_does_not_talk_to_an_impostor(
    secured: tuple[LearnerLink, KeyPair, KeyPair], open_link: Callable[..., Any]
) -> None:
    learner, _, listed = secured
    expects_another = RobotKeys(listed, new_pair().public)
    stays_outside(open_link(RobotLink, *learner.endpoints, expects_another), learner)


def test_the_direct_pair_keeps_the_same_promises() -> None:
    robot, learner = direct_link_pair()
    for number in range(QUEUED_MESSAGES):
        assert robot.send([b"%d" % number])
    assert not robot.send([b"one too many"])
    assert [frames for _, frames in learner.receive()] == [[b"%d" % n] for n in range(QUEUED_MESSAGES)]
    assert learner.send(learner.IDENTITY, [b"down"])
    assert robot.receive() == [[b"down"]]
    learner.publish(b"old")
    learner.publish(b"new")
    assert robot.policy() == b"new"
    assert robot.policy() is None
