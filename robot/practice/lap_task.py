"""Lapping a course: what the policy sees, what it is paid for, and when a lap is done.

Everything comes from state vectors and actions, so that rewards and observations can be recomputed offline.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from robot.contract import PREVIOUS_ACTION, ObservationTerm
from robot.gravity import STANDARD_GRAVITY
from robot.layout import Struct
from robot.plain_data import decode_struct
from robot.practice.course import Course
from robot.spec import RobotSpec
from robot.task import Array, Outcome, Success

PREVIEW_METRES = (0.4, 0.8, 1.3, 1.9, 2.7, 3.6, 4.7, 6.0)
"""Where ahead along the course [m] the policy sees it: dense where it must steer now, out to the braking
distance from top speed (4.8 m/s at 3 m/s^2: 3.8 m) and what follows it."""

LARGEST_FORCE = 20.0
"""Specific force is shown to the policy up to here [m/s^2], twice the tyres' grip; beyond are collisions."""


RECOVERED_SLACK = 0.1
"""How far outside the corridor [m] a recovered robot may be: it still has room to the wall, and wants to go
on."""


class LapOptions(Struct):
    """The ``options`` of a course file. Weights are of the reward's terms; ``top_speed`` [m/s] earns a
    progress of 1 per step; ``wrong_way_metres``: so far back from the furthest point is a failure;
    ``line_metres``: an episode that starts at most so far past the line starts its first lap there.

    ``corridor_metres``: how far from the line the robot's centre may be at no cost (0: anywhere). A policy
    that is paid for progress alone drives as close to a wall as its position is known, and hits it whenever
    that knowledge drifts. ``turning_radius`` [m] at full lock, with some slack.

    ``success_laps`` within ``success_seconds`` make an episode a success. Two laps: every stretch at speed,
    whatever the start; 45 s are a mean of 0.9 m/s on the oval and 1.1 m/s on the kidney, a little slower than
    the first demonstration (1.3 m/s), so that who survives by crawling does not pass."""

    failure_weight: float = -15.0
    smoothness_weight: float = -0.05
    corridor_weight: float = -10.0
    corridor_metres: float = 0.0
    turning_radius: float = 1.3
    top_speed: float = 5.0
    wrong_way_metres: float = 2.0
    line_metres: float = 0.5
    success_laps: float = 2.0
    success_seconds: float = 45.0


@dataclass
class _Place:
    """A position [m] on the course: arc length, lateral offset, arc length unwrapped since the reset [m]."""

    x: float
    y: float
    s: float
    lateral: float
    total: float


