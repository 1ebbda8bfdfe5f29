"""``sandlot learn``: from the command line to the plot, and every mistake in one line."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_environment import PointEnvironment

from launch import cli
from launch.learn import _new
from launch.options.learn import LearnOptions
from launch.session import create_session
from learners.environments import catalogue
from learners.journal import Journal
from robot.messages import Actor
from robot.policy import Policy

SMALL = ("--algo", "sac", "--steps", "90", "--evaluate-every", "40", "--evaluation-episodes", "2")
SETTINGS = ("--set", "warmup=40", "hidden=[16]", "batch=16", "--checkpoint-every", "20")


@pytest.fixture(autouse=True)
def _point(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(catalogue, "find", lambda name, pixels: PointEnvironment)
    monkeypatch.chdir(tmp_path)


def called(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main(("learn", *words))
    return int(ended.value.code or 0)


def test_a_run_leaves_what_the_documents_say(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert called("--env", "a/point", "--seed", "2", *SMALL, *SETTINGS, "--json") == 0
    out = capsys.readouterr().out
    summary = json.loads(out.splitlines()[-1])
    run = tmp_path / "runs" / "a-point" / "latest"
    assert Path(summary["run"]) == run.resolve()
    assert (summary["steps"], summary["updates"], summary["seed"]) == (90, 50, 2)
    for name in ("settings.toml", "contract.json", "curve.csv", "policy.onnx", "rows.journal", "checkpoints"):
        assert (run / name).exists(), name
    assert (run / "curve.png").read_bytes().startswith(b"\x89PNG")
    lines = (run / "curve.csv").read_text().splitlines()
    assert lines[0] == "step,wall_s,updates,return_mean,return_std,length_mean"
    assert [line.split(",")[0] for line in lines[1:]] == ["40", "80", "90"]
    assert "sac on a/point, seed 2" in out and "policy.onnx" in out


def test_a_stopped_run_says_how_to_go_on_and_does(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = 0

    class Stopped(PointEnvironment):
        def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
            nonlocal steps
            steps += 1
            if steps == 130:
                raise KeyboardInterrupt
            return super().step(action)

    monkeypatch.setattr(catalogue, "find", lambda name, pixels: Stopped)
    words = ("--env", "point", "--seed", "2", *SMALL, *SETTINGS)
    assert called(*words) == 130
    out = capsys.readouterr().out
    assert "sandlot learn --resume runs/point/" in out
    assert called("--resume", "runs/point/latest", "--steps", "100", "--json") == 0
    out = capsys.readouterr().out
    assert "going on from step" in out
    summary = json.loads(out.splitlines()[-1])
    assert (summary["steps"], summary["updates"]) == (100, 60)


def test_a_run_that_goes_on_gets_no_shorter(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert called("--env", "point", *SMALL, *SETTINGS) == 0
    run = tmp_path / "runs" / "point" / "latest"
    before = {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()}
    assert called("--resume", "runs/point/latest", "--steps", "50") == 1
    assert "--steps 50: this run has 90 steps" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()} == before


def test_runs_of_one_second_have_folders_of_their_own(tmp_path: Path) -> None:
    options = LearnOptions(env="point", runs=tmp_path)
    folders = {_new(options)[0] for _ in range(3)}
    assert len(folders) == 3 and all(folder.is_dir() for folder in folders)


def test_a_run_goes_on_with_what_else_computes(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert called("--env", "point", *SMALL, *SETTINGS) == 0
    assert called("--resume", "runs/point/latest", "--set", "device=tpu") == 1
    assert "settings of the run: Invalid enum value 'tpu'" in capsys.readouterr().err
    assert called("--resume", "runs/point/latest", "--steps", "100", "--set", "threads=2", "--json") == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["steps"] == 100
    path = tmp_path / "runs" / "point" / "latest" / "settings.toml"
    before = path.read_text()
    assert "threads = 2" in before

    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert called("--resume", "runs/point/latest", "--steps", "110", "--set", "device=cuda") == 1
    assert "sees no CUDA device" in capsys.readouterr().err
    assert path.read_text() == before, "a run does not keep a device that is not there"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), "which environment? Give one (--env Hopper-v5)"),
        (("--env", "point", "--set", "critcs=3"), "did you mean critics?"),
        (("--env", "point", "--set", "critics"), "expected NAME=VALUE"),
        (("--env", "point", "--set", "critics=many"), "settings of rlpd: Expected `int`, got `str`"),
        (("--env", "point", "--offline", "--pretrain", "5"), "--pretrain is not for --offline"),
        (("--env", "point", "--image-stack", "5"), "point shows no picture; leave out image_stack = 5"),
        (("--env", "point", "--steps", "0"), "at least one step is needed"),
        (("--env", "point", "--prior", "nowhere"), "expected a folder with journals"),
        (("--resume", "nowhere"), "is no run's folder"),
        (("--resume", "nowhere", "--set", "critics=3"), "only threads and device may be set"),
        (("--resume", "nowhere", "--seed", "3"), "--seed cannot change in a run that goes on"),
        (("--session", "nowhere", "--env", "point"), "--env is not for --session"),
    ],
)
def test_a_mistake_is_one_clear_line(
    words: tuple[str, ...], expected: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert called(*words) == 1
    error = capsys.readouterr().err
    assert expected in error and len(error.strip().splitlines()) == 1
    assert not any(tmp_path.iterdir()), "a run was begun although it could not be"


def test_a_missing_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "gymnasium", None)
    assert called("--env", "Hopper-v5") == 1
    assert "pip install '.[gym]'" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "dm_control", None)
    monkeypatch.delitem(sys.modules, "learners.environments.dm_control_suite", raising=False)
    assert called("--env", "dm_control/cheetah-run") == 1
    assert "pip install '.[dm-control]'" in capsys.readouterr().err


def test_an_unknown_algorithm_is_a_wrong_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert called("--env", "point", "--algo", "ppo") == 2
    assert "droq" in capsys.readouterr().err


@pytest.mark.slow
def test_offline_first_and_then_in_the_environment(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Going on says how it stands from the first step on, before any episode has ended."""
    monkeypatch.setattr("launch.learn_view.PLAIN_S", 0.0)
    assert called("--env", "a/point", *SMALL, *SETTINGS) == 0
    words = ("--env", "b/point", "--algo", "iql", "--prior", "runs/a-point/latest", "--offline")
    few = ("--steps", "30", "--evaluate-every", "10", "--evaluation-episodes", "2", "--json")
    settings = ("--set", "tau=0.9", "hidden=[16]", "batch=16", "warmup=5")
    assert called(*words, *few, *settings) == 0
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (summary["steps"], summary["offline_steps"], summary["updates"]) == (0, 30, 30)
    run = tmp_path / "runs" / "b-point" / "latest"
    assert "tau = 0.9" in (run / "settings.toml").read_text()
    assert called("--resume", "runs/b-point/latest", "--steps", "25", "--json") == 0
    out = capsys.readouterr().out
    assert "step 31 of 55: return nan, evaluated" in out
    summary = json.loads(out.splitlines()[-1])
    assert (summary["steps"], summary["offline_steps"], summary["updates"]) == (25, 30, 30 + 20)
    steps = [line.split(",")[0] for line in (run / "curve.csv").read_text().splitlines()[1:]]
    assert steps == ["10", "20", "30", "40", "50", "55"]


