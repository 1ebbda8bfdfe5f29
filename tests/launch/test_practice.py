"""What ``sandlot practice`` makes of its options before anything is begun."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from launch.catalogue import find
from launch.conduct import conduct
from launch.episodes import course_setting
from launch.manifest import Setup
from launch.options.learner import LearnerOptions
from launch.options.practice import PracticeOptions
from launch.practice import learn, practise
from launch.session import create_session
from robot.errors import SandlotError, SpecError


class BegunError(Exception):
    """In place of a session."""


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[Setup]:
    """Of what sessions would have been made."""
    setups: list[Setup] = []

    def create(*_: object, setup: Setup, **__: Any) -> None:
        setups.append(setup)
        raise BegunError

    monkeypatch.setattr("launch.practice.create_session", create)
    return setups


def test_a_policy_to_start_from_is_a_file_or_a_run_s_newest(tmp_path: Path, begun: list[Setup]) -> None:
    with pytest.raises(SandlotError, match="holds no policy"):
        practise(PracticeOptions(policy=tmp_path, smoke_gate=False))
    with pytest.raises(SandlotError, match="no file or folder"):
        practise(PracticeOptions(policy=tmp_path / "nowhere", smoke_gate=False))
    newest = tmp_path / "policies" / "000012.onnx"
    newest.parent.mkdir()
    for path in (newest, newest.with_name("000003.onnx")):
        path.touch()
    for named in (tmp_path, newest):
        with pytest.raises(BegunError):
            practise(PracticeOptions(policy=named, smoke_gate=False))
    assert [setup.policy for setup in begun] == 2 * [str(newest.resolve())]


def test_a_course_of_one_s_own_is_gated_in_the_world_that_is_named(
    tmp_path: Path, begun: list[Setup], capsys: pytest.CaptureFixture[str]
) -> None:
    """As after ``sandlot course from-demo``."""
    mine = tmp_path / "mine.toml"
    mine.write_text(find("courses", "oval").read_text().replace('name = "oval"', 'name = "mine"'))
    for world in ("oval", None):
        with pytest.raises(BegunError):
            practise(PracticeOptions(course=str(mine), world=world))
    assert [setup.smoke_gate for setup in begun] == [True, False]
    assert "no smoke gate: no world 'mine'" in capsys.readouterr().out
    with pytest.raises(SpecError, match="no world 'mine'"):
        course_setting("racer", str(mine))


def test_what_is_learned_of_demonstrations_alone_is_gated_too(begun: list[Setup]) -> None:
    """Without updates in practice one policy is published all the same."""
    with pytest.raises(BegunError):
        practise(PracticeOptions(update_ratio=0))
    assert begun[0].smoke_gate


@pytest.mark.parametrize(
    "start", [lambda: practise(PracticeOptions(device="cuda")), lambda: learn(LearnerOptions(device="cuda"))]
)
def test_a_device_that_is_not_there_is_refused_before_anything_is_begun(
    start: Callable[[], int], begun: list[Setup], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(SandlotError, match="learn on the processor with device=cpu"):
        start()
    assert begun == []


def test_a_session_s_key_is_there_before_any_process_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Courier and learner start at the same time, and must not each make one."""
    session = create_session("racer", "oval", role="practice", runs=tmp_path, twin=True)

    def supervise(*_: object) -> None:
        assert session.key_file.exists()
        raise BegunError

    monkeypatch.setattr("launch.conduct.Supervisor", supervise)
    with pytest.raises(BegunError):
        conduct(session, "none", with_learner=True)
    assert not session.board_directory.exists()
