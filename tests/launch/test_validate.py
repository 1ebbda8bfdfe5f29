"""``sandlot validate``: verdict, exit code, and a report that a bundle would take."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
from small_bundle import made, report
from swerving_policy import swerving_policy

from launch.bundle import read_report
from launch.catalogue import find
from launch.episodes import course_setting
from launch.options.validate import ValidateOptions
from launch.validate import validate
from robot.errors import SandlotError, SpecError
from robot.plain_data import sha256
from sim.world import load_world


@pytest.fixture
def swerving(tmp_path: Path) -> Path:
    return swerving_policy(course_setting("racer", "oval").contract, tmp_path / "swerving.onnx")


def test_a_file_that_is_no_policy_is_refused_at_the_contract(
    swerving: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    swerving.write_bytes(swerving.read_bytes()[:-100])
    out = tmp_path / "out"
    assert validate(ValidateOptions(swerving, out=out, results=tmp_path / "results")) == 1
    report = read_report(out / "report.json")
    assert report.verdict == "fail"
    assert report.failed() == ("G0 contract",)
    assert report.policy_sha256 == sha256(swerving.read_bytes())
    assert capsys.readouterr().out.strip().splitlines()[-1].startswith("FAIL (G0 contract): ")
    assert "May not drive racer" in (out / "report.html").read_text()


def test_a_course_of_one_s_own_is_validated_in_the_world_that_is_named(
    swerving: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    swerving.write_bytes(swerving.read_bytes()[:-100])  # refused before it drives
    mine = tmp_path / "mine.toml"
    mine.write_text(find("courses", "oval").read_text().replace('name = "oval"', 'name = "mine"'))
    with pytest.raises(SpecError, match=r"no world 'mine'.*name them with --world"):
        validate(ValidateOptions(swerving, course=str(mine)))
    assert validate(ValidateOptions(swerving, course=str(mine), world="kidney")) == 1
    assert "course mine, world kidney" in " ".join(capsys.readouterr().out.split())
    (report,) = tmp_path.glob("validation/racer-mine-in-kidney-full-*/report.json")
    assert (read_report(report).course, read_report(report).world) == ("mine", "kidney")
    assert course_setting("racer", str(mine), world="kidney").world == load_world(find("worlds", "kidney"))


def test_no_episode_is_no_examination(tmp_path: Path) -> None:
    with pytest.raises(SandlotError, match="--episodes 0: at least 1"):
        validate(ValidateOptions(tmp_path / "policy.onnx", episodes=0, out=tmp_path))


def test_a_bundle_is_tried_where_it_was_validated_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Unless another course is asked for."""
    monkeypatch.chdir(tmp_path)
    source = tmp_path / "racer.bundle"
    source.write_bytes(made(report=report(course="kidney", world="oval")))
    for asked, expected in ((None, "course kidney, world oval"), ("yard", "course yard, world yard")):
        assert validate(ValidateOptions(source, course=asked)) == 1  # its policy is none
        assert expected in " ".join(capsys.readouterr().out.split())


def test_what_cannot_be_compared_with_is_refused_before_anything_is_tried(
    swerving: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("launch.validate.examine", lambda *_: pytest.fail("it was tried"))
    contract = msgspec.structs.replace(course_setting("racer", "oval").contract, task="another")
    other = swerving_policy(contract, tmp_path / "other.onnx")
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(swerving.read_bytes()[:-100])
    for against, expected in ((other, "task: .*another"), (broken, "broken.onnx")):
        with pytest.raises(SandlotError, match=expected):
            validate(ValidateOptions(swerving, against=against, out=tmp_path, results=tmp_path))


def test_targets_that_can_be_none_are_refused_before_anything_is_tried(tmp_path: Path) -> None:
    robot = tmp_path / "racer.toml"
    text = find("robots", "racer").read_text()
    robot.write_text(text.replace("[targets]", '[targets]\npolicies = { value = 0, reason = "why not" }'))
    with pytest.raises(SpecError, match=r"targets.policies = 0.*in \[3, inf\]"):
        validate(ValidateOptions(tmp_path / "none.onnx", robot=str(robot), out=tmp_path / "out"))
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_policy_that_swerves_is_refused_by_every_gate_that_drives(
    swerving: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    results = tmp_path / "results"
    options = ValidateOptions(
        swerving, gate="smoke", episodes=4, out=out, against=swerving, json=True, results=results
    )
    assert validate(options) == 1
    report = read_report(out / "report.json")
    verdicts = {gate.name: gate.verdict for gate in report.gates}
    assert verdicts["G0 contract"] == "pass"
    assert verdicts["G3 nominal"] == verdicts["G4 randomised"] == "fail"
    assert verdicts["G7 faults"] == verdicts["G8 twin against robot"] == "skipped"
    assert verdicts["G9 against deployed"] == "pass"
    assert json.loads(capsys.readouterr().out.strip().splitlines()[-1])["verdict"] == "fail"
    assert (out / "report.html").read_text().count("data:image/png") >= 3
    twin = (results / "racer.csv").read_text().splitlines()
    assert len(twin) == 2 and f",twin,oval,{report.policy_sha256},0,8,0.000000," in twin[1]
    with np.load(out / "episodes.npz", allow_pickle=False) as found:
        assert len(found["nominal"]) == len(found["randomised"]) == 4
