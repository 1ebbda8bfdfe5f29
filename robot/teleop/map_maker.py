"""Makes a pad's mapping by asking for one movement after another, and looking at what moves.

First everything rests; then each actuator's two directions, the button that is held to drive, and the others.
A stick, a trigger and a transmitter's gimbal, which stays where it is left, are all told by their own values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from robot.spec import RobotSpec
from robot.teleop.gamepad import EV_ABS, EV_KEY, Pad
from robot.teleop.gamepad_map import BUTTONS, GamepadMap, Range, Side, Stick

QUIET_NS: Final = 1_000_000_000
"""An axis that has not moved for so long rests [ns]."""
MOVED: Final = 0.3
"""Of an axis's range: what is further from its rest was moved on purpose; a centred stick has 0.5."""
NOISE: Final = 0.05
"""Of an axis's range: what an axis does that nobody touches."""
TOGETHER: Final = 0.6
"""An axis that moves this share of what the furthest one does moves with it."""
MEANING: Final[Mapping[str, str]] = {
    "estop": "the software emergency stop",
    "stop": "stop",
    "reset": "reset a fault",
    "place": "it stands on its start line",
    "end": "end of a take",
    "success": "the take was a success",
    "failure": "the take was a failure",
    "drop": "drop the take",
}
"""What each press is for; in this order they are asked."""


@dataclass(frozen=True)
class Question:
    """``text``: for the person. ``what``: an actuator or a press; ``kind``: what is looked for."""

    kind: str
    what: str
    text: str


