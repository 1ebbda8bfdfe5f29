"""Emergency stops on wires: a broken loop is pressed, an adapter that cannot be read is unknown."""

from __future__ import annotations

import os
import pty
import struct
from pathlib import Path

import pytest

from robot.claim import ClaimedError
from robot.clock import SimulatedClock
from robot.estop.feeder import EstopFeeder
from robot.estop.gamepad import GamepadButton
from robot.estop.modem_line import RETRY_NS, ModemLine
from robot.messages import ESTOP_DTYPE, EstopState
from robot.shared_memory import Mailbox

CLOSED, OPEN, UNKNOWN = EstopState.CLOSED, EstopState.OPEN, EstopState.UNKNOWN
STOP_BUTTON = 0x13A  # BTN_SELECT


class Adapter:
    """A serial adapter's pins, wired as a test says; ``present``: whether it is plugged in."""

    def __init__(self) -> None:
        self.rts = self.dtr = True
        self.pressed = False
        self.present = True
        self.stuck: bool | None = None
        self.opens = 0

    def open(self, path: str) -> Adapter:
        self.opens += 1
        if not self.present:
            raise OSError(2, f"no such port: {path}")
        return self

    def _in(self, fed: bool) -> bool:
        if not self.present:
            raise OSError(5, "Input/output error")
        return self.stuck if self.stuck is not None else fed and not self.pressed

    @property
    def cts(self) -> bool:
        return self._in(self.rts)

    @property
    def dsr(self) -> bool:
        return self._in(self.dtr)

    cd = dsr

    def close(self) -> None:
        if not self.present:
            raise OSError(5, "Input/output error")


def line(adapter: Adapter, signal: str = "cts") -> ModemLine:
    return ModemLine("/dev/post", signal, adapter.open, lambda seconds: None)


@pytest.mark.parametrize("signal", ["cts", "dsr", "dcd"])
def test_a_closed_loop_is_closed_and_a_broken_one_open(signal: str) -> None:
    adapter = Adapter()
    button = line(adapter, signal)
    assert button.read(0) == CLOSED
    adapter.pressed = True
    assert button.read(1) == OPEN
    adapter.pressed = False
    assert button.read(2) == CLOSED
    assert adapter.opens == 1


def test_a_button_that_is_pressed_from_the_start_is_pressed() -> None:
    adapter = Adapter()
    adapter.pressed = True
    button = line(adapter)
    assert button.read(0) == OPEN
    adapter.pressed = False
    assert button.read(1) == CLOSED


def test_an_input_that_its_output_does_not_feed_is_never_trusted() -> None:
    adapter = Adapter()
    adapter.stuck = True  # a pull-up, or a short
    button = line(adapter)
    for k in range(4):
        assert button.read(k * RETRY_NS) == UNKNOWN
    assert "RTS through the button to CTS" in button.reason
    adapter.stuck = None
    assert button.read(10 * RETRY_NS) == CLOSED


