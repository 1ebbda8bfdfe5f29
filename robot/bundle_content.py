"""What a bundle carries: a policy, its contract, what the twin said of it, and where it came from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from robot.contract import TaskContract
from robot.errors import BundleError
from robot.layout import Struct
from robot.plain_data import differences, first, sha256
from robot.validation_report import ValidationReport


class Provenance(Struct):
    """Where a policy came from: the run's own manifest in short. ``data``: files it was learned from, by name
    and SHA-256. All empty for a policy of which only the file is known."""

    run: str = ""
    role: str = ""
    robot: str = ""
    course: str = ""
    created: str = ""
    git_revision: str = ""
    seed: int = 0
    calibration_hash: str = ""
    machine: str = ""
    versions: dict[str, str] = msgspec.field(default_factory=dict)
    learner: dict[str, Any] = msgspec.field(default_factory=dict)
    setup: dict[str, Any] = msgspec.field(default_factory=dict)
    data: dict[str, str] = msgspec.field(default_factory=dict)


@dataclass(frozen=True)
class Content:
    """What goes into a bundle beside its manifest."""

    policy: bytes
    contract: TaskContract
    report: ValidationReport
    provenance: Provenance
    smoke: ValidationReport | None = None

    @property
    def newest(self) -> ValidationReport:
        """The report that speaks of the newest calibration."""
        return self.smoke or self.report

    def check(self) -> None:
        """Raise BundleError unless every part speaks of the same policy."""
        if self.report.gate != "full":
            raise BundleError(
                "the report is of the smoke gate, which is enough only beside one of the full gate: "
                "sandlot validate --gate full first"
            )
        if self.smoke is not None and self.smoke.gate != "smoke":
            raise BundleError("the second report is of the full gate; take it alone instead")
        tried = [(report.course, report.world) for report in (self.report, self.smoke) if report is not None]
        if tried[-1] != tried[0]:
            raise BundleError(
                f"the full gate drove course {tried[0][0]!r} in world {tried[0][1]!r}, the smoke gate "
                f"{tried[-1][0]!r} in {tried[-1][1]!r}; validate both on the same one"
            )
        words, newest = ("the smoke gate", "the full gate"), self.newest
        if lines := differences(newest.conditions, self.report.conditions, words=words):
            raise BundleError(
                f"more than measured values changed between the gates ({first(lines)}); the full gate is "
                "needed again: sandlot validate --gate full"
            )
        found, contract_hash = sha256(self.policy), self.contract.hash()
        for report in (self.report, self.smoke):
            if report is None:
                continue
            if report.policy_sha256 != found:
                raise BundleError(
                    f"the report ({report.gate} gate, {report.created}) is of another policy: it validated "
                    f"{report.policy_sha256[:12]}, this one is {found[:12]}; run sandlot validate on this one"
                )
            if report.contract_hash != contract_hash:
                raise BundleError(
                    f"the report ({report.gate} gate) is of contract {report.contract_hash[:12]}, the policy "
                    f"carries {contract_hash[:12]}; run sandlot validate on this one"
                )
            if report.robot != self.contract.robot.get("robot"):
                raise BundleError(
                    f"the report is of robot {report.robot!r}, the policy of "
                    f"{self.contract.robot.get('robot')!r}; run sandlot validate for that robot"
                )
