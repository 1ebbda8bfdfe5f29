"""What ``sandlot practice`` makes of its options before anything is begun."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from launch.manifest import Setup
from launch.options.practice import PracticeOptions
from launch.practice import practise
from robot.errors import SandlotError


class BegunError(Exception):
    """In place of a session."""


def test_a_policy_to_start_from_is_a_file_or_a_run_s_newest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[Setup] = []

    def create(*_: object, setup: Setup, **__: Any) -> None:
        begun.append(setup)
        raise BegunError

    monkeypatch.setattr("launch.practice.create_session", create)
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
