"""A pure-pursuit driver for a car: the scripted demonstrator, and the well-tuned baseline to beat.

Coulter 1992 (CMU-RI-TR-92-01): steer on the arc through a point ahead. Speed comes from a profile bounded by
lateral acceleration in bends and by what the car can brake and accelerate between them.
"""

from __future__ import annotations

import math

import numpy as np

from robot.interface import Array
from robot.messages import Actor
from robot.practice.course import Course
from robot.spec import RobotSpec
from robot.teleop.device import TeleopCommand


def speed_profile(
    course: Course, top_speed: float, lateral: float, acceleration: float, braking: float
) -> Array:
    """Fastest speed [m/s] at each entry of the course's table within lateral acceleration, acceleration and
    braking limits [m/s^2], shape (n,). Two passes each way, because the lap closes on itself."""
    _, _, _, curvature = course.table()
    limit = np.minimum(top_speed, np.sqrt(lateral / np.maximum(np.abs(curvature), 1e-6)))
    speed: list[float] = limit.tolist()
    n = len(speed)
    for i in range(2 * n - 1, -1, -1):
        after = speed[(i + 1) % n]
        speed[i % n] = min(speed[i % n], math.sqrt(after**2 + 2.0 * braking * course.step))
    for i in range(2 * n):
        before = speed[i - 1 if i < n else i - n - 1]
        speed[i % n] = min(speed[i % n], math.sqrt(before**2 + 2.0 * acceleration * course.step))
    return np.array(speed)


class PurePursuit:
    """Follows a course. ``speed`` [m/s] is the top speed; the limits [m/s^2] shape the profile below it.

    ``lookahead_time`` [s] times speed plus ``lookahead_metres`` is the distance to the point aimed at;
    ``delay`` [s] is what the sensors and the steering lag behind, made up for by predicting the pose.
    """

    def __init__(
        self,
        spec: RobotSpec,
        course: Course,
        speed: float,
        *,
        lateral: float = 4.0,
        acceleration: float = 3.0,
        braking: float = 3.0,
        lookahead_metres: float = 0.3,
        lookahead_time: float = 0.25,
        delay: float = 0.1,
        source: Actor = Actor.SCRIPT,
    ) -> None:
        self.course = course
        self.profile = speed_profile(course, speed, lateral, acceleration, braking)
        layout = spec.state_layout
        self._x = layout["position_world"].start
        self._heading = layout.index("heading")
        self._speed = layout.index("velocity_body_x")
        self._yaw_rate = layout.index("yaw_rate")
        actuators = spec.actuator_layout
        self._speed_at, self._steering_at = actuators.index("speed"), actuators.index("steering")
        steering = spec.actuators[self._steering_at]
        self._lower, self._upper = steering.lower, steering.upper
        self._rest = np.array([a.rest for a in spec.actuators])
        self._wheelbase, self._rear = spec.scalar("wheelbase"), spec.scalar("rear_axle")
        self._base, self._gain, self._delay = lookahead_metres, lookahead_time, delay
        self._source = source
        self._s: float | None = None
        self._last = (math.inf, math.inf)

    def read(self, now_ns: int, state: Array) -> TeleopCommand:
        """Setpoints from a state vector; always claims the robot."""
        x, y = float(state[self._x]), float(state[self._x + 1])
        heading, speed = float(state[self._heading]), float(state[self._speed])
        if math.hypot(x - self._last[0], y - self._last[1]) > 1.0:
            self._s = None  # first call, or the car was carried elsewhere
        self._last = (x, y)
        turn = float(state[self._yaw_rate]) * self._delay
        travel = speed * self._delay
        x += travel * math.cos(heading + 0.5 * turn)
        y += travel * math.sin(heading + 0.5 * turn)
        heading += turn
        self._s, _ = self.course.project(x, y, self._s)
        ahead = self._base + self._gain * max(speed, 0.0)
        aim_x, aim_y = self.course.point(self._s + ahead)
        rear_x, rear_y = x - self._rear * math.cos(heading), y - self._rear * math.sin(heading)
        dx, dy = aim_x - rear_x, aim_y - rear_y
        left = dy * math.cos(heading) - dx * math.sin(heading)
        steering = math.atan(2.0 * self._wheelbase * left / max(dx * dx + dy * dy, 1e-6))
        setpoint = self._rest.copy()
        setpoint[self._speed_at] = self.profile[int(self._s / self.course.step) % len(self.profile)]
        setpoint[self._steering_at] = min(self._upper, max(self._lower, steering))
        return TeleopCommand(setpoint, now_ns, self._source)


def tuned(
    spec: RobotSpec, course: Course, speed: float = 4.8, rng: np.random.Generator | None = None
) -> PurePursuit:
    """The baseline that a practised policy is measured against, in the form of a demonstrator (it draws
    nothing from ``rng``): the fastest settings of a sweep on the twin that lapped both ``oval`` (4.4 s) and
    ``kidney`` (5.6 s) for 45 s without a failure. One step on in lateral acceleration (10 and 11 m/s^2, at
    1.05 friction) it hits the walls."""
    return PurePursuit(
        spec,
        course,
        speed,
        lateral=9.5,
        acceleration=5.0,
        braking=5.0,
        lookahead_time=0.4,
        lookahead_metres=0.3,
    )
