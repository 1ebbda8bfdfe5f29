"""Prior data is copied whole or not at all."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from learners.environments.prior_folder import copy_prior


def test_a_copy_that_was_killed_is_no_copy_and_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "rows.journal").write_text(name)
    into, copied = tmp_path / "mine" / "prior", shutil.copyfile

    def killed(source: Path, target: Path) -> None:
        if source.parent.name == "b":
            raise KeyboardInterrupt
        copied(source, target)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(shutil, "copyfile", killed)
        copy_prior(tmp_path / "runs", into)
    assert not into.exists()
    copy_prior(tmp_path / "runs", into)
    assert [path.read_text() for path in sorted(into.iterdir())] == ["a", "b"]
    assert [path.name for path in into.parent.iterdir()] == ["prior"]
