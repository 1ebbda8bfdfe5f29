"""The hazard analysis points at evidence that is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from launch.bench.faults_campaign import CELLS

HOME = Path(__file__).parents[2]
ROWS = [line for line in (HOME / "docs" / "HAZARDS.md").read_text().splitlines() if re.match(r"\| \d", line)]
CELL_NAMES = set(CELLS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"hazard {row.split('|')[1].strip()}")
def test_every_hazard_has_a_response_what_is_left_and_evidence_that_exists(row: str) -> None:
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert len(cells) == 7 and all(cells)
    named = re.findall(r"`([^`]+)`", cells[-1])
    assert named
    for name in named:
        if name.startswith("sandlot ") or name.endswith(".toml"):
            continue
        if name.endswith(".py"):
            assert list(HOME.glob(name)) or list(HOME.glob(f"tests/**/{name}")), name
        else:
            assert any(re.fullmatch(name.replace("*", ".*"), cell) for cell in CELL_NAMES), name


def test_hazards_are_numbered_without_gaps() -> None:
    assert [int(row.split("|")[1]) for row in ROWS] == list(range(1, len(ROWS) + 1))
