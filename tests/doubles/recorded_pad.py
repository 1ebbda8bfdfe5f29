"""A gamepad of which only what it said is left: evdev events through the real code."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from robot.teleop.gamepad import EV_ABS, EV_KEY, EV_SYN, evdev_codes
from robot.teleop.gamepad_map import Range

CODES = evdev_codes()


@dataclass(frozen=True)
class Event:
    type: int
    code: int
    value: int


@dataclass
class RecordedPad:
    """A pad of which only what it said is left."""

    name: str = "Trigger Pad"
    fd: int = -1
    events: list[Event] = field(default_factory=list)
    axes: dict[str, Range] = field(default_factory=dict)
    buttons: list[int] = field(default_factory=list)
    gone: bool = False

    def read(self) -> Iterable[Event]:
        if self.gone:
            raise OSError(19, "No such device")
        if not self.events:
            raise BlockingIOError
        events, self.events = self.events, []
        return events

    def range_of(self, code: int) -> Range | None:
        return {CODES[name]: found for name, found in self.axes.items()}.get(code)

    def down(self) -> Sequence[int]:
        return self.buttons

    def close(self) -> None:
        return

    def moves(self, axis: str, value: int) -> None:
        self.events += [Event(EV_ABS, CODES[axis], value), Event(EV_SYN, 0, 0)]

    def presses(self, button: str, value: int = 1) -> None:
        self.events += [Event(EV_KEY, CODES[button], value), Event(EV_SYN, 0, 0)]


class Store:
    """Where a pad is plugged in, or not."""

    def __init__(self, pad: RecordedPad | None) -> None:
        self.pad = pad

    def __call__(self) -> RecordedPad:
        if self.pad is None:
            raise FileNotFoundError("no gamepad")
        return self.pad
