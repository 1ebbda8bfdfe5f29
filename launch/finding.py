"""One line of what ``sandlot doctor`` or ``sandlot data doctor`` found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from rich.table import Table
from rich.text import Text

Status = Literal["ok", "warning", "failed", "skipped"]
MARKS: dict[Status, tuple[str, str]] = {
    "ok": ("ok", "green"),
    "warning": ("!", "bold yellow"),
    "failed": ("X", "bold red"),
    "skipped": ("-", "grey62"),
}


@dataclass(frozen=True)
class Finding:
    """What was looked at, how it is, and what to do where it is not well."""

    check: str
    status: Status
    text: str
    remedy: str = ""


def table(findings: Iterable[Finding]) -> Table:
    """A row each: mark, check, text and remedy."""
    shown = Table.grid(padding=(0, 1))
    for finding in findings:
        mark, style = MARKS[finding.status]
        body = Text(finding.text)
        if finding.remedy:
            body.append(f"\n{finding.remedy}", "bold")
        shown.add_row(Text(mark, style), Text(finding.check, "grey62"), body)
    return shown
