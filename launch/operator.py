"""Who enables motion: a person at the keyboard, or, on the twin only, somebody who is simulated.

An operator writes one record at least every ``enable.timeout_s``: if this process stalls or dies, the
permission lapses and the guardian stops the robot.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO, Protocol

import numpy as np

from launch.operator_panel import Panel
from robot.claim import ClaimedError
from robot.errors import SandlotError
from robot.messages import POSE_DTYPE, Cause, PilotPhase, SafetyState
from robot.shared_memory import Mailbox, Record
from robot.teleop.terminal import Terminal

STOPPED = (SafetyState.BOOT, SafetyState.STANDBY, SafetyState.FAULT, SafetyState.ESTOP)
"""States in which the drive has no torque: the robot stands, or nothing more can be done for it."""


class Operator(Protocol):
    """Called about 20 times a second with the newest state and pilot records (None: none yet)."""

    @property
    def panel(self) -> Panel:
        """What it presses."""

    def step(self, now_ns: int, state: Record | None, pilot: Record | None) -> None: ...

    def halt(self, now_ns: int) -> None:
        """Withdraw the permission and ask for a stop; from now on nothing is ever enabled again."""

    def close(self) -> None: ...


POSE_SIGMA = (0.1, 0.1, 0.15)
"""How well a robot is put down on its start line by hand: x, y [m], yaw [rad]."""
POSE_NS = 2_000_000_000
"""How long after putting it down that pose is told [ns]: an estimator that knew otherwise takes a while."""
LOST_NS = 5_000_000_000
"""A robot that has not known where it is for so long is put back on its start line [ns]."""


class StartLine:
    """Where a robot is put down, told to its estimator through the pose mailbox as any feeder would.
    ``place``: what puts it there, where nobody's hands can."""

    def __init__(
        self, mailbox: Mailbox, pose: tuple[float, float, float], place: Callable[[], None] = lambda: None
    ) -> None:
        self._mailbox = mailbox
        self._place = place
        self._record = np.zeros(1, POSE_DTYPE)
        self._record["pose"] = pose
        self._record["covariance"] = np.square(POSE_SIGMA)
        self._until_ns = 0

    def put(self, now_ns: int) -> None:
        """The robot has just been put there, or is now."""
        self._place()
        self._until_ns = now_ns + POSE_NS

    def step(self, state: Record | None) -> None:
        """Tell the pose while it holds; as of the newest state, so that it is never in the future."""
        if state is not None and int(state["time_ns"][0]) < self._until_ns:
            self._record["time_ns"] = state["time_ns"]
            self._mailbox.write(self._record)


class SimulatedOperator:
    """An attentive person beside the twin: arms it, resets it after a fault, puts it back when the pilot
    calls, when it lies on its side or when it does not know where it is, and takes a moment over each.

    ``place`` puts the robot upright where ``start`` says (None: wherever ``place`` does; nothing is told to
    the estimator). ``patience_s``: how long a person takes to act [s].
    """

    def __init__(
        self,
        mailbox: Mailbox,
        place: Callable[[], None],
        patience_s: float = 1.0,
        start: StartLine | None = None,
    ) -> None:
        self.panel = Panel(mailbox)
        self._place = place
        self._start = start
        self._patience_ns = round(patience_s * 1e9)
        self._situation = (SafetyState.BOOT, False)
        self._since_ns = 0
        self._next_ns = 0
        self._knew_ns: int | None = None
        self._halted = False
        self.assists = 0

    def step(self, now_ns: int, state: Record | None, pilot: Record | None) -> None:
        current = SafetyState.BOOT if state is None else SafetyState(int(state["safety_state"][0]))
        helpless = pilot is not None and int(pilot["phase"][0]) == PilotPhase.CALLING
        if state is not None and (bool(state["converged"][0]) or self._knew_ns is None):
            self._knew_ns = now_ns
        helpless = helpless or (self._knew_ns is not None and now_ns - self._knew_ns > LOST_NS)
        if (current, helpless) != self._situation:
            self._situation = (current, helpless)
            self._since_ns = now_ns
            # A robot that calls while it may move has perhaps just been helped and is about to notice.
            slow = helpless and current in (SafetyState.ACTIVE, SafetyState.REDUCED)
            self._next_ns = now_ns + self._patience_ns * (3 if slow else 1)
        if now_ns >= self._next_ns and not self._halted:
            # A press that did not take (too early, say) is repeated after as long again.
            self._next_ns = now_ns + self._patience_ns
            self._act(now_ns, current, helpless, state)
        # In STANDBY the permission is first seen released, then given; only then is the arm button pressed.
        off = current in (SafetyState.BOOT, SafetyState.FAULT, SafetyState.ESTOP)
        early = current == SafetyState.STANDBY and now_ns - self._since_ns < self._patience_ns // 2
        if self._start is not None:
            self._start.step(state)
        self.panel.send(now_ns, not (off or early or self._halted), state)

    def _act(self, now_ns: int, current: SafetyState, helpless: bool, state: Record | None) -> None:
        if current == SafetyState.STANDBY:
            if helpless:
                self._help(now_ns)
            self.panel.press("arm")
        elif current == SafetyState.FAULT:
            if helpless or (state is not None and int(state["cause"][0]) == Cause.LIMIT):
                self._help(now_ns)
            self.panel.press("reset")
        elif helpless and current in (SafetyState.ACTIVE, SafetyState.REDUCED, SafetyState.HOLD):
            # Stop first: nobody picks up a robot under power. In the fault that follows it is placed.
            self.panel.press("stop")
        elif current == SafetyState.HOLD:
            self.panel.press("resume")

    def _help(self, now_ns: int) -> None:
        self._place()
        self.assists += 1
        if self._start is not None:
            self._start.put(now_ns)
            self._knew_ns = now_ns

    def halt(self, now_ns: int) -> None:
        self._halted = True
        self.panel.press("stop")
        self.panel.send(now_ns, False)

    def close(self) -> None:
        return


