"""The keyboard of a terminal as an input device: arrow keys drive while a key is held, and nothing else does.

Space has hold of the robot without moving it; so does each key that drives. Where the terminal tells
releases, the hand is gone with the last key that is let go, with the terminal's focus, or with the terminal
itself, which is asked ten times a second whether it is there (an ssh that hangs must not hold a key). Where
it does not, a key is held while it repeats; a terminal takes up to ``FIRST_NS`` to begin with that, so that a
tap takes hold of nothing, and a hand that goes from one key to another is trusted for as long.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from robot.interface import Array
from robot.messages import InputKind
from robot.spec import RobotSpec
from robot.teleop.device import Reading
from robot.teleop.note_line import NoteLine, Notes
from robot.teleop.terminal import Happened, Key, Terminal

HELD_NS: Final = 300_000_000
"""A key counts as held for so long after its last repeat [ns]; terminals repeat about 30 times a second."""
FIRST_NS: Final = 700_000_000
"""Until a held key first repeats [ns]; the X server's own default is 660 ms."""
PING_NS: Final = 100_000_000
ANSWER_NS: Final = 350_000_000
"""A terminal that has not been heard of for so long has gone [ns]."""
HOLD: Final = " "
PRESSES: Final[Mapping[str, str]] = {
    "r": "reset",
    "s": "stop",
    "p": "place",
    "e": "end",
    "y": "success",
    "n": "failure",
    "d": "drop",
}
"""Keys by what they press (``hand_dtype``)."""
RESET: Final = "r"
"""Only a new press with nothing held: a key that is stuck must not undo an emergency stop."""
ESTOP: Final = "x"
NOTE: Final = "t"
"""Types a line; until it is finished no key does anything else."""


class KeyboardDevice:
    """``spec.teleop`` says which keys move what. ``notes``: where a typed line goes (None: none is)."""

    kind = InputKind.KEYBOARD
    reason = ""

    def __init__(self, spec: RobotSpec, terminal: Terminal, notes: Notes | None = None) -> None:
        self._terminal, self._notes = terminal, notes
        self._line: NoteLine | None = None
        names = [actuator.name for actuator in spec.actuators]
        self._axes = [(names.index(axis.actuator), axis) for axis in spec.teleop.axes]
        self._drives = {HOLD, *(key for axis in spec.teleop.axes for key in axis.keys)}
        self._value: Array = np.zeros(len(names))
        self._down: dict[str, float] = {}
        """Keys that are held, and until when that is known [ns]."""
        self._typed_ns: dict[str, int] = {}
        self._estop = False
        self._input_ns = self._moved_ns = self._pinged_ns = 0

    def descriptors(self) -> Sequence[int]:
        return (self._terminal.descriptor,)

    def read(self, now_ns: int) -> Reading:
        """Take the keys that came, and move the axes on."""
        presses = []
        for key in self._terminal.read(now_ns):
            self._input_ns = now_ns
            if self._line is not None:
                self._type(key.name, now_ns)
            elif key.name == NOTE and key.new:
                self._begin_note()
            elif key.name in self._drives or not key.name:
                self._hold(key, now_ns)
            elif key.name == ESTOP:
                self._estop = True
            elif key.new and key.name in PRESSES and not (key.name == RESET and self._down):
                presses.append(PRESSES[key.name])
                self._estop &= key.name != RESET
        if self._terminal.tells_releases:
            self._listen(now_ns)
        self._down = {name: until for name, until in self._down.items() if now_ns <= until}
        elapsed_s = (now_ns - self._moved_ns) * 1e-9 if self._moved_ns else 0.0
        self._moved_ns = now_ns
        self._move(elapsed_s)
        held = bool(self._down)
        return Reading(self._value.copy(), held, self._input_ns, True, tuple(presses), self._estop)

    def close(self) -> None:
        self._terminal.close()

    def _begin_note(self) -> None:
        if self._notes is not None and not self._down and self._notes.may_begin():
            self._line = NoteLine()
            self._terminal.type(text=True)
            self._notes.draft("")

    def _type(self, key: str, now_ns: int) -> None:
        line, notes = self._line, self._notes
        if line is None or notes is None:
            return
        if not line.type(key):
            notes.draft(line.text)
            return
        self._line = None
        self._terminal.type(text=False)
        notes.draft(None)
        if line.text.strip():
            notes.keep(now_ns, line.text.strip())

    def _hold(self, key: Key, now_ns: int) -> None:
        if self._terminal.tells_releases:
            if key.what is not Happened.RELEASED:
                self._down[key.name] = math.inf
            elif key.name:
                self._down.pop(key.name, None)
            else:
                self._down.clear()
            return
        last_ns = self._typed_ns.get(key.name)
        self._typed_ns[key.name] = now_ns
        if last_ns is not None and now_ns - last_ns <= HELD_NS:
            self._down[key.name] = now_ns + HELD_NS
        elif self._down:
            self._down[key.name] = now_ns + FIRST_NS

    def _listen(self, now_ns: int) -> None:
        """Whether there still is somebody to let go."""
        if now_ns - self._pinged_ns >= PING_NS:
            self._pinged_ns = now_ns
            self._terminal.ping()
        if now_ns - self._terminal.answered_ns > ANSWER_NS:
            self._down.clear()

    def _move(self, elapsed_s: float) -> None:
        if not self._down:
            self._value[:] = 0.0
            return
        for i, axis in self._axes:
            more, less = (key in self._down for key in axis.keys)
            step = axis.rate * elapsed_s
            value = float(self._value[i])
            if more != less:
                value += step if more else -step
            elif not axis.stays:
                value -= math.copysign(min(step, abs(value)), value)
            self._value[i] = min(1.0, max(-1.0, value))
