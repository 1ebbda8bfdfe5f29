"""Couriers killed while they record: the campaign itself, small, and that it would notice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from launch.bench.recording import contract_of, one, run, summary
from robot import log_reader
from robot.log_reader import Log
from robot.recorder import TICKS
from robot.spec import load_spec

SPEC = load_spec(Path(__file__).parents[3] / "launch" / "robots" / "racer.toml")


@pytest.mark.slow
def test_a_killed_recording_loses_less_than_a_second_and_goes_on_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "kills.csv"
    kills = list(run(2, path))
    assert list(run(2, path)) == kills, "what is in the file is not run again"
    figures = summary(kills)
    assert figures["unreadable"] == figures["repair_not_prefix"] == figures["restarted_lost"] == 0
    assert figures["battery_lost_max_s"] < 1.0 + figures["longest_round_max_s"]


@pytest.mark.slow
def test_a_reader_that_alters_a_record_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = log_reader.read_log

    def altered(path: Path, topics: None = None) -> Log:
        log = whole(path, topics)
        if TICKS in log.arrays and len(log.ticks):
            log.ticks["state"][0] = np.pi
        return log

    monkeypatch.setattr("launch.bench.recording.read_log", altered)
    kill = one(SPEC, contract_of(SPEC), 0)
    assert kill.not_prefix and kill.lost_after_restart
