"""A simulated person with a hand on the device: takes over when a policy is about to drive into a wall, goes
back to the middle of the course, and lets go. For rehearsals on the twin."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from robot.board import Board
from robot.interface import Array
from robot.messages import Actor, InputKind, SafetyState
from robot.practice.course import Course
from robot.spec import RobotSpec
from robot.teleop.device import Reading
from robot.teleop.pure_pursuit import PurePursuit

FORESIGHT_S: Final = 0.5
"""How far a person looks ahead [s]: their reaction time (0.2 to 0.3 s) and the car's."""
MARGIN_M: Final = 0.05
"""A person takes over before the car would come so near to the wall [m]."""
SLOWEST: Final = 0.5
"""Below this nobody minds [m/s]."""
SPEED: Final = 1.0
"""What they drive back at [m/s]."""
LEAST_S: Final = 1.0
"""Nobody takes over for less [s]."""
STUCK, STUCK_S = 0.1, 1.0
"""Who has been slower than this [m/s] for so long [s] has come too late, and leaves it to the robot, which
backs off by itself."""
MIDDLE_M, ALONG_RAD = 0.25, 0.3
"""Near enough to the middle and along the course to let go."""


class Rescuer:
    """``half_width`` [m]: from the course's line to the wall."""

    kind = InputKind.SCRIPT
    reason = "it is always there"

    def __init__(self, spec: RobotSpec, course: Course, half_width: float, board: Board) -> None:
        self._board, self._course = board, course
        self._driver = PurePursuit(spec, course, SPEED)
        self._room = half_width - spec.scalar("width") / 2 - MARGIN_M
        layout = spec.state_layout
        self._place, self._heading = layout["position_world"], layout.index("heading")
        self._speed = layout.index("velocity_body_x")
        self._rest = np.array([a.rest for a in spec.actuators])
        self._up = np.array([a.upper for a in spec.actuators]) - self._rest
        self._down = self._rest - np.array([a.lower for a in spec.actuators])
        caps = {axis.actuator: axis.cap for axis in spec.teleop.axes}
        self._cap = np.array([caps.get(a.name, 1.0) for a in spec.actuators]) * spec.safety.authority
        self._held_ns: int | None = None
        self._moved_ns = 0
        self._input_ns = 0

    def descriptors(self) -> Sequence[int]:
        return ()

    def read(self, now_ns: int) -> Reading:
        """What they do, from what they see."""
        record, pilot = self._board.state.read(), self._board.pilot.read()
        if record is None or pilot is None or record["safety_state"][0] not in MAY_MOVE:
            self._held_ns = None
            return Reading(np.zeros(len(self._rest)), False, self._input_ns)
        state = record["state"][0]
        if abs(float(state[self._speed])) > STUCK:
            self._moved_ns = now_ns
        if self._held_ns is None:
            if int(pilot["actor"][0]) == Actor.POLICY and self.endangered(state):
                self._held_ns = self._input_ns = now_ns
        elif now_ns - self._moved_ns > STUCK_S * 1e9 or (
            now_ns - self._held_ns > LEAST_S * 1e9 and self._settled(state)
        ):
            self._held_ns = None
        if self._held_ns is None:
            return Reading(np.zeros(len(self._rest)), False, self._input_ns)
        wanted = self._driver.read(now_ns, state).setpoint - self._rest
        axes = np.where(wanted >= 0.0, wanted / self._up, wanted / self._down) / self._cap
        return Reading(np.clip(axes, -1.0, 1.0), True, self._input_ns)

    def close(self) -> None:
        return

    def endangered(self, state: Array) -> bool:
        """Whether the car, going on as it goes, comes too near to a wall within their foresight."""
        lateral, along = self._where(state)
        speed = float(state[self._speed])
        then = lateral + speed * math.sin(along) * FORESIGHT_S
        return speed > SLOWEST and max(abs(lateral), abs(then)) > self._room

    def _settled(self, state: Array) -> bool:
        lateral, along = self._where(state)
        return abs(lateral) < MIDDLE_M and abs(along) < ALONG_RAD

    def _where(self, state: Array) -> tuple[float, float]:
        """Metres to the left of the course, and radians to the left of its direction."""
        x, y = (float(value) for value in state[self._place][:2])
        s, lateral = self._course.project(x, y)
        turned = float(state[self._heading]) - self._course.heading(s)
        return lateral, math.remainder(turned, 2.0 * math.pi)


MAY_MOVE: Final = (int(SafetyState.ACTIVE), int(SafetyState.REDUCED))
