"""A gamepad's events through the real code, as evdev would deliver them."""

from __future__ import annotations

from pathlib import Path

import pytest
from recorded_pad import Event, RecordedPad, Store

from launch.catalogue import find
from robot.errors import SandlotError, SpecError
from robot.spec import load_spec
from robot.teleop.gamepad import DEADZONE, EV_SYN, SYN_DROPPED, GamepadDevice, evdev_codes
from robot.teleop.gamepad_map import Range, file_name, load_map

SPEC = load_spec(find("robots", "racer"))
SPEED, STEERING = (SPEC.actuator_layout.index(name) for name in ("speed", "steering"))
CODES = evdev_codes()
SECOND_NS = 1_000_000_000
TRIGGERS = """
dead_man = ""
pad = "Trigger Pad"
buttons = { stop = "BTN_EAST", estop = "BTN_MODE", reset = "BTN_SELECT" }
[sticks.speed]
more = { code = "ABS_RZ", rest = 0, end = 255 }
less = { code = "ABS_Z", rest = 0, end = 255 }
[sticks.steering]
more = { code = "ABS_X", rest = 128, end = 0 }
less = { code = "ABS_X", rest = 128, end = 255 }
"""


def standard() -> RecordedPad:
    both = Range(-32768, 32767, 0)
    return RecordedPad("Standard Pad", axes={"ABS_X": both, "ABS_Y": both})


def test_the_sticks_of_the_robots_file_drive_while_the_dead_mans_button_is_down() -> None:
    pad = standard()
    device = GamepadDevice(SPEC, Store(pad), CODES)
    pad.moves("ABS_Y", -32768)
    pad.moves("ABS_X", 16384)
    reading = device.read(1)
    assert reading.connected and not reading.held and not reading.axes.any()
    pad.presses("BTN_TR")
    reading = device.read(2)
    assert reading.held and reading.axes[SPEED] == 1.0, "up is forward"
    assert reading.axes[STEERING] == pytest.approx(-(0.5 - DEADZONE) / (1.0 - DEADZONE), abs=1e-3), "right"
    pad.presses("BTN_TR", 0)
    assert not device.read(3).held


def test_a_stick_that_nobody_touches_is_at_rest() -> None:
    pad = standard()
    pad.buttons = [CODES["BTN_TR"]]
    pad.axes["ABS_X"] = Range(-32768, 32767, 1500)
    assert not GamepadDevice(SPEC, Store(pad), CODES).read(1).axes.any()


def test_a_mapping_of_its_own_and_taking_over_by_touch(tmp_path: Path) -> None:
    (tmp_path / file_name("Trigger Pad")).write_text(TRIGGERS)
    pad = RecordedPad(
        axes={name: Range(0, 255, rest) for name, rest in (("ABS_X", 128), ("ABS_Z", 0), ("ABS_RZ", 0))}
    )
    device = GamepadDevice(SPEC, Store(pad), CODES, tmp_path)
    assert not device.read(1).held
    pad.moves("ABS_RZ", 255)
    assert device.read(2).axes[SPEED] == 1.0 and device.read(3).held
    pad.moves("ABS_RZ", 0)
    pad.moves("ABS_Z", 255)
    assert device.read(4).axes[SPEED] == -1.0


def test_a_pad_that_vanishes_has_let_go_and_is_found_again() -> None:
    pad = standard()
    pad.buttons = [CODES["BTN_TR"]]
    store = Store(pad)
    device = GamepadDevice(SPEC, store, CODES)
    assert device.read(0).held
    pad.gone, store.pad = True, None
    reading = device.read(1)
    assert not reading.held and not reading.connected and "No such device" in device.reason
    store.pad = standard()
    assert not device.read(2).connected, "it is not looked for all the time"
    assert device.read(SECOND_NS).connected and not device.read(SECOND_NS + 1).held


def test_events_that_the_kernel_threw_away_are_made_up_for() -> None:
    pad = standard()
    pad.buttons = [CODES["BTN_TR"]]
    device = GamepadDevice(SPEC, Store(pad), CODES)
    assert device.read(0).held
    pad.buttons = []
    pad.events = [Event(EV_SYN, SYN_DROPPED, 0)]
    assert not device.read(1).held


def test_buttons_press_once_and_the_emergency_stop_stays() -> None:
    pad = standard()
    device = GamepadDevice(SPEC, Store(pad), CODES)
    pad.presses("BTN_NORTH")
    pad.presses("BTN_MODE")
    pad.presses("BTN_MODE", 0)
    reading = device.read(1)
    assert reading.presses == ("success",) and reading.estop
    assert device.read(2).presses == () and device.read(3).estop
    pad.presses("BTN_SELECT")
    reading = device.read(4)
    assert reading.presses == ("reset",) and not reading.estop


def test_a_pad_without_the_sticks_is_refused_with_what_to_do() -> None:
    with pytest.raises(SpecError, match="no axis 'ABS_Y', which should move speed; write a mapping"):
        GamepadDevice(SPEC, Store(RecordedPad()), CODES).read(0)


@pytest.mark.parametrize(
    ("wrong", "right", "message"),
    [
        ("sticks.speed", "sticks.sped", "no actuator 'sped'.*speed"),
        ("ABS_RZ", "ABS_RZZ", "Linux has no axis or button 'ABS_RZZ'"),
        ("stop = ", "halt = ", "nothing is called 'halt'"),
        ("end = 0", "end = 128", "rest and end must differ"),
    ],
)
def test_a_mapping_that_cannot_be_is_refused(tmp_path: Path, wrong: str, right: str, message: str) -> None:
    path = tmp_path / "pad.toml"
    path.write_text(TRIGGERS.replace(wrong, right, 1))
    with pytest.raises(SandlotError, match=message):
        load_map(path).check(SPEC, CODES, str(path))