@pytest.mark.slow
def test_a_policy_from_a_robot_s_run_alone(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Of the very contract and calibration that the robot asks for; the same when it goes on as at once."""
    session = create_session("racer", "oval", role="practice", runs=tmp_path / "robots", twin=True, fast=True)
    rows = np.zeros(200, session.contract.step_dtype())
    rng = np.random.default_rng(0)
    rows["step"] = rows["sequence"] = np.arange(200)
    rows["observation"] = rng.normal(size=rows["observation"].shape)
    rows["action"] = rng.uniform(-1, 1, rows["action"].shape)
    rows["actor"] = int(Actor.SCRIPT)
    journal = Journal(session.learner / "journal" / "rows.journal", rows.dtype)
    journal.append("s", 0, rows)
    journal.close()
    policies = []
    for algorithm, steps in (("bc", ("8",)), ("idql", ("3", "8")), ("idql", ("8",))):
        for count in steps:
            words = ("--session", str(session.directory), "--algo", algorithm, "--steps", count, "--json")
            assert called(*words, "--set", "hidden=[8]", "batch=8") == 0
        summary = json.loads(capsys.readouterr().out.splitlines()[-1])
        assert summary["updates"] == 8
        path = Path(summary["policy"])
        assert path == session.directory / "offline" / algorithm / "policy.onnx"
        assert Policy(path, session.contract, session.manifest.calibration_hash).version == 8
        policies.append(path.read_bytes())
        shutil.rmtree(path.parent)
    assert policies[1] == policies[2] != policies[0]


def test_a_robot_s_run_that_goes_on_keeps_its_rows_and_seed(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    session = create_session("racer", "oval", role="practice", runs=tmp_path / "robots", twin=True, fast=True)

    def practise(first: int, actor: Actor) -> None:
        rows = np.zeros(100, session.contract.step_dtype())
        rows["step"] = rows["sequence"] = np.arange(first, first + 100)
        rows["actor"] = int(actor)
        journal = Journal(session.learner / "journal" / "rows.journal", rows.dtype)
        journal.append("s", first, rows)
        journal.close()

    words = ("--session", str(session.directory), "--algo", "bc", "--set", "hidden=[8]", "batch=8", "--steps")
    assert called(*words, "0") == 1
    assert "at least 1 update step" in capsys.readouterr().err
    practise(0, Actor.POLICY)
    assert called(*words, "2") == 1
    assert "no demonstration to learn from" in capsys.readouterr().err
    practise(100, Actor.HUMAN)
    assert called(*words, "2") == 0
    assert "bytes that were not there" not in capsys.readouterr().out
    practise(200, Actor.HUMAN)
    assert called(*words, "4") == 0
    assert "bytes that were not there when this began, and are left out" in capsys.readouterr().out
    assert called(*words, "6", "--seed", "1") == 1
    assert "was begun with seed 0, and this is 1" in capsys.readouterr().err


def test_a_run_without_a_row_is_nothing_to_learn_from(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    session = create_session("racer", "oval", role="practice", runs=tmp_path / "robots", twin=True, fast=True)
    assert called("--session", str(session.directory), "--algo", "bc") == 1
    assert "expected a folder with journals" in capsys.readouterr().err
