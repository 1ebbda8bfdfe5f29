"""Somebody who steps in before a wall, and lets go in the middle of the course."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from launch.catalogue import find
from robot.board import Board
from robot.messages import PILOT_DTYPE, Actor, SafetyState, state_dtype
from robot.practice.course import load_course
from robot.spec import load_spec
from robot.teleop.rescuer import LEAST_S, MARGIN_M, STUCK_S, Rescuer

SPEC = load_spec(find("robots", "racer"))
COURSE = load_course(find("courses", "oval"))
HALF_WIDTH = 0.75
ROOM = HALF_WIDTH - SPEC.scalar("width") / 2 - MARGIN_M


class Scene:
    """A car at a place beside the course, with a policy that drives it."""

    def __init__(self, folder: Path) -> None:
        from small_session import CONTRACT

        self.board = Board(folder, SPEC, CONTRACT, create=True)
        self.person = Rescuer(SPEC, COURSE, HALF_WIDTH, self.board)
        self.now_ns = 10**9

    def look(self, lateral: float, along: float, speed: float, actor: Actor = Actor.POLICY) -> bool:
        """``lateral`` [m] and ``along`` [rad] to the left of the course; whether they have hold."""
        self.now_ns += 100_000_000
        s = 1.0
        x, y = COURSE.point(s)
        heading = COURSE.heading(s)
        layout = SPEC.state_layout
        record, pilot = np.zeros(1, state_dtype(SPEC)), np.zeros(1, PILOT_DTYPE)
        record["safety_state"], pilot["actor"] = SafetyState.ACTIVE, actor
        place = (x - lateral * math.sin(heading), y + lateral * math.cos(heading))
        record["state"][0, layout["position_world"]] = place
        record["state"][0, layout.index("heading")] = heading + along
        record["state"][0, layout.index("velocity_body_x")] = speed
        self.board.state.write(record)
        self.board.pilot.write(pilot)
        reading = self.person.read(self.now_ns)
        self.axes = reading.axes
        return reading.held


@pytest.mark.parametrize(
    ("lateral", "along", "speed", "steps_in"),
    [
        (0.0, 0.0, 3.0, False),
        (ROOM - 0.02, 0.0, 2.0, False),
        (ROOM + 0.02, 0.0, 2.0, True),
        (-ROOM - 0.02, 0.0, 2.0, True),
        (0.0, 0.6, 2.0, True),
        (0.0, 0.6, 0.4, False),
        (0.3, -0.2, 2.0, False),
    ],
)
def test_they_step_in_when_the_car_would_come_too_near(
    tmp_path: Path, lateral: float, along: float, speed: float, steps_in: bool
) -> None:
    assert Scene(tmp_path).look(lateral, along, speed) is steps_in


def test_they_hold_on_until_it_is_back_in_the_middle_and_steer_there(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    steering = SPEC.actuator_layout.index("steering")
    assert scene.look(0.0, 0.7, 2.0) and scene.axes[steering] < -0.2, "to the right"
    for _ in range(round(LEAST_S * 10)):
        assert scene.look(0.0, 0.0, 1.0, Actor.SCRIPT)
    assert scene.look(0.4, 0.0, 1.0, Actor.SCRIPT), "not in the middle yet"
    assert not scene.look(0.1, 0.1, 1.0, Actor.SCRIPT)
    assert not scene.look(0.0, 0.7, 2.0, Actor.RECOVERY), "what recovers by itself is left to it"


def test_stuck_at_a_wall_they_leave_it_to_the_robot(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    assert scene.look(ROOM + 0.02, 0.3, 2.0)
    held = [scene.look(ROOM + 0.05, 0.3, 0.01, Actor.SCRIPT) for _ in range(round(STUCK_S * 10) + 2)]
    assert all(held[: round(STUCK_S * 10)]) and not held[-1]
    assert not scene.look(ROOM + 0.05, 0.3, 0.01), "nor do they push again"
