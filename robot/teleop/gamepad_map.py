"""What a gamepad's axes and buttons mean for a robot: by its file's sticks, or a mapping of its own."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import tomli_w

from robot.errors import SpecError, nearest
from robot.frame_file import write_atomically
from robot.layout import Struct
from robot.messages import HAND_PRESSES
from robot.plain_data import decode_struct
from robot.spec import RobotSpec

BUTTONS: Final[Mapping[str, str]] = {
    "estop": "BTN_MODE",
    "stop": "BTN_EAST",
    "reset": "BTN_SELECT",
    "place": "BTN_START",
    "end": "BTN_SOUTH",
    "success": "BTN_NORTH",
    "failure": "BTN_WEST",
    "drop": "BTN_TL",
}
"""By what they press, on a pad without a mapping. Source: the kernel's Documentation/input/gamepad.rst."""


class Range(NamedTuple):
    """An axis's raw values."""

    lowest: int
    highest: int
    value: int


class Side(Struct):
    """Half of an axis, in raw values: from ``rest`` to ``end``. ``code``: its Linux name."""

    code: str
    rest: float
    end: float

    def share(self, value: float) -> float:
        """How far it is moved, 0 to 1."""
        return min(1.0, max(0.0, (value - self.rest) / (self.end - self.rest)))


class Stick(Struct):
    """What moves an actuator up and down: two halves of one stick, or two triggers."""

    more: Side
    less: Side


class GamepadMap(Struct):
    """``sticks`` by actuator; ``buttons`` by what they press (``estop``, or as ``hand_dtype`` names it);
    ``dead_man``: held to drive, empty: touching a stick is enough."""

    sticks: dict[str, Stick]
    buttons: dict[str, str] = msgspec.field(default_factory=lambda: dict(BUTTONS))
    dead_man: str = "BTN_TR"
    pad: str = ""
    """The name of the pad that it was made with."""

    def check(self, spec: RobotSpec, known: Mapping[str, object], where: str) -> None:
        """Raise SpecError for an actuator, a code or a press that there is not."""
        actuators = [actuator.name for actuator in spec.actuators]
        for name in self.sticks:
            if name not in actuators:
                raise SpecError(f"{where}: no actuator {name!r}; {nearest(name, actuators)}")
        for name in self.buttons:
            if name not in ("estop", *HAND_PRESSES):
                raise SpecError(
                    f"{where}: nothing is called {name!r}; {nearest(name, ('estop', *HAND_PRESSES))}"
                )
        sides = [side for stick in self.sticks.values() for side in (stick.more, stick.less)]
        dead_man = (self.dead_man,) if self.dead_man else ()
        for code in (*(side.code for side in sides), *self.buttons.values(), *dead_man):
            if code not in known:
                raise SpecError(f"{where}: Linux has no axis or button {code!r}; {nearest(code, known)}")
        if any(side.rest == side.end for side in sides):
            raise SpecError(f"{where}: a stick's rest and end must differ")


def standard_map(spec: RobotSpec, range_of: Callable[[str], Range | None], pad: str) -> GamepadMap:
    """By the sticks of the robot's file, which rest in the middle of their range. Raises SpecError if the
    pad has not got one."""
    sticks = {}
    for axis in spec.teleop.axes:
        match = re.fullmatch(r"(-?)(ABS_\w+)", axis.stick)
        found = range_of(match[2]) if match else None
        if match is None or found is None:
            raise SpecError(
                f"{pad}: it has no axis {axis.stick.lstrip('-')!r}, which should move {axis.actuator}; write "
                "a mapping for it"
            )
        middle = 0.5 * (found.lowest + found.highest)
        ends = (found.lowest, found.highest) if match[1] else (found.highest, found.lowest)
        more, less = (Side(match[2], middle, float(end)) for end in ends)
        sticks[axis.actuator] = Stick(more, less)
    return GamepadMap(sticks, dead_man=spec.teleop.dead_man, pad=pad)


def load_map(path: Path) -> GamepadMap:
    """Raises SpecError for a file that is no mapping."""
    try:
        return decode_struct(tomllib.loads(path.read_text()), GamepadMap, str(path))
    except tomllib.TOMLDecodeError as error:
        raise SpecError(f"{path}: not valid TOML: {error}") from None


def save_map(mapping: GamepadMap, path: Path) -> None:
    """Write it whole or not at all; a file of that name before it is kept as ``NAME.toml.old``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        path.replace(path.with_suffix(".toml.old"))
    write_atomically(path, tomli_w.dumps(msgspec.to_builtins(mapping)).encode())


def file_name(pad: str) -> str:
    """What a pad's mapping is called."""
    return re.sub(r"[^a-z0-9]+", "-", pad.lower()).strip("-") + ".toml"
