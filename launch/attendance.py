"""A person who attends: motion is enabled for a while after each key press, and never of its own accord.

Also the person beside a robot that a radio transmitter enables: the same keys, without the lease.
"""

from __future__ import annotations

from collections.abc import Callable

from launch.operator import StartLine, claimed
from launch.operator_panel import Panel
from robot.messages import SafetyState
from robot.shared_memory import Mailbox, Record
from robot.teleop.terminal import Terminal

ENDED = frozenset(
    {SafetyState.BOOT, SafetyState.STOP1, SafetyState.STOP0, SafetyState.FAULT, SafetyState.ESTOP}
)
"""States in which a lease ends: what stopped the robot wants somebody to look, and a permission is not kept
for a robot that somebody may be handling."""
WARNING_NS = 10_000_000_000
"""How long before the end of a lease it is said [ns], or a third of the lease if that is shorter."""
REPEAT_NS = 2_000_000_000

Warn = Callable[[int, str], None]


class AttendingOperator:
    """Space: I am here (the lease starts anew; without a lease: nothing). ``g``: go (arm, or resume). ``r``
    resets a fault, ``s`` stops, ``x`` is the software emergency stop, ``p`` says that the robot has been put
    on its start line. A key that is stuck counts once, so it renews nothing.

    ``lease_s``: how long a press lasts [s]; None where motion is enabled by something else. ``warn(time_ns,
    text)`` is told before a lease ends, and when it has. Raises SandlotError if somebody else holds this
    session's permission.
    """

    def __init__(
        self,
        mailbox: Mailbox,
        terminal: Terminal,
        lease_s: float | None,
        warn: Warn,
        start: StartLine | None = None,
    ) -> None:
        self._claim = claimed(mailbox)
        self.panel = Panel(mailbox)
        self._terminal = terminal
        self._lease_ns = None if lease_s is None else round(lease_s * 1e9)
        self._warn = warn
        self._start = start
        self._pressed_ns: int | None = None
        self._warned_ns = 0
        self._halted = False

    def step(self, now_ns: int, state: Record | None, pilot: Record | None) -> None:
        current = SafetyState.BOOT if state is None else SafetyState(int(state["safety_state"][0]))
        if current in ENDED:
            self._pressed_ns = None
        for key in self._terminal.read(now_ns):
            self._press(key.name, key.new, now_ns, current)
        if self._start is not None:
            self._start.step(state)
        self.panel.send(now_ns, self._leased(now_ns), state)

    def _press(self, key: str, new: bool, now_ns: int, current: SafetyState) -> None:
        if key == "x":
            self.panel.record["estop"] = 1
        elif key == "s":
            self.panel.press("stop")
        elif not new:
            return
        elif key == " " and self._lease_ns is not None and current not in ENDED:
            self._pressed_ns = now_ns
            self.panel.record["pressed_ns"] = now_ns
        elif key == "g" and current in (SafetyState.STANDBY, SafetyState.HOLD):
            self.panel.press("arm" if current == SafetyState.STANDBY else "resume")
        elif key == "r":
            self.panel.record["estop"] = 0
            self.panel.press("reset")
        elif key == "p" and self._start is not None:
            self._start.put(now_ns)

    def _leased(self, now_ns: int) -> bool:
        if self._lease_ns is None or self._pressed_ns is None or self._halted:
            return False
        left_ns = self._pressed_ns + self._lease_ns - now_ns
        if left_ns <= 0:
            self._pressed_ns = None
            self._warn(now_ns, "nobody has pressed space: motion has ended")
            return False
        if left_ns <= min(WARNING_NS, self._lease_ns // 3) and now_ns - self._warned_ns >= REPEAT_NS:
            self._warned_ns = now_ns
            self._warn(now_ns, f"press space: motion ends in {left_ns * 1e-9:.0f} s")
        return True

    def halt(self, now_ns: int) -> None:
        self._halted = True
        self.panel.press("stop")
        self.panel.send(now_ns, False)

    def close(self) -> None:
        self._terminal.close()
        self._claim.close()
