"""What ``sandlot doctor`` says of the policy that is deployed here."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path

from launch.clearance import deployed
from launch.finding import Finding
from robot.deployed import Deployments
from robot.errors import SandlotError
from robot.practice.course import Course
from robot.spec import RobotSpec

SOON = datetime.timedelta(days=7)
"""An expiry this near is worth a warning."""


def policy(spec: RobotSpec, folder: Path, keys: Path, course: Course | None) -> Iterator[Finding]:
    """Whether the deployed policy may drive, here and now, and for how long."""
    now = datetime.datetime.now(datetime.UTC)
    try:
        if not Deployments(folder.expanduser() / spec.name).state().current:
            yield Finding("deployed", "skipped", "no policy; practice needs none, sandlot run does")
            return
        installed = deployed(spec, folder, keys)
    except SandlotError as error:
        yield Finding("deployed", "warning", str(error), "sandlot run will refuse it.")
        return
    cleared, expires = installed.clearance(spec, now, course), installed.bundle.manifest.expires
    for objection in cleared.objections:
        yield Finding("deployed", "warning", f"{cleared.name}: {objection}", "sandlot run will refuse it.")
    if not cleared.objections:
        near = datetime.datetime.fromisoformat(expires) - now < SOON
        remedy = "Validate it again and make a new bundle." if near else ""
        yield Finding(
            "deployed", "warning" if near else "ok", f"{cleared.name} may drive until {expires}", remedy
        )
