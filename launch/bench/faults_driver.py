"""A scripted driver that can be made to fail inside the pilot's own process: only a session that names it has
one, and only the fault campaign names it."""

from __future__ import annotations

import ctypes
import resource
import signal
import sys
import types

import numpy as np

from robot.clock import MonotonicClock
from robot.interface import Array
from robot.practice.course import Course
from robot.spec import RobotSpec
from robot.teleop.device import TeleopCommand
from robot.teleop.pure_pursuit import tuned

HANG = signal.SIGUSR1
EXHAUST = signal.SIGUSR2
HANG_S = 2.0
SPARE_BYTES = 32 << 20
MARK = "sabotaged at"


class SabotagedDriver:
    """Drives like the tuned baseline, until SIGUSR1 makes it hold the interpreter's lock for ``HANG_S``
    without a way in for any other thread, or SIGUSR2 makes it ask for memory until there is none."""

    def __init__(self, spec: RobotSpec, course: Course, speed: float, rng: np.random.Generator) -> None:
        self._driver = tuned(spec, course, speed, rng)
        signal.signal(HANG, self._hang)
        signal.signal(EXHAUST, self._exhaust)

    def read(self, now_ns: int, state: Array) -> TeleopCommand:
        """Setpoints from a state vector."""
        return self._driver.read(now_ns, state)

    def _hang(self, number: int, frame: types.FrameType | None) -> None:
        _mark()
        # PyDLL, unlike CDLL, does not let go of the lock while it calls.
        ctypes.PyDLL(None).usleep(round(HANG_S * 1e6))

    def _exhaust(self, number: int, frame: types.FrameType | None) -> None:
        _mark()
        with open("/proc/self/statm") as file:  # noqa: PTH123  (nothing more than needed from here on)
            used = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + SPARE_BYTES, resource.RLIM_INFINITY))
        hoard = []
        while True:
            hoard.append(bytearray(1 << 20))


def _mark() -> None:
    print(f"{MARK} {MonotonicClock().now_ns()}", file=sys.stderr, flush=True)
