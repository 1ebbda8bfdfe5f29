"""The scripted demonstrator: a slow driver with a hand as unsteady as a person's.

A perfect script shows a learner one action per place, so nothing tells it what any other action leads to. A
person's corrections do, and prior data without them teaches much less.
"""

from __future__ import annotations

import math

import numpy as np

from robot.interface import Array
from robot.practice.course import Course
from robot.spec import RobotSpec
from robot.teleop.device import TeleopCommand
from robot.teleop.pure_pursuit import PurePursuit

CORRECTION_S = 0.22
"""How long a deviation of the hand lasts before it is corrected: a person's reaction time [s]."""
SPEED_SIGMA = 0.44
"""Standard deviation of the thumb [m/s]."""
STEERING_SIGMA = 0.053
"""Standard deviation of the wheel hand [rad], a fifth of the racer's lock."""
SLOWEST = 0.45
"""A demonstration keeps moving [m/s]."""


class Demonstrator:
    """Pure pursuit at up to ``speed`` [m/s], with Ornstein-Uhlenbeck noise on both hands."""

    def __init__(self, spec: RobotSpec, course: Course, speed: float, rng: np.random.Generator) -> None:
        self._driver = PurePursuit(spec, course, speed)
        self._rng = rng
        names = spec.actuator_layout.names
        self._sigma = np.array(
            [{"speed": SPEED_SIGMA, "steering": STEERING_SIGMA}.get(n, 0.0) for n in names]
        )
        self._lower = np.array([a.lower for a in spec.actuators])
        self._lower[names.index("speed")] = min(SLOWEST, speed)
        self._upper = np.array([a.upper for a in spec.actuators])
        self._deviation = np.zeros(len(names))
        self._time_ns: int | None = None

    def read(self, now_ns: int, state: Array) -> TeleopCommand:
        """Setpoints from a state vector; always claims the robot."""
        elapsed_s = 1e9 if self._time_ns is None else (now_ns - self._time_ns) * 1e-9
        self._time_ns = now_ns
        kept = math.exp(-elapsed_s / CORRECTION_S)
        fresh = math.sqrt(1.0 - kept * kept) * self._sigma
        self._deviation = kept * self._deviation + fresh * self._rng.standard_normal(len(fresh))
        command = self._driver.read(now_ns, state)
        setpoint = np.clip(command.setpoint + self._deviation, self._lower, self._upper)
        return TeleopCommand(setpoint, command.time_ns, command.source)