class LapTask:
    """Implements ``robot.task.Task`` for a robot whose state has position, heading, velocity and impact."""

    name: str = "lap"
    reward_terms: tuple[str, ...] = ("progress", "failure", "smoothness", "corridor")
    cost_terms: tuple[str, ...] = ("impact",)

    def __init__(self, spec: RobotSpec, course: Course) -> None:
        self.course = course
        self.options: LapOptions = decode_struct(
            msgspec.to_builtins(course.file.options), LapOptions, f"course {course.name}: options"
        )
        self.success = Success(self.options.success_laps, self.options.success_seconds)
        self.cycle_length = course.length
        """One lap [m]."""
        layout = spec.state_layout
        position = layout["position_world"]
        self._x, self._y = position.start, position.start + 1
        self._heading = layout.index("heading")
        velocity = layout["velocity_body"]
        self._velocity = slice(velocity.start, velocity.start + 2)
        self._yaw_rate = layout.index("yaw_rate")
        force = layout["specific_force"]
        self._force = slice(force.start, force.start + 2)
        self._impact = layout.index("impact")
        names = tuple(a.name for a in spec.actions)
        self.observation: tuple[ObservationTerm, ...] = (
            ObservationTerm(name="velocity_body", unit="m/s", scale=2.0, elements=("x", "y")),
            ObservationTerm(name="yaw_rate", unit="rad/s", scale=2.0),
            ObservationTerm(name="specific_force", unit="m/s^2", scale=5.0, elements=("x", "y")),
            ObservationTerm(name=PREVIOUS_ACTION, unit="1", scale=1.0, elements=names),
            ObservationTerm(name="lateral_offset", unit="m", scale=0.5),
            ObservationTerm(name="course_heading", unit="1", scale=1.0, elements=("sin", "cos")),
            ObservationTerm(
                name="preview",
                unit="m",
                scale=3.0,
                elements=tuple(f"{k}_{axis}" for k in range(len(PREVIEW_METRES)) for axis in "xy"),
            ),
        )
        self.reward_weights: Array = np.array(
            [
                1.0,
                self.options.failure_weight,
                self.options.smoothness_weight,
                self.options.corridor_weight,
            ]
        )
        self._corridor = self.options.corridor_metres or math.inf
        self._per_metre = spec.rates.policy_hz / self.options.top_speed
        self._here: _Place | None = None
        self._before: _Place | None = None
        self._origin = self._furthest = 0.0
        self._previous_action: Array | None = None

    def reset(self, state: Array) -> None:
        """Start an episode from here. A lap is counted from the line to the line."""
        x, y = float(state[self._x]), float(state[self._y])
        s, lateral = self.course.project(x, y)
        self._here, self._before = _Place(x, y, s, lateral, s), None
        self._origin = s if s <= self.options.line_metres else self.course.length
        self._furthest = s
        self._previous_action = None

    def _locate(self, state: Array) -> _Place:
        x, y = float(state[self._x]), float(state[self._y])
        here = self._here
        if here is None:
            self.reset(state)
            return self._locate(state)
        if here.x == x and here.y == y:
            return here
        if self._before is not None and self._before.x == x and self._before.y == y:
            return self._before
        s, lateral = self.course.project(x, y, here.s)
        self._before = here
        self._here = _Place(x, y, s, lateral, here.total + self.course.advance(here.s, s))
        return self._here

    def observe(self, state: Array, previous_action: Array) -> NDArray[np.float32]:
        """The observation in physical units; the caller owns the array."""
        place = self._locate(state)
        self._previous_action = np.array(previous_action, np.float64)
        heading = float(state[self._heading])
        turned = heading - self.course.heading(place.s)
        velocity_x, velocity_y = state[self._velocity].tolist()
        force_x, force_y = state[self._force].tolist()
        seen = [
            velocity_x,
            velocity_y,
            float(state[self._yaw_rate]),
            min(LARGEST_FORCE, max(-LARGEST_FORCE, force_x)),
            min(LARGEST_FORCE, max(-LARGEST_FORCE, force_y)),
            *self._previous_action.tolist(),
            place.lateral,
            math.sin(turned),
            math.cos(turned),
            *self.course.preview(place.s, PREVIEW_METRES, place.x, place.y, heading),
        ]
        return np.array(seen, np.float32)

    def outcome(self, state: Array, action: Array, next_state: Array, failed: bool) -> Outcome:
        """Reward terms: ``progress`` along the course (1 is ``top_speed``), ``failure`` (1 on failure),
        ``smoothness`` (squared change of action), ``corridor`` (how far outside it [m]). Cost: ``impact``
        [g], the largest of the last 0.1 s.

        A step is judged on arc length and position only, so asking twice gives the same answer.
        """
        before, after = self._locate(state), self._locate(next_state)
        self._furthest = max(self._furthest, after.total)
        previous = action if self._previous_action is None else self._previous_action
        change = sum((a - b) ** 2 for a, b in zip(action.tolist(), previous.tolist(), strict=True))
        outside = max(0.0, abs(after.lateral) - self._corridor)
        terms = np.array([(after.total - before.total) * self._per_metre, float(failed), change, outside])
        progress = (after.total - self._origin) / self.course.length
        back = self._furthest - after.total
        return Outcome(
            reward_terms=terms,
            cost_terms=np.array([float(next_state[self._impact]) / STANDARD_GRAVITY]),
            cycles=max(0, math.floor((self._furthest - self._origin) / self.course.length)),
            progress=progress,
            trouble="wrong_way" if back > self.options.wrong_way_metres else "",
        )

    def oriented(self, state: Array) -> bool:
        """Whether driving forward leads on: the robot faces along the course, and turning into its direction
        at full lock stays inside the corridor (where there is one)."""
        s, lateral = self.course.project(float(state[self._x]), float(state[self._y]))
        turned = math.remainder(float(state[self._heading]) - self.course.heading(s), 2 * math.pi)
        aside = self.options.turning_radius * (1.0 - math.cos(turned))
        room = self._corridor + RECOVERED_SLACK
        return math.cos(turned) > 0.2 and abs(lateral + math.copysign(aside, turned)) <= room

    def recovery_signs(self, state: Array, command: Mapping[str, float]) -> dict[str, float]:
        """Which way to steer while recovering so that the robot turns towards the course's direction, and
        towards its middle when it already faces along."""
        s, lateral = self.course.project(float(state[self._x]), float(state[self._y]))
        turned = math.remainder(float(state[self._heading]) - self.course.heading(s), 2 * math.pi)
        wanted = -turned if abs(turned) > 0.3 else -lateral
        speed = command.get("speed", 0.0)
        if "steering" not in command or speed == 0.0 or wanted == 0.0:
            return {}
        return {"steering": math.copysign(1.0, wanted) * math.copysign(1.0, speed)}