def test_an_adapter_that_is_pulled_out_is_unknown_and_tried_again_now_and_then() -> None:
    adapter = Adapter()
    button = line(adapter)
    assert button.read(0) == CLOSED
    adapter.present = False
    for now in range(1, 3 * RETRY_NS, RETRY_NS // 50):
        assert button.read(now) == UNKNOWN
    assert "lost" in button.reason or "cannot be used" in button.reason
    assert adapter.opens <= 5
    adapter.present = True
    assert button.read(4 * RETRY_NS) == CLOSED


def test_a_port_without_such_lines_and_one_that_is_absent_are_unknown() -> None:
    master, slave = pty.openpty()
    for path in (os.ttyname(slave), "/dev/nothing"):
        button = ModemLine(path, "cts")
        assert button.read(0) == UNKNOWN
        assert path in button.reason
        button.close()
    os.close(master)
    os.close(slave)


def event(kind: int, code: int, value: int) -> bytes:
    return struct.pack("llHHi", 0, 0, kind, code, value)


PRESS, LET_GO, SYNC = event(1, STOP_BUTTON, 1), event(1, STOP_BUTTON, 0), event(0, 0, 0)


@pytest.fixture
def pad(tmp_path: Path) -> tuple[GamepadButton, int]:
    """A gamepad's button, and where its recorded events come from."""
    path = tmp_path / "event0"
    os.mkfifo(path)
    button = GamepadButton(str(path), STOP_BUTTON)
    keep = os.open(path, os.O_RDWR)
    assert button.read(0) == CLOSED
    return button, keep


def test_a_gamepads_button_is_followed_whatever_else_is_pressed(pad: tuple[GamepadButton, int]) -> None:
    button, write = pad
    os.write(write, event(1, 0x130, 1) + SYNC + event(3, 0, 128) + SYNC)
    assert button.read(1) == CLOSED
    os.write(write, PRESS + SYNC)
    assert [button.read(k) for k in (2, 3)] == [OPEN, OPEN]
    os.write(write, LET_GO + SYNC)
    assert button.read(4) == CLOSED


def test_a_press_between_two_looks_is_not_lost_and_bounces_are_one(pad: tuple[GamepadButton, int]) -> None:
    button, write = pad
    os.write(write, (PRESS + SYNC + LET_GO + SYNC) * 5)
    assert [button.read(k) for k in (1, 2)] == [OPEN, CLOSED]


def test_half_an_event_waits_for_its_other_half(pad: tuple[GamepadButton, int]) -> None:
    button, write = pad
    os.write(write, PRESS[:10])
    assert button.read(1) == CLOSED
    os.write(write, PRESS[10:])
    assert button.read(2) == OPEN


def test_a_gamepad_that_goes_is_unknown(pad: tuple[GamepadButton, int]) -> None:
    button, write = pad
    os.close(write)
    assert button.read(1) == UNKNOWN
    assert "event0" in button.reason


class Scripted:
    def __init__(self, states: list[EstopState]) -> None:
        self.states = states
        self.reason = "why"
        self.closed = False

    def read(self, now_ns: int) -> EstopState:
        state = self.states.pop(0)
        if state == UNKNOWN:
            raise OSError("unreadable")
        return state

    def close(self) -> None:
        self.closed = True
        raise OSError("and will not close")


def test_the_feeder_says_what_it_reads_and_at_the_end_that_it_knows_nothing(tmp_path: Path) -> None:
    mailbox = Mailbox(tmp_path / "post", ESTOP_DTYPE, create=True)
    clock, told = SimulatedClock(1_000), list[str]()
    source = Scripted([CLOSED, OPEN, OPEN, CLOSED, UNKNOWN, OPEN])
    feeder = EstopFeeder({"post": source}, {"post": mailbox}, clock, lambda _, name, text: told.append(text))
    seen = []
    for _ in range(6):
        clock.sleep_until(clock.now_ns() + 1_000)
        feeder.step()
        record = mailbox.read()
        assert record is not None
        assert record["time_ns"][0] == clock.now_ns()
        seen.append((int(record["state"][0]), int(record["presses"][0])))
    assert seen == [(1, 0), (2, 1), (2, 1), (1, 1), (0, 1), (2, 2)]
    assert told == ["closed", "open", "closed", "unknown: unreadable", "open"]
    with pytest.raises(ClaimedError):
        EstopFeeder({"post": source}, {"post": mailbox}, clock, lambda *_: None)
    feeder.close()
    record = mailbox.read()
    assert record is not None
    assert record["state"][0] == UNKNOWN
    assert source.closed
    again = EstopFeeder({"post": Scripted([OPEN])}, {"post": mailbox}, clock, lambda *_: None)
    again.step()
    record = mailbox.read()
    assert record is not None
    assert record["presses"][0] == 3, "counted on from where the last one stopped"
    again.close()
