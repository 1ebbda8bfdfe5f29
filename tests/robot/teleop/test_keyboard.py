"""A keyboard has hold of the robot while a key is held, and no longer than a terminal lets us know."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

from launch.catalogue import find
from robot.spec import load_spec
from robot.teleop.device import Reading
from robot.teleop.keyboard import ANSWER_NS, FIRST_NS, HELD_NS, KeyboardDevice
from robot.teleop.terminal import Terminal

SPEC = load_spec(find("robots", "racer"))
SPEED, STEERING = (SPEC.actuator_layout.index(name) for name in ("speed", "steering"))
MS = 1_000_000
UP, LEFT = b"\x1b[A", b"\x1b[D"


class Pad:
    """Where notes go."""

    def __init__(self) -> None:
        self.allowed, self.shown, self.kept = True, list[str | None](), list[str]()

    def may_begin(self) -> bool:
        return self.allowed

    def draft(self, text: str | None) -> None:
        self.shown.append(text)

    def keep(self, now_ns: int, text: str) -> None:
        self.kept.append(text)


class Desk:
    """A keyboard and the time, 10 ms at a time."""

    def __init__(self) -> None:
        self.notes = Pad()
        self.read_end, self.write_end = os.pipe()
        self.terminal = Terminal(self.read_end)
        self.device = KeyboardDevice(SPEC, self.terminal, self.notes)
        self.now_ns = 10**9
        self.reading: Reading = self.device.read(self.now_ns)

    def run(self, ms: int, keys: Callable[[int], bytes] = lambda at_ms: b"") -> Reading:
        """``keys(at_ms)``: what arrives then."""
        for at_ms in range(0, ms, 10):
            self.now_ns += 10 * MS
            os.write(self.write_end, keys(at_ms))
            self.reading = self.device.read(self.now_ns)
        return self.reading


def held(key: bytes, delay_ms: int = 660) -> Callable[[int], bytes]:
    """A held key's repeats, as the X server makes them."""
    return lambda at_ms: key if at_ms == 0 or (at_ms >= delay_ms and (at_ms - delay_ms) % 40 == 0) else b""


@pytest.fixture
def desk() -> Iterator[Desk]:
    made = Desk()
    yield made
    made.device.close()
    os.close(made.read_end)
    os.close(made.write_end)


@pytest.fixture
def exact(desk: Desk) -> Desk:
    """One whose terminal tells releases, and answers."""
    desk.terminal.tells_releases = True
    return desk


def alive(keys: bytes = b"") -> Callable[[int], bytes]:
    """``keys`` at first, and an answer to each question."""
    return lambda at_ms: (keys if at_ms == 0 else b"") + (b"\x1b[0n" if at_ms % 100 == 0 else b"")


def test_a_tap_takes_hold_of_nothing(desk: Desk) -> None:
    assert not desk.run(2000, lambda at_ms: b" " if at_ms % 500 == 0 else b"").held


def test_a_held_key_has_hold_until_it_no_longer_repeats(desk: Desk) -> None:
    assert desk.run(800, held(b" ")).held
    assert desk.run(HELD_NS // MS - 20).held
    reading = desk.run(60)
    assert not reading.held and not reading.axes.any()


def test_speed_stays_while_another_key_is_held_and_steering_returns(desk: Desk) -> None:
    desk.run(1500, held(UP))
    speed = desk.reading.axes[SPEED]
    assert 0.2 < speed < 0.5
    # The hand goes to another key, which does not repeat at once: it is trusted for as long as that takes.
    turning = desk.run(900, held(LEFT))
    assert turning.held and turning.axes[STEERING] == 1.0
    assert turning.axes[SPEED] == pytest.approx(speed, abs=0.15)
    straight = desk.run(900, held(b" "))
    assert straight.held and straight.axes[STEERING] == 0.0 and straight.axes[SPEED] > 0.2
    assert not desk.run((FIRST_NS + 100 * MS) // MS).held


def test_released_keys_let_go_at_once_where_the_terminal_tells(exact: Desk) -> None:
    assert exact.run(500, alive(b"\x1b[32;1:1u\x1b[1;1:1A")).held
    assert exact.run(10, alive(b"\x1b[1;1:3A")).held
    reading = exact.run(10, alive(b"\x1b[32;1:3u"))
    assert not reading.held and not reading.axes.any()


def test_a_held_key_of_a_terminal_that_has_gone_is_let_go(exact: Desk) -> None:
    assert exact.run(300, alive(b"\x1b[32;1:1u")).held
    assert not exact.run((ANSWER_NS + 20 * MS) // MS).held, "an ssh that hangs sends no release"


def test_a_lost_focus_lets_go(exact: Desk) -> None:
    assert exact.run(300, alive(b"\x1b[32;1:1u")).held
    assert not exact.run(20, alive(b"\x1b[O")).held


def test_an_emergency_stop_stays_until_it_is_reset_with_nothing_held(desk: Desk) -> None:
    assert desk.run(10, lambda _: b"x").estop
    desk.run(1500, held(b" "))
    assert desk.run(10, lambda _: b"r").estop, "a hand on the robot resets nothing"
    desk.run(2000)
    reading = desk.run(10, lambda _: b"r")
    assert not reading.estop and reading.presses == ("reset",)


def test_a_key_that_is_stuck_presses_once(desk: Desk) -> None:
    presses: list[str] = []
    for _ in range(50):
        presses += desk.run(10, lambda _: b"d").presses
        presses += desk.run(30).presses
    assert presses == ["drop"]


def test_a_line_is_typed_and_no_key_of_it_does_anything_else(desk: Desk) -> None:
    typed = "tx s\N{LATIN SMALL LETTER A WITH DIAERESIS}oy\x7f e".encode() + UP
    for k, byte in enumerate(typed.replace(UP, b"")):
        reading = desk.run(30, lambda at_ms, k=k, byte=byte: bytes([byte]) if at_ms == 0 else b"")
        assert not (reading.held or reading.presses or reading.estop), k
    assert not desk.run(2000, held(UP)).held
    desk.run(30, lambda at_ms: b"\n" if at_ms == 0 else b"")
    assert desk.notes.kept == ["x s\N{LATIN SMALL LETTER A WITH DIAERESIS}o e"]
    assert desk.notes.shown[0] == "" and desk.notes.shown[-1] is None
    assert desk.run(2000, lambda at_ms: b"s" if at_ms == 1990 else b"").presses == ("stop",)


def test_nobody_types_while_somebody_drives(desk: Desk) -> None:
    desk.notes.allowed = False
    desk.run(30, lambda at_ms: b"t" if at_ms == 0 else b"")
    assert desk.notes.shown == [] and desk.run(30, lambda at_ms: b"x" if at_ms == 0 else b"").estop
    desk.notes.allowed = True
    assert desk.run(1500, held(b" ")).held
    desk.run(30, lambda at_ms: b"t" if at_ms == 0 else b"")
    assert desk.notes.shown == []
