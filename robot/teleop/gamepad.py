"""A gamepad, a joystick or a radio transmitter in joystick mode as an input device, through evdev.

One that vanishes (unplugged, asleep, out of reach) has let go of the robot, and is looked for until it is
back.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np

from robot.errors import SandlotError
from robot.interface import Array
from robot.messages import HAND_PRESSES, InputKind
from robot.spec import RobotSpec
from robot.teleop.device import Reading
from robot.teleop.gamepad_map import GamepadMap, Range, file_name, load_map, standard_map

RETRY_NS: Final = 500_000_000
"""Between attempts to open a device that is absent [ns]."""
DEADZONE: Final = 0.08
"""A stick that nobody touches does not rest at exactly 0; what is beyond counts from there on."""
TOUCHED: Final = 0.2
"""A stick this far from its rest is being touched, where there is no dead man's button."""
EV_SYN, EV_KEY, EV_ABS = 0, 1, 3
SYN_DROPPED = 3


class InputEvent(Protocol):
    """As evdev has it, and ``linux/input.h``."""

    type: int
    code: int
    value: int


class Pad(Protocol):
    """What is asked of ``evdev.InputDevice``, or of a recording of one."""

    name: str
    fd: int

    def read(self) -> Iterable[InputEvent]:
        """What came; BlockingIOError if nothing did, another OSError if the device has gone."""

    def range_of(self, code: int) -> Range | None:
        """An axis as it is now, None if there is no such axis."""

    def down(self) -> Sequence[int]:
        """The buttons that are down now."""

    def close(self) -> None: ...


class GamepadDevice:
    """``find``: opens the pad. Raises OSError while there is none. ``codes``: Linux names to numbers.
    ``maps``: where mappings lie, one per pad; without one the robot's own sticks count."""

    kind = InputKind.GAMEPAD

    def __init__(
        self, spec: RobotSpec, find: Callable[[], Pad], codes: dict[str, int], maps: Path | None = None
    ) -> None:
        self.reason = ""
        self._spec, self._find, self._codes, self._maps = spec, find, codes, maps
        self._names = [actuator.name for actuator in spec.actuators]
        self._pad: Pad | None = None
        self._map = GamepadMap({})
        self._values: dict[int, float] = {}
        self._down: set[int] = set()
        self._estop = False
        self._input_ns = self._retry_ns = 0

    def descriptors(self) -> Sequence[int]:
        return () if self._pad is None else (self._pad.fd,)

    def read(self, now_ns: int) -> Reading:
        """Follow the pad's events. Raises SpecError for a pad that nothing is known to do with."""
        if self._pad is None and now_ns >= self._retry_ns:
            self._retry_ns = now_ns + RETRY_NS
            self._open()
        pressed: set[int] = set()
        if self._pad is not None:
            try:
                self._follow(self._pad, pressed, now_ns)
            except OSError as error:
                self._lose(str(error))
        axes = np.array([self._axis(name) for name in self._names])
        buttons = self._map.buttons
        presses = tuple(name for name in HAND_PRESSES if self._codes.get(buttons.get(name, "")) in pressed)
        if self._codes.get(buttons.get("estop", "")) in pressed:
            self._estop = True
        elif "reset" in presses:
            self._estop = False
        connected = self._pad is not None
        held = connected and self._held(axes)
        return Reading(axes if held else 0.0 * axes, held, self._input_ns, connected, presses, self._estop)

    def close(self) -> None:
        pad, self._pad = self._pad, None
        if pad is not None:
            with contextlib.suppress(OSError):
                pad.close()

    def _open(self) -> None:
        try:
            pad = self._find()
        except OSError as error:
            self.reason = str(error)
            return
        made = None if self._maps is None else self._maps / file_name(pad.name)
        if made is not None and made.exists():
            self._map = load_map(made)
            self._map.check(self._spec, self._codes, str(made))
        else:
            self._map = standard_map(
                self._spec, lambda code: pad.range_of(self._codes.get(code, -1)), pad.name
            )
        self._pad = pad
        self._look(pad)

    def _follow(self, pad: Pad, pressed: set[int], now_ns: int) -> None:
        try:
            events = list(pad.read())
        except BlockingIOError:
            return
        for event in events:
            self._input_ns = now_ns
            if event.type == EV_ABS:
                self._values[event.code] = event.value
            elif event.type == EV_KEY and event.value == 1:
                self._down.add(event.code)
                pressed.add(event.code)
            elif event.type == EV_KEY and event.value == 0:
                self._down.discard(event.code)
            elif event.type == EV_SYN and event.code == SYN_DROPPED:
                self._look(pad)  # the kernel has thrown events away

    def _look(self, pad: Pad) -> None:
        """How everything is now, whatever was missed."""
        self._down = set(pad.down())
        for stick in self._map.sticks.values():
            for side in (stick.more, stick.less):
                found = pad.range_of(self._codes[side.code])
                self._values[self._codes[side.code]] = side.rest if found is None else found.value

    def _lose(self, reason: str) -> None:
        self.reason = reason
        self.close()
        self._values, self._down = {}, set()

    def _axis(self, name: str) -> float:
        stick = self._map.sticks.get(name)
        if stick is None:
            return 0.0
        share = 0.0
        for side, sign in ((stick.more, 1.0), (stick.less, -1.0)):
            moved = side.share(self._values.get(self._codes[side.code], side.rest))
            share += sign * max(0.0, moved - DEADZONE) / (1.0 - DEADZONE)
        return share

    def _held(self, axes: Array) -> bool:
        if self._map.dead_man:
            return self._codes[self._map.dead_man] in self._down
        return bool(np.any(np.abs(axes) >= TOUCHED))


def open_evdev(path: Path | None) -> Callable[[], Pad]:
    """Opens the input device at ``path``, or the first gamepad or joystick there is. Raises SandlotError
    without evdev."""
    evdev = _evdev()

    def find() -> Pad:
        for name in [str(path)] if path else evdev.list_devices():
            device = evdev.InputDevice(name, readonly=True)
            keys = device.capabilities().get(EV_KEY, [])
            if path or evdev.ecodes.BTN_GAMEPAD in keys or evdev.ecodes.BTN_JOYSTICK in keys:
                return EvdevPad(device)
            device.close()
        raise FileNotFoundError(
            "no gamepad among the input devices; plug one in, or get permission to read it (group input)"
        )

    return find


def evdev_codes() -> dict[str, int]:
    """Linux names of axes and buttons, and their numbers. Raises SandlotError without evdev."""
    found: dict[str, int] = _evdev().ecodes.ecodes
    return {name: code for name, code in found.items() if name.startswith(("ABS_", "BTN_"))}


class EvdevPad:
    """An ``evdev.InputDevice`` as a Pad."""

    def __init__(self, device: Any) -> None:
        self._device = device
        self.name: str = device.name
        self.fd: int = device.fd
        self._axes = {code for code, _ in device.capabilities().get(EV_ABS, [])}

    def read(self) -> Iterable[InputEvent]:
        events: Iterable[InputEvent] = self._device.read()
        return events

    def range_of(self, code: int) -> Range | None:
        if code not in self._axes:
            return None
        found = self._device.absinfo(code)
        return Range(found.min, found.max, found.value)

    def down(self) -> Sequence[int]:
        keys: list[int] = self._device.active_keys()
        return keys

    def close(self) -> None:
        self._device.close()


def _evdev() -> Any:
    try:
        import evdev
    except ImportError:
        raise SandlotError("a gamepad needs evdev: pip install '.[teleop]'") from None
    return evdev
