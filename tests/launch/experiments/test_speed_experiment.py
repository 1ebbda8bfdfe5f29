"""Speeds are measured once for each processor, and what is not installed is said and left out."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from launch.experiments import speed


def test_rows_of_another_processor_are_kept_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured, told = list[str](), list[str]()

    def fake(case: str) -> dict[str, float]:
        measured.append(case)
        return {"updates_per_s": 100.0 + len(measured), "limit_updates_per_s": 200.0}

    path = tmp_path / "speed.csv"
    monkeypatch.setattr(speed, "measured", fake)
    monkeypatch.setattr(speed, "missing_package", lambda case: "sbx" if "SBX" in case else None)
    for machine in ("one", "one", "other"):
        monkeypatch.setattr(speed, "processor", lambda machine=machine: machine)
        speed.run(path, (0, 1), told.append)
    once = [*speed.OURS, "SAC beside SB3"]
    assert measured == 4 * once, "two seeds of each processor"
    with path.open() as file:
        rows = list(csv.DictReader(file))
    assert {(row["processor"], row["seed"]) for row in rows} == {
        (m, s) for m in ("one", "other") for s in "01"
    }
    assert rows[0]["updates_per_s"] == "101" and rows[0]["theirs_updates_per_s"] == ""
    assert path.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    assert any("SAC beside SBX: left out, sbx" in line for line in told)


def test_a_package_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert speed.missing_package("SAC beside SB3") == "stable_baselines3"
    assert speed.missing_package("racer") is None
