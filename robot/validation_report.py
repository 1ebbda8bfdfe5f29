"""What the twin found out about a policy: plain data that the robot reads without the twin.

A report is of one policy file under one contract and one calibration, and says so by their hashes; and of the
conditions it was tried under, which it holds in full, so that what differs can be told.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from robot.errors import SandlotError
from robot.layout import Struct
from robot.plain_data import canonical_json

Verdict = Literal["pass", "fail"]
GateVerdict = Literal["pass", "fail", "advisory", "skipped"]

REPORT_BYTES = 1 << 20
"""A report is no larger; pictures and episodes lie beside it."""


class ReportError(SandlotError):
    """A validation report cannot be read or contradicts itself."""


class GateResult(Struct):
    """One gate: its ``rule`` in words with its number, what was ``measured``, the ``limit`` it was held to
    (both in the rule's unit; None where there is no number), and what it means in ``detail``. ``advisory``:
    told, not counted."""

    name: str
    verdict: GateVerdict
    rule: str
    measured: float | None = None
    limit: float | None = None
    detail: str = ""


class ValidationReport(Struct):
    """``policy_sha256``: of the ONNX file's bytes. ``gate``: how much was tried; ``full`` is what a robot
    asks for, ``smoke`` is enough once only the measured values have changed since. ``created``: UTC, ISO
    8601. ``conditions``: what else the verdict holds for, as plain data (``launch.conditions``). ``course``,
    ``world``: the line it drove and the walls it drove between (empty: any)."""

    policy_sha256: str
    contract_hash: str
    calibration_hash: str
    robot: str
    gate: Literal["smoke", "full"]
    verdict: Verdict
    created: str
    sandlot_version: str
    git_revision: str
    episodes: int
    seed: int
    gates: tuple[GateResult, ...]
    conditions: dict[str, Any]
    course: str = ""
    world: str = ""
    schema: int = 1

    def failed(self) -> tuple[str, ...]:
        """The gates that were not passed, by name."""
        return tuple(gate.name for gate in self.gates if gate.verdict == "fail")

    def advisory(self) -> tuple[str, ...]:
        """The gates that make the twin's word advisory, by name."""
        return tuple(gate.name for gate in self.gates if gate.verdict == "advisory")

    def encode(self) -> bytes:
        """Canonical JSON: the same report is the same bytes."""
        return canonical_json(self)


def decode_report(data: bytes) -> ValidationReport:
    """Raises ReportError for bytes that are no report, and for a pass in spite of a failed gate."""
    if len(data) > REPORT_BYTES:
        raise ReportError(f"a validation report of {len(data)} bytes: at most {REPORT_BYTES} were expected")
    try:
        report = msgspec.json.decode(data, type=ValidationReport)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ReportError(f"not a validation report: {error}; sandlot validate writes them") from None
    if report.schema != 1:
        raise ReportError(f"a validation report of schema {report.schema}; this Sandlot reads schema 1")
    if report.verdict == "pass" and (report.failed() or not report.gates):
        why = f"failed: {', '.join(report.failed())}" if report.failed() else "there are none"
        raise ReportError(f"a validation report whose verdict is pass although of its gates {why}")
    return report