class MapMaker:
    """``step`` it whenever the pad or the clock says something; ``made`` is there at the end.

    ``codes``: Linux names to numbers. ``trouble``: why the last movement was no answer, empty if it was one.
    """

    def __init__(self, spec: RobotSpec, pad: Pad, codes: Mapping[str, int]) -> None:
        self.trouble = ""
        self.made: GamepadMap | None = None
        self._pad = pad
        self._names = _names(codes)
        self._ranges: dict[int, Range] = {}
        for code, name in self._names.items():
            found = pad.range_of(code) if name.startswith("ABS_") else None
            if found is not None and found.highest > found.lowest:
                self._ranges[code] = found
        self._values = {code: float(found.value) for code, found in self._ranges.items()}
        self._rest = dict(self._values)
        self._furthest: dict[int, float] = {}
        self._moved_ns: int | None = None
        self._seen = dict(self._values)
        self._sides: dict[tuple[str, str], Side] = {}
        self._buttons: dict[str, str] = {}
        self._questions = _questions(spec)
        self._at = 0

    @property
    def question(self) -> Question | None:
        """What is being asked; None at the end."""
        return self._questions[self._at] if self._at < len(self._questions) else None

    @property
    def progress(self) -> tuple[int, int]:
        """How many questions have been answered, of how many."""
        return self._at, len(self._questions)

    @property
    def seen(self) -> str:
        """The axis that is furthest from its rest, as it is now; empty if all rest."""
        moved = {code: self._share(code, value) for code, value in self._values.items()}
        code = max(moved, key=lambda c: abs(moved[c]), default=-1)
        if code < 0 or abs(moved[code]) < NOISE:
            return ""
        return f"{self._names[code]} {self._values[code]:.0f} ({moved[code]:+.0%} of its range)"

    def step(self, now_ns: int, skip: bool = False) -> None:
        """Take what the pad said. ``skip``: the person has nothing for this question. Raises OSError if the
        pad has gone."""
        pressed = self._follow(now_ns)
        question = self.question
        if question is None:
            return
        if question.kind == "rest":
            self._settle(now_ns)
        elif question.kind in ("more", "less"):
            self._stick(question, now_ns, skip)
        else:
            self._button(question, pressed, skip)

    def _follow(self, now_ns: int) -> list[int]:
        """Move the values on; returns the buttons that were pressed."""
        try:
            events = list(self._pad.read())
        except BlockingIOError:
            events = []
        pressed = []
        for event in events:
            if event.type == EV_KEY and event.value == 1:
                pressed.append(event.code)
            elif event.type == EV_ABS and event.code in self._ranges:
                self._values[event.code] = float(event.value)
                far = self._furthest.get(event.code, self._rest[event.code])
                if abs(self._share(event.code, event.value)) > abs(self._share(event.code, far)):
                    self._furthest[event.code] = float(event.value)
        if self._moved_ns is None or any(
            abs(value - self._seen[code]) > NOISE * self._span(code) for code, value in self._values.items()
        ):
            self._moved_ns, self._seen = now_ns, dict(self._values)
        return pressed

    def _settle(self, now_ns: int) -> None:
        """Where everything stays for a while is its rest."""
        if now_ns - (now_ns if self._moved_ns is None else self._moved_ns) >= QUIET_NS:
            self._rest = dict(self._values)
            self._next()

    def _stick(self, question: Question, now_ns: int, skip: bool) -> None:
        if skip and question.kind == "less":
            # Nothing moves it that way: the half beyond the rest, where the axis never goes.
            more = self._sides[question.what, "more"]
            self._answer(question, Side(more.code, more.rest, 2.0 * more.rest - more.end))
            return
        shares = {code: abs(self._share(code, value)) for code, value in self._furthest.items()}
        code = max(shares, key=lambda c: shares[c], default=-1)
        if code < 0 or shares[code] < MOVED:
            return
        rest = self._let_go(code, now_ns)
        if rest is None:
            return
        end = self._furthest[code]
        with_it = [c for c, share in shares.items() if c != code and share > TOGETHER * shares[code]]
        if with_it:
            names = " and ".join(self._names[c] for c in (code, *with_it))
            self._refuse(f"{names} moved together; once more, only one of them")
        elif taken := self._taken(question, code, end > rest):
            self._refuse(f"{self._names[code]} moves {taken} already; take another")
        else:
            self._rest[code] = rest
            self._answer(question, Side(self._names[code], rest, end))

    def _let_go(self, code: int, now_ns: int) -> float | None:
        """Where the axis rests, once it is back there: where it was, or wherever else it stays. None before
        that."""
        value = self._values[code]
        if abs(self._share(code, value)) <= 2.0 * NOISE:
            return self._rest[code]
        away = abs(value - self._furthest[code]) >= MOVED * self._span(code)
        stays = self._moved_ns is not None and now_ns - self._moved_ns >= QUIET_NS
        return value if away and stays else None

    def _taken(self, question: Question, code: int, up: bool) -> str:
        """What this half of the axis moves already."""
        for (actuator, kind), side in self._sides.items():
            same_half = (side.end > side.rest) == up
            if side.code == self._names[code] and (actuator != question.what or same_half):
                return f"{actuator} {kind}"
        return ""

    def _button(self, question: Question, pressed: Sequence[int], skip: bool) -> None:
        if skip:
            self._buttons[question.what] = ""
            self._next()
            return
        for code in pressed[:1]:
            name = self._names.get(code, "")
            used = next((what for what, button in self._buttons.items() if name and button == name), "")
            if not name:
                self._refuse(f"that button (code {code}) has no BTN_ name; take another")
            elif used:
                self._refuse(f"{name} is {used} already; take another")
            else:
                self._buttons[question.what] = name
                self._next()
        moved = [c for c, value in self._furthest.items() if abs(self._share(c, value)) >= MOVED]
        if moved and not pressed:
            self._refuse(f"{self._names[moved[0]]} is an axis; a button is looked for here")

    def _answer(self, question: Question, side: Side) -> None:
        self._sides[question.what, question.kind] = side
        self._next()

    def _refuse(self, why: str) -> None:
        self.trouble = why
        self._furthest = {}

    def _next(self) -> None:
        self.trouble, self._furthest, self._at = "", {}, self._at + 1
        if self.question is None:
            self.made = self._map()

    def _map(self) -> GamepadMap:
        actuators = dict.fromkeys(actuator for actuator, _ in self._sides)
        sticks = {name: Stick(self._sides[name, "more"], self._sides[name, "less"]) for name in actuators}
        buttons = {what: name for what, name in self._buttons.items() if name and what != "dead man"}
        return GamepadMap(sticks, buttons, self._buttons["dead man"], self._pad.name)

    def _span(self, code: int) -> float:
        return float(self._ranges[code].highest - self._ranges[code].lowest)

    def _share(self, code: int, value: float) -> float:
        """How far from its rest, of its whole range."""
        return (value - self._rest[code]) / self._span(code)


def _questions(spec: RobotSpec) -> list[Question]:
    found = [Question("rest", "", "let go of everything, sticks at rest")]
    units = {actuator.name: actuator for actuator in spec.actuators}
    for axis in spec.teleop.axes:
        actuator = units[axis.actuator]
        more, less = axis.keys
        for kind, end, key in (("more", actuator.upper, more), ("less", actuator.lower, less)):
            text = f"{axis.actuator} towards {end:+g} {actuator.unit} (key {key}): all the way, and let go"
            found.append(Question(kind, axis.actuator, text))
    found.append(Question("button", "dead man", "the button that you will hold to drive"))
    return found + [Question("button", what, f"the button for: {text}") for what, text in MEANING.items()]


def _names(codes: Mapping[str, int]) -> dict[int, str]:
    """Numbers to names; of several names for one button that by which pads are described."""
    found: dict[int, str] = {}
    for name, code in codes.items():
        if code not in found or name in (*BUTTONS.values(), "BTN_TR"):
            found[code] = name
    return found
