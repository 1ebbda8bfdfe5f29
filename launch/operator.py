"""Who enables motion: a person at the keyboard, or, on the twin only, somebody who is simulated.

An operator writes one record at least every ``enable.timeout_s``: if this process stalls or dies, the
permission lapses and the guardian stops the robot.
"""

from __future__ import annotations

import os
import select
import sys
import termios
import tty
from collections.abc import Callable
from typing import Protocol

import numpy as np

from robot.messages import OPERATOR_DTYPE, Cause, PilotPhase, SafetyState
from robot.shared_memory import Mailbox, Record

STOPPED = (SafetyState.BOOT, SafetyState.STANDBY, SafetyState.FAULT, SafetyState.ESTOP)
"""States in which the drive has no torque: the robot stands, or nothing more can be done for it."""


class Operator(Protocol):
    """Called about 20 times a second with the newest state and pilot records (None: none yet)."""

    def step(self, now_ns: int, state: Record | None, pilot: Record | None) -> None: ...

    def halt(self, now_ns: int) -> None:
        """Withdraw the permission and ask for a stop; from now on nothing is ever enabled again."""

    def close(self) -> None: ...


class _Panel:
    """The operator's record and the edges pressed on it."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox
        last = mailbox.read()
        # Counters go on from where an earlier writer left them, so that no edge appears out of nothing.
        self.record = np.zeros(1, OPERATOR_DTYPE) if last is None else last.copy()

    def press(self, button: str) -> None:
        self.record[button] += 1

    def send(self, now_ns: int, enable: bool) -> None:
        self.record["time_ns"] = now_ns
        self.record["enable"] = enable
        self._mailbox.write(self.record)


class SimulatedOperator:
    """An attentive person beside the twin: arms it, resets it after a fault, puts the car back on the course
    when the pilot calls or when it lies on its side, and takes a moment over each.

    ``place`` puts the car upright on the course (the emulator's control channel). ``patience_s``: how long
    a person takes to act [s].
    """

    def __init__(self, mailbox: Mailbox, place: Callable[[], None], patience_s: float = 1.0) -> None:
        self._panel = _Panel(mailbox)
        self._place = place
        self._patience_ns = round(patience_s * 1e9)
        self._situation = (SafetyState.BOOT, False)
        self._since_ns = 0
        self._next_ns = 0
        self._halted = False
        self.assists = 0

    def step(self, now_ns: int, state: Record | None, pilot: Record | None) -> None:
        current = SafetyState.BOOT if state is None else SafetyState(int(state["safety_state"][0]))
        calling = pilot is not None and int(pilot["phase"][0]) == PilotPhase.CALLING
        if (current, calling) != self._situation:
            self._situation = (current, calling)
            self._since_ns = now_ns
            # A robot that calls while it may move has perhaps just been helped and is about to notice.
            slow = calling and current in (SafetyState.ACTIVE, SafetyState.REDUCED)
            self._next_ns = now_ns + self._patience_ns * (3 if slow else 1)
        if now_ns >= self._next_ns and not self._halted:
            # A press that did not take (too early, say) is repeated after as long again.
            self._next_ns = now_ns + self._patience_ns
            self._act(current, calling, state)
        # In STANDBY the permission is first seen released, then given; only then is the arm button pressed.
        off = current in (SafetyState.BOOT, SafetyState.FAULT, SafetyState.ESTOP)
        early = current == SafetyState.STANDBY and now_ns - self._since_ns < self._patience_ns // 2
        self._panel.send(now_ns, not (off or early or self._halted))

    def _act(self, current: SafetyState, calling: bool, state: Record | None) -> None:
        if current == SafetyState.STANDBY:
            self._panel.press("arm")
        elif current == SafetyState.HOLD:
            self._panel.press("resume")
        elif current == SafetyState.FAULT:
            if calling or (state is not None and int(state["cause"][0]) == Cause.LIMIT):
                self._place()
                self.assists += 1
            self._panel.press("reset")
        elif calling and current in (SafetyState.ACTIVE, SafetyState.REDUCED):
            # Stop first: nobody picks up a car under power. In the fault that follows it is placed and reset.
            self._panel.press("stop")

    def halt(self, now_ns: int) -> None:
        self._halted = True
        self._panel.press("stop")
        self._panel.send(now_ns, False)

    def close(self) -> None:
        return


HELD_NS = 300_000_000
"""A key counts as held for this long after its last repeat; terminals repeat about 30 times a second."""


class HeldKeyOperator:
    """A person at this terminal. Space held: motion enabled (let go: the robot stops). A tap enables
    nothing: a key counts as held from its first repeat on. ``r`` resets a fault while space is up, ``s``
    stops, ``x`` is the software emergency stop (the hardware one is the one that counts)."""

    def __init__(self, mailbox: Mailbox, descriptor: int | None = None) -> None:
        self._panel = _Panel(mailbox)
        self._descriptor = sys.stdin.fileno() if descriptor is None else descriptor
        self._saved = termios.tcgetattr(self._descriptor) if os.isatty(self._descriptor) else None
        if self._saved is not None:
            tty.setcbreak(self._descriptor)
        self._last_ns = 0
        self._held_since_ns: int | None = None
        self._armed_this_hold = False
        self._halted = False

    def step(self, now_ns: int, state: Record | None, pilot: Record | None) -> None:
        current = SafetyState.BOOT if state is None else SafetyState(int(state["safety_state"][0]))
        for key in self._keys():
            self._press(key, now_ns)
        if self._held_since_ns is not None and now_ns - self._last_ns > HELD_NS:
            self._held_since_ns = None
        held = self._held_since_ns is not None and not self._halted
        if not held:
            self._armed_this_hold = False
        elif not self._armed_this_hold and now_ns - (self._held_since_ns or now_ns) > HELD_NS:
            # Taking hold is the deliberate act: one edge per hold, never by holding on.
            if current == SafetyState.STANDBY:
                self._panel.press("arm")
                self._armed_this_hold = True
            elif current == SafetyState.HOLD:
                self._panel.press("resume")
                self._armed_this_hold = True
        self._panel.send(now_ns, held)

    def _press(self, key: str, now_ns: int) -> None:
        if key == " ":
            repeated = now_ns - self._last_ns <= HELD_NS
            self._last_ns = now_ns
            if repeated and self._held_since_ns is None:
                self._held_since_ns = now_ns
        elif key == "r" and self._held_since_ns is None:
            self._panel.record["estop"] = 0
            self._panel.press("reset")
        elif key == "s":
            self._panel.press("stop")
        elif key == "x":
            self._panel.record["estop"] = 1

    def _keys(self) -> str:
        if not select.select([self._descriptor], [], [], 0)[0]:
            return ""
        return os.read(self._descriptor, 256).decode(errors="ignore")

    def halt(self, now_ns: int) -> None:
        self._halted = True
        self._panel.press("stop")
        self._panel.send(now_ns, False)

    def close(self) -> None:
        if self._saved is not None:
            termios.tcsetattr(self._descriptor, termios.TCSADRAIN, self._saved)
