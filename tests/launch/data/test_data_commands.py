"""Parts, unions and other rewards of a recording: what is in them is what was recorded."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
from small_recording import rows_of, write_recording
from small_session import CONTRACT

from launch.cli import parse
from launch.data.recording import open_recording
from learners.config import LearnerConfig
from robot.errors import SandlotError

REWARDS = """
def fast(steps):
    return steps["observation_velocity_x"]

def slow(steps):
    return -steps.after("observation_velocity_x")

def short(steps):
    return steps["reward"][:-1]
"""


def sandlot(*words: str) -> int:
    parsed = parse(["data", *words])
    assert parsed is not None
    return parsed[0].load()(parsed[1])


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Two files, as after a rotation."""
    write_recording(tmp_path / "run" / "log.mcap", rows_of(0, 80), camera=True)
    write_recording(tmp_path / "run" / "log.1.mcap", rows_of(80, 70), camera=True, close=False)
    return tmp_path / "run"


def test_recordings_are_listed_and_told(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sandlot("ls", str(run.parent), "--json") == 0
    (row,) = json.loads(capsys.readouterr().out)["recordings"]
    assert (row["robot"], row["task"], row["episodes"], row["steps"]) == ("racer", "small", 3, 147)
    assert (row["files"], row["whole"]) == (2, False)
    assert sandlot("info", str(run), "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["records"] == {"/ticks": 750, "/steps": 150, "camera front": 225, "events": 8} | {
        k: v for k, v in told["records"].items() if k == "/pilot"
    }
    assert [(e["steps"], e["end"], e["actors"]) for e in told["episodes"]] == [
        (49, "truncated", "policy")
    ] * 3
    assert sandlot("doctor", str(run)) == 1
    assert sandlot("repair", str(run), "--output", str(run.parent / "mended")) == 0
    assert sandlot("doctor", str(run.parent / "mended")) == 0


def test_some_episodes_with_all_that_was_in_their_time(run: Path, tmp_path: Path) -> None:
    assert sandlot("split", str(run), "--episodes", "1-1", "--output", str(tmp_path / "part")) == 0
    part, whole = open_recording(tmp_path / "part"), open_recording(run)
    assert (part.steps == whole.steps[50:100]).all()
    first, last = whole.steps["time_ns"][[50, 99]]
    inside = (whole.log.ticks["time_ns"] >= first) & (whole.log.ticks["time_ns"] <= last)
    assert (part.log.ticks == whole.log.ticks[inside]).all()
    assert part.log.frames["front"] == [
        f for f in whole.log.frames["front"] if first <= f.received_ns <= last
    ]
    with pytest.raises(SandlotError, match="the log has 0-2"):
        sandlot("split", str(run), "--episodes", "7", "--output", str(tmp_path / "none"))
    with pytest.raises(SandlotError, match="exists"):
        sandlot("split", str(run), "--episodes", "2-", "--output", str(tmp_path / "part"))


def test_a_recording_is_drawn_and_a_missing_viewer_is_named(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sandlot("view", str(run), "--png", str(tmp_path / "overview.png")) == 0
    assert (tmp_path / "overview.png").read_bytes()[:4] == b"\x89PNG"
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SandlotError, match=r"no viewer is installed here.*rerun-sdk"):
        sandlot("view", str(run))
    program = tmp_path / "rerun"
    program.write_text(f'#!/bin/sh\n/bin/echo "$@" > {tmp_path}/asked\n')
    program.chmod(0o755)
    assert sandlot("view", str(run)) == 0
    deadline = time.monotonic() + 20
    while not (tmp_path / "asked").exists() or not (tmp_path / "asked").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert (tmp_path / "asked").read_text().split() == [str(run / "log.mcap"), str(run / "log.1.mcap")]


@pytest.mark.slow
def test_two_rewards_on_one_log_are_two_datasets_and_two_policies(run: Path, tmp_path: Path) -> None:
    from learners.learner import Learner
    from learners.offline import learn_offline

    before = {path: path.read_bytes() for path in run.iterdir()}
    file = tmp_path / "rewards.py"
    file.write_text(REWARDS)
    whole, policies = open_recording(run), []
    config = LearnerConfig(hidden=(16, 16), critics=2, batch=16, updates_per_step=2, capacity=1000)
    for name, expected in (
        ("fast", whole.steps["observation"][:, 0]),
        ("slow", -np.append(whole.steps["observation"][1:, 0], 0)),
    ):
        out = tmp_path / name
        assert (
            sandlot("relabel", str(run), "--reward", f"{tmp_path}/rewards.py:{name}", "--output", str(out))
            == 0
        )
        found = open_recording(out)
        acted = ~whole.steps["last"]
        np.testing.assert_array_equal(found.steps["reward"], np.where(acted, expected, 0))
        for other in ("observation", "action", "reward_terms", "time_ns", "episode"):
            np.testing.assert_array_equal(found.steps[other], whole.steps[other])
        assert f"rewards.py:{name} sha256 " in found.log.metadata["reward"]
        prior = tmp_path / f"{name}-prior"
        assert sandlot("export", str(out), "--to", "journal", "--output", str(prior)) == 0
        learner = Learner(CONTRACT, config, 0, "")
        policies.append(learn_offline(learner, prior, tmp_path / f"{name}-run", 3, lambda line: None))
    assert policies[0].read_bytes() != policies[1].read_bytes()
    assert before == {path: path.read_bytes() for path in run.iterdir()}
    with pytest.raises(SandlotError, match=r"expected shape \(150,\)"):
        sandlot("relabel", str(run), "--reward", f"{file}:short", "--output", str(tmp_path / "x"))
    with pytest.raises(SandlotError, match="no attribute 'fats'"):
        sandlot("relabel", str(run), "--reward", f"{file}:fats", "--output", str(tmp_path / "x"))
