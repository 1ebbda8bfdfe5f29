"""A pad's events through the questions, the file that comes of them, and the device that reads it."""

from __future__ import annotations

from pathlib import Path

import pytest
from recorded_pad import CODES, RecordedPad

from launch.catalogue import find
from launch.teleop_map import SKIP, write_map
from robot.messages import HAND_PRESSES
from robot.spec import load_spec
from robot.teleop.gamepad import GamepadDevice
from robot.teleop.gamepad_map import GamepadMap, Range, Side, Stick, file_name, load_map
from robot.teleop.map_maker import MEANING

SPEC = load_spec(find("robots", "racer"))
SPEED, STEERING = (SPEC.actuator_layout.index(name) for name in ("speed", "steering"))
Act = tuple[str, int] | str
"""An axis and its new value, a button, or SKIP."""
PERIOD_NS = 50_000_000
NO_BUTTONS: dict[str, list[Act]] = {f"button for: {text}": [SKIP] for text in MEANING.values()}


class Person:
    """Does what is asked, one thing in each round; ``acts`` by a piece of the question."""

    def __init__(self, pad: RecordedPad, acts: dict[str, list[Act]]) -> None:
        self.pad, self.acts = pad, {key: list(value) for key, value in acts.items()}
        self.now_ns, self.shown, self.said = 0, "", list[str]()

    def wait(self) -> tuple[int, list[str]]:
        self.now_ns += PERIOD_NS
        assert self.now_ns < 200 * 10**9, f"stuck at: {self.shown}"
        for piece, acts in self.acts.items():
            if piece in self.shown and acts:
                return self.now_ns, self._do(acts.pop(0))
        return self.now_ns, []

    def _do(self, act: Act) -> list[str]:
        if isinstance(act, tuple):
            self.pad.moves(*act)
        elif act in CODES:
            self.pad.presses(act)
            self.pad.presses(act, 0)
        else:
            return [act]
        return []

    def show(self, text: str) -> None:
        self.shown = text
        self.said.append(text)


def made_by(person: Person, target: Path) -> GamepadMap | None:
    return write_map(SPEC, person.pad, CODES, target, person.wait, person.show)


@pytest.fixture
def gamepad() -> RecordedPad:
    ranges = {"ABS_X": Range(0, 255, 126), "ABS_Y": Range(0, 255, 131)}
    return RecordedPad("Odd Pad", axes=ranges | dict.fromkeys(("ABS_Z", "ABS_RZ"), Range(0, 1023, 0)))


def test_a_pad_with_triggers_drives_as_it_was_shown(tmp_path: Path, gamepad: RecordedPad) -> None:
    target = tmp_path / file_name(gamepad.name)
    person = Person(
        gamepad,
        {
            "speed towards +5": [("ABS_X", 140), ("ABS_RZ", 600), ("ABS_RZ", 1000), ("ABS_RZ", 0)],
            "speed towards -1.5": [("ABS_RZ", 1000), ("ABS_RZ", 0), ("ABS_Z", 1023), ("ABS_Z", 3)],
            "steering towards +0.263": [("ABS_X", 0), ("ABS_X", 126)],
            "steering towards -0.263": [("ABS_X", 0), ("ABS_X", 126), ("ABS_X", 250), ("ABS_X", 126)],
            "hold to drive": ["BTN_TL"],
            **NO_BUTTONS,
            "button for: stop": ["BTN_TL", "BTN_EAST"],
            "try it": [("ABS_X", 0), ("ABS_RZ", 1000), SKIP],
        },
    )
    made_by(person, target)
    assert load_map(target) == GamepadMap(
        {
            "speed": Stick(Side("ABS_RZ", 0, 1000), Side("ABS_Z", 0, 1023)),
            "steering": Stick(Side("ABS_X", 126, 0), Side("ABS_X", 126, 250)),
        },
        {"stop": "BTN_EAST"},
        "BTN_TL",
        "Odd Pad",
    )
    said = "\n".join(person.said)
    for line in ("ABS_RZ moves speed more already", "ABS_X moves steering more already", "dead man already"):
        assert line in said, line
    device = GamepadDevice(SPEC, lambda: gamepad, CODES, tmp_path)
    gamepad.moves("ABS_RZ", 1000)
    gamepad.moves("ABS_X", 250)
    gamepad.presses("BTN_TL")
    gamepad.presses("BTN_EAST")
    reading = device.read(1)
    assert reading.held and reading.presses == ("stop",)
    assert (reading.axes[SPEED], reading.axes[STEERING]) == (1.0, -1.0)


def test_a_transmitters_throttle_rests_where_it_is_left(tmp_path: Path) -> None:
    """It starts at the bottom, which no axis of a pad does; nothing on it drives backwards."""
    pad = RecordedPad("Radio", axes={"ABS_THROTTLE": Range(-1000, 1000, 0), "ABS_X": Range(-1000, 1000, 0)})
    person = Person(
        pad,
        {
            "let go of everything": [("ABS_THROTTLE", -990)],
            "speed towards +5": [("ABS_THROTTLE", 200), ("ABS_THROTTLE", 990), ("ABS_THROTTLE", -500)],
            "speed towards -1.5": [SKIP],
            "steering towards +0.263": [
                *(("ABS_X", -1000), ("ABS_THROTTLE", 900), ("ABS_THROTTLE", -500), ("ABS_X", 0)),
                *(("ABS_X", -1000), ("ABS_X", 0)),
            ],
            "steering towards -0.263": [("ABS_X", 1000), ("ABS_X", 0)],
            "hold to drive": [SKIP],
            **NO_BUTTONS,
            "try it": [SKIP],
        },
    )
    mapping = made_by(person, tmp_path / "radio.toml")
    assert mapping is not None and mapping.dead_man == "" and not mapping.buttons
    assert mapping.sticks["speed"] == Stick(
        Side("ABS_THROTTLE", -500, 990), Side("ABS_THROTTLE", -500, -1990)
    ), "backwards is where it never goes"
    assert "moved together" in "\n".join(person.said)


def test_giving_up_leaves_the_mapping_that_was_there(tmp_path: Path, gamepad: RecordedPad) -> None:
    target = tmp_path / "odd-pad.toml"
    target.write_text("as it was")
    whole: dict[str, list[Act]] = {
        "speed towards +5": [("ABS_RZ", 1000), ("ABS_RZ", 0)],
        "speed towards -1.5": [("ABS_Z", 1000), ("ABS_Z", 0)],
        "steering towards +0.263": [("ABS_X", 0), ("ABS_X", 126)],
        "steering towards -0.263": [("ABS_X", 250), ("ABS_X", 126)],
        "hold to drive": ["BTN_TL"],
        **NO_BUTTONS,
    }
    for piece in ("steering towards -0.263", "try it"):
        assert made_by(Person(gamepad, whole | {piece: ["q"]}), target) is None
        assert target.read_text() == "as it was"


def test_every_press_that_a_mapping_knows_is_asked_for() -> None:
    assert set(MEANING) == {"estop", *HAND_PRESSES}
