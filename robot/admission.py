"""May this bundle's policy drive this robot, today? Everything that is asked before anything is armed.

Two kinds of answer. What is not for this robot, or from nobody it trusts, is an error and stays one. What is
ours but not validated as it should be (gate, calibration, course, time) is an objection: the robot does not
drive it, except at reduced authority under a bench override.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

from robot.bundle import Bundle, parse_time
from robot.contract import TaskContract, require_same
from robot.errors import BundleError, ContractMismatchError
from robot.plain_data import differences, first
from robot.spec import RobotSpec
from robot.validation_report import ValidationReport

CLOCK_SLACK = datetime.timedelta(minutes=5)
"""How far two machines' clocks may lie apart."""
SMOKE = (
    "run: sandlot validate BUNDLE --gate smoke --course {course}, make a new bundle of it with that report, "
    "and deploy that"
)


def require_ours(
    bundle: Bundle, spec: RobotSpec, trusted: Mapping[str, str], contract: TaskContract | None = None
) -> None:
    """Raise BundleError or ContractMismatchError unless somebody whom this robot trusts made the bundle for
    this robot. ``trusted``: public keys to names. ``contract``: the task's, where it is known."""
    manifest = bundle.manifest
    if manifest.signer not in trusted:
        known = ", ".join(f"{name} ({key[:12]})" for key, name in trusted.items()) or "nobody"
        raise BundleError(
            f"the bundle is signed by key {manifest.signer[:12]}, which this robot does not trust; it trusts "
            f"{known}. If its maker is one of yours: sandlot keys trust NAME.pub"
        )
    if manifest.robot != spec.name:
        raise BundleError(f"the bundle is for robot {manifest.robot!r}, this is {spec.name!r}")
    if contract is not None:
        require_same(contract, bundle.content.contract, f"bundle {manifest.version}")
    lines = differences(spec.contract(), bundle.content.contract.robot)
    if lines:
        raise ContractMismatchError(
            f"bundle {manifest.version} was made for another contract: {first(lines)}"
        )


def objections(
    bundle: Bundle,
    calibration_hash: str,
    conditions: Mapping[str, Any],
    now: datetime.datetime,
    course: str = "",
    installed: str = "",
) -> tuple[str, ...]:
    """Why the policy may not drive although it is ours; nothing if it may. Each is a sentence that says what
    to do. ``conditions``: what of the report's is known here, as it is now. ``course``: where it would drive
    (empty: not known yet). ``installed``: when the bundle was."""
    content = bundle.content
    found = [*_clock(bundle, now, installed)]
    found += [_failed(report) for report in (content.report, content.smoke) if report and report.failed()]
    if not found and "fail" in (content.report.verdict, content.newest.verdict):
        found.append("its validation's verdict is fail; train or repair it and validate again")
    if calibration_hash not in {report.calibration_hash for report in (content.report, content.newest)}:
        found.append(
            "the robot's calibration changed since it was validated "
            f"({bundle.manifest.calibration_hash[:12]} then, {calibration_hash[:12]} now); "
            + SMOKE.format(course=content.report.course or "COURSE")
        )
    validated = content.report.course
    if course and validated and course != validated:
        found.append(f"it was validated on course {validated!r}, not on {course!r}; validate it there")
    else:
        found += _changed(content.report, conditions)
    return tuple(found)


def _changed(report: ValidationReport, conditions: Mapping[str, Any]) -> list[str]:
    then = {name: report.conditions[name] for name in conditions if name in report.conditions}
    lines = differences(conditions, then, words=("here", "there"))
    if not lines:
        return []
    return [f"it was validated under other conditions ({first(lines)}); validate it with the full gate here"]


def _clock(bundle: Bundle, now: datetime.datetime, installed: str) -> list[str]:
    manifest = bundle.manifest
    shown = now.isoformat(timespec="minutes")
    for what, when in (("made", manifest.created), ("installed here", installed)):
        if when and now < parse_time(when) - CLOCK_SLACK:
            return [
                f"this machine's clock says {shown}, but the bundle was {what} at {when}: set the clock, "
                "without which nobody can say whether it has expired"
            ]
    if now >= parse_time(manifest.expires):
        return [f"it expired at {manifest.expires} (now: {shown}); validate it again and make a new bundle"]
    return []


def _failed(report: ValidationReport) -> str:
    failed = [gate for gate in report.gates if gate.verdict == "fail"]
    told = "; ".join(f"{gate.name} ({gate.detail or gate.rule})" for gate in failed)
    return f"it failed the {report.gate} gate: {told}; train or repair it and validate again"