HELD_NS = 300_000_000
"""A key counts as held for this long after its last repeat; terminals repeat about 30 times a second."""


def claimed(mailbox: Mailbox) -> BinaryIO:
    """The claim on a session's permission. Raises SandlotError if somebody else has it."""
    try:
        return mailbox.claim()
    except ClaimedError:
        # Two writers would show the guardian each other's presses again and again.
        raise SandlotError("somebody already enables motion in this session; only one may") from None


class Hold:
    """What taking hold of the robot presses, once for each hold and after it has lasted a moment: it is the
    deliberate act, and never holding on."""

    def __init__(self) -> None:
        self._since_ns: int | None = None
        self._said_go = False

    def step(self, held: bool, now_ns: int, current: SafetyState, panel: Panel) -> None:
        """Arm a robot in STANDBY, resume one in HOLD."""
        if not held:
            self._since_ns, self._said_go = None, False
            return
        if self._since_ns is None:
            self._since_ns = now_ns
        button = {SafetyState.STANDBY: "arm", SafetyState.HOLD: "resume"}.get(current)
        if button is not None and not self._said_go and now_ns - self._since_ns > HELD_NS:
            panel.press(button)
            self._said_go = True


class HeldKeyOperator:
    """A person at this terminal. Space held: motion enabled (let go: the robot stops). A tap enables nothing:
    a key counts as held from its first repeat on. ``r`` resets a fault while space is up, ``s`` stops, ``x``
    is the software emergency stop (the hardware one is the one that counts), ``p`` says that the robot has
    been put on its start line. Raises SandlotError if somebody else holds this session's permission."""

    def __init__(
        self, mailbox: Mailbox, descriptor: int | None = None, start: StartLine | None = None
    ) -> None:
        self._claim = claimed(mailbox)
        self.panel = Panel(mailbox)
        self._start = start
        self._terminal = Terminal(descriptor)
        self._last_ns = 0
        self._hold = Hold()
        self._held = self._halted = False

    def step(self, now_ns: int, state: Record | None, pilot: Record | None) -> None:
        current = SafetyState.BOOT if state is None else SafetyState(int(state["safety_state"][0]))
        for key in self._terminal.read(now_ns):
            self._press(key.name, key.new, now_ns)
        self._held = self._held and now_ns - self._last_ns <= HELD_NS
        held = self._held and not self._halted
        self._hold.step(held, now_ns, current, self.panel)
        if self._start is not None:
            self._start.step(state)
        self.panel.send(now_ns, held, state)

    def _press(self, key: str, new: bool, now_ns: int) -> None:
        if key == " ":
            repeated = now_ns - self._last_ns <= HELD_NS
            self._last_ns = now_ns
            self._held = self._held or repeated
        elif key == "r" and new and not self._held:
            # Only a new press: a key that is stuck must not undo an emergency stop as soon as it is pressed.
            self.panel.record["estop"] = 0
            self.panel.press("reset")
        elif key == "p" and self._start is not None:
            self._start.put(now_ns)
        elif key == "s":
            self.panel.press("stop")
        elif key == "x":
            self.panel.record["estop"] = 1

    def halt(self, now_ns: int) -> None:
        self._halted = True
        self.panel.press("stop")
        self.panel.send(now_ns, False)

    def close(self) -> None:
        self._terminal.close()
        self._claim.close()


class AbsentOperator:
    """Nobody here enables anything: somebody attends from another terminal (``sandlot operator``). All this
    one does is stop the robot at the end."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox

    @property
    def panel(self) -> Panel:
        """As whoever attends has left it."""
        return Panel(self._mailbox)

    def step(self, now_ns: int, state: Record | None, pilot: Record | None) -> None:
        return

    def halt(self, now_ns: int) -> None:
        panel = self.panel
        panel.press("stop")
        panel.send(now_ns, False)

    def close(self) -> None:
        return
