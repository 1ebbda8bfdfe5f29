"""What a validation's verdict holds for beside contract and calibration: the robot's settings, the course and
the room, as plain data that can be compared."""

from __future__ import annotations

from typing import Any

import msgspec

from launch import catalogue
from robot.plain_data import without
from robot.practice.course import Course, load_course
from robot.spec import RobotSpec
from robot.validation_report import ValidationReport
from sim.world import World, load_world


def conditions(spec: RobotSpec, course: Course | None, world: World | None) -> dict[str, Any]:
    """Of what is known; without what only tells a person something."""
    found = spec.conditions()
    if course is not None:
        found["course"] = without(msgspec.to_builtins(course.file), ("source",))
    if world is not None:
        found["world"] = without(msgspec.to_builtins(world), ("description",))
    return found


def conditions_now(report: ValidationReport, spec: RobotSpec, course: Course | None) -> dict[str, Any]:
    """What a report's are here and now. ``course``: where it would drive (None: not known yet, so the one
    that has the report's name). A course or a room of one's own, which has no name here, is left out."""
    if course is None and report.course in catalogue.names("courses"):
        course = load_course(catalogue.find("courses", report.course))
    known = report.world in catalogue.names("worlds")
    return conditions(spec, course, load_world(catalogue.find("worlds", report.world)) if known else None)
