"""Does this controller's own timeout really stop the motor? Asked of the controller itself, at every arming.

A current too small to move the robot is commanded for a while, then nothing at all, while the telemetry is
still read: the firmware resets its timeout on COMM_SET_* of the motor and on COMM_ALIVE, not on a question
and not on COMM_SET_SERVO_POS (comm/commands.c and timeout.c of the VESC firmware 6). The current must flow,
and in the silence it must end by itself in time. Whatever keeps the timeout from expiring (a longer setting,
none at all, a receiver on the servo input, whose every pulse resets it in app_ppm.c) is seen. What is not
proved is the braking current that the timeout then applies: a motor at rest takes none.
"""

from __future__ import annotations

import math
from typing import Literal

PUSH_NS = 150_000_000
SETTLE_NS = 40_000_000
"""After the first command until its current is looked at [ns]: a mean over time before it is then out."""
SLACK_NS = 30_000_000
"""Past the timeout until the current must be gone [ns]: the firmware looks every 10 ms (timeout.c), reports
the mean since it was last asked, which was a tick ago, and its clock is not ours."""
SAMPLES = 10
"""How many samples a mean is taken of: 0.3 A of noise becomes 0.1 A, a quarter of what is to be seen. So a
timeout that is half of that many ticks too long passes: what is told apart is 0.1 s from 0.2 s and more."""
PATIENCE_NS = 60_000_000
"""How long past its due time the last of those samples may be [ns]."""

Phase = Literal["idle", "pushing", "silent", "passed", "failed"]


def duration_s(timeout_s: float) -> float:
    """The longest that a proof takes [s], at 100 samples a second."""
    return (PUSH_NS + SLACK_NS + SAMPLES * 10_000_000 + PATIENCE_NS) * 1e-9 + timeout_s


class TimeoutProof:
    """``current``: what is pushed [A]; ``timeout_s``: what the controller is to be set to [s].

    Every tick: ``sample`` for each current that came back, then ``step``; while ``pushing`` the caller sends
    the current and calls ``pushed``; in every other phase it sends no motor command while ``silent``.
    """

    def __init__(self, current: float, timeout_s: float) -> None:
        self.current = current
        self._timeout_ns = round(timeout_s * 1e9)
        self.phase: Phase = "idle"
        self.reason = ""
        """What was found wrong, or what was measured."""
        self.measured_s = math.nan
        """From the last command until the current was gone [s]; about a tick coarse."""
        self._began_ns = self._last_ns = 0
        self._flowing: list[float] = []
        self._silence: list[tuple[int, float]] = []
        self._gone: list[float] = []

    def begin(self, now_ns: int) -> None:
        """Start anew."""
        self.phase, self.reason, self.measured_s = "pushing", "", math.nan
        self._began_ns = self._last_ns = now_ns
        self._flowing.clear()
        self._silence.clear()
        self._gone.clear()

    def pushed(self, arrived_ns: int) -> None:
        """A command with the current reached the controller [ns]."""
        self._last_ns = arrived_ns

    def sample(self, time_ns: int, amperes: float) -> None:
        """A motor current [A], taken by the controller at ``time_ns``."""
        if self.phase == "pushing" and time_ns - self._began_ns >= SETTLE_NS:
            self._flowing.append(amperes)
        elif self.phase == "silent" and time_ns > self._last_ns:
            self._silence.append((time_ns, amperes))
            if time_ns - self._last_ns >= self._timeout_ns + SLACK_NS:
                self._gone.append(amperes)

    def step(self, now_ns: int) -> None:
        """Judge what has come back so far."""
        if self.phase == "pushing" and now_ns - self._began_ns >= PUSH_NS:
            flowed = _mean(self._flowing)
            if len(self._flowing) < SAMPLES // 2:
                self._fail(f"{len(self._flowing)} current samples in {PUSH_NS * 1e-9:g} s; is the line bad?")
            elif not flowed > self.current / 2:
                self._fail(
                    f"asked for {self.current:g} A, {flowed:.2f} A flowed; is the emergency stop open? "
                    "A controller in BLDC mode reports none: it must run FOC"
                )
            else:
                self.phase = "silent"
        elif self.phase == "silent":
            if len(self._gone) >= SAMPLES:
                self._judge()
            elif now_ns - self._last_ns > self._timeout_ns + SLACK_NS + SAMPLES * 10_000_000 + PATIENCE_NS:
                self._fail(f"{len(self._gone)} current samples after the timeout, {SAMPLES} are needed")

    def _judge(self) -> None:
        left, after_ns = _mean(self._gone), self._fell_ns() - self._last_ns
        setting = f"{self._timeout_ns * 1e-6:.0f} ms"
        if not left < self.current / 2:
            self._fail(
                f"{left:.2f} A still flow {(self._timeout_ns + SLACK_NS) * 1e-6:.0f} ms after the last "
                f"command: the drive's own timeout is off, longer than {setting}, or something keeps it alive"
            )
        else:
            self.phase, self.measured_s = "passed", after_ns * 1e-9
            self.reason = f"the drive stopped by itself {after_ns * 1e-6:.0f} ms after the last command"

    def _fell_ns(self) -> int:
        """When the current ended: the step between two levels that fits the silence best (least squares)."""
        times = [self._last_ns, *(time for time, _ in self._silence)]
        deviations = [amperes - self.current / 2 for _, amperes in self._silence]
        best, total, at = 0.0, 0.0, 0
        for k, deviation in enumerate(deviations):
            total += deviation
            if total > best:
                best, at = total, k + 1
        return times[at]

    def _fail(self, reason: str) -> None:
        self.phase, self.reason = "failed", reason


def _mean(values: list[float]) -> float:
    """NaN for none, and if one is not finite: it then compares as neither more nor less than anything."""
    mean = sum(values) / len(values) if values else math.nan
    return mean if math.isfinite(mean) else math.nan
