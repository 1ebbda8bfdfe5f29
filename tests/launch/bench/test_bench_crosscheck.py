"""What the crosscheck makes of its rows, and which policies it takes."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from launch.bench.crosscheck import TWIN, files, findings
from robot.errors import SandlotError


def row(policy: str, robot: str, score: float, verdict: str = "", failures: int = 0) -> dict[str, str]:
    return {
        "policy": policy,
        "robot": robot,
        "score": str(score),
        "failures": str(failures),
        "g3": verdict,
        "g4": verdict,
    }


def test_findings_pair_by_policy_and_split_by_verdict() -> None:
    made = [
        row("a", TWIN, 1.0, "pass"),
        row("b", TWIN, 0.9, "pass"),
        row("c", TWIN, 0.2, "fail"),
        row("d", TWIN, 0.1, "fail"),
        row("a", "ice", 0.5, failures=2),
        row("b", "ice", 0.7, failures=0),
        row("c", "ice", 0.1, failures=8),
        row("e", "ice", 0.9, failures=9),  # the twin has not judged it
    ]
    ice, sand = findings(made, ["ice", "sand"])
    assert ice.every is not None and ice.passing is not None
    assert (ice.every.policies, ice.passing.policies) == (3, 2)
    assert ice.passing.rank_violation == pytest.approx(0.2)  # the wrong way round
    assert ice.passing.r == pytest.approx(-1.0)
    assert ice.every.rank_violation == pytest.approx(0.4 / 3)
    assert ice.failures == (1.0, 8.0)
    assert sand.every is None and math.isnan(sand.failures[0])


def test_policies_are_taken_evenly_from_folders(tmp_path: Path) -> None:
    (tmp_path / "run" / "policies").mkdir(parents=True)
    for version in range(9):
        (tmp_path / "run" / "policies" / f"{version}.onnx").touch()
    (tmp_path / "run" / "policy.onnx").touch()  # its newest; those that it published count
    taken = files([tmp_path / "run", tmp_path / "run" / "policies" / "7.onnx"], 3)
    assert [path.stem for path in taken] == ["0", "4", "8", "7"]
    with pytest.raises(SandlotError, match="holds no policy"):
        files([tmp_path], 3)
