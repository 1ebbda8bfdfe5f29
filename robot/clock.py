"""Time is injected. Monotonic nanoseconds, absolute deadlines."""

from __future__ import annotations

import ctypes
import ctypes.util
import errno
import os
import time
from typing import Protocol

from robot.errors import SandlotError

TIMER_ABSTIME = 1


class Clock(Protocol):
    """What every loop asks for the time and waits on."""

    def now_ns(self) -> int:
        """Monotonic time [ns]."""

    def sleep_until(self, deadline_ns: int) -> None:
        """Return at or after an absolute time [ns]; at once if it has passed."""


class _Timespec(ctypes.Structure):
    _fields_ = [("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long)]


class MonotonicClock:
    """CLOCK_BOOTTIME with absolute sleeps (``clock_nanosleep(2)``), so that lateness does not accumulate.

    Unlike CLOCK_MONOTONIC it goes on while the computer is suspended: a guardian that wakes sees how long the
    robot was without one, instead of taking up where it left off.
    """

    def __init__(self) -> None:
        libc = ctypes.CDLL(ctypes.util.find_library("c") or "libc.so.6", use_errno=True)
        self._clock_nanosleep = libc.clock_nanosleep

    def now_ns(self) -> int:
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME)

    def sleep_until(self, deadline_ns: int) -> None:
        # Of this call alone: several threads may wait on one clock, as a camera's and its supervisor's do.
        until = ctypes.byref(_Timespec(*divmod(deadline_ns, 1_000_000_000)))
        while True:
            error = self._clock_nanosleep(time.CLOCK_BOOTTIME, TIMER_ABSTIME, until, None)
            if error == 0:
                return
            if error != errno.EINTR:
                raise SandlotError(f"clock_nanosleep failed: {os.strerror(error)}")


class SimulatedClock:
    """Time that moves only when somebody waits: runs are as fast as the machine and bit-reproducible."""

    def __init__(self, start_ns: int = 0) -> None:
        self._now_ns = start_ns

    def now_ns(self) -> int:
        return self._now_ns

    def sleep_until(self, deadline_ns: int) -> None:
        self._now_ns = max(self._now_ns, deadline_ns)


class Ticker:
    """Absolute deadlines of a fixed-rate loop. After an overrun it skips the missed ticks and counts them;
    it never bursts to catch up."""

    def __init__(self, clock: Clock, rate_hz: float) -> None:
        self.period_ns = round(1e9 / rate_hz)
        self.due_ns = clock.now_ns() + self.period_ns
        self.skipped = 0
        self._clock = clock

    def wait(self) -> int:
        """Sleep to the next deadline that is not already past; return how many were skipped."""
        behind = self._clock.now_ns() - self.due_ns
        skip = max(0, behind // self.period_ns)
        self.due_ns += skip * self.period_ns
        self.skipped += skip
        self._clock.sleep_until(self.due_ns)
        return skip

    def advance(self) -> None:
        """Set the next deadline one period on; call once the tick's work is done."""
        self.due_ns += self.period_ns
