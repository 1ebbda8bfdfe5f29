"""Prior data is copied whole or not at all."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest
from small_environment import PointEnvironment

from learners.environments.contract import environment_contract
from learners.environments.prior_folder import copy_prior, prior_rows
from learners.journal import Journal
from robot.contract import TaskContract
from robot.errors import SandlotError
from robot.frame_file import FrameFile, StorageError

POINT = environment_contract(PointEnvironment(), "point")


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


def journal(folder: Path, contract: TaskContract) -> Path:
    """A folder with a journal of one row."""
    made = Journal(folder / "rows.journal", contract.step_dtype())
    made.append("s", 0, np.zeros(1, contract.step_dtype()))
    made.close()
    return folder


def test_what_of_the_rows_is_another_s_is_said(tmp_path: Path) -> None:
    folder = journal(tmp_path / "point", POINT)
    costly = msgspec.structs.replace(POINT, cost_terms=("heat",))
    for wanted, expected in (
        (costly, r"environment's: expected 1 cost terms, which the constraints are on; it has 0$"),
        (
            msgspec.structs.replace(costly, observation=POINT.observation[1:]),
            r"expected 3 observations, the previous action included; it has 4; expected 1 cost terms",
        ),
    ):
        with pytest.raises(SandlotError, match=r"^rows\.journal of the prior data .*" + expected):
            list(prior_rows(folder, wanted.step_dtype()))
    other = np.dtype([(name, POINT.step_dtype()[name]) for name in reversed(POINT.step_dtype().names or ())])
    with pytest.raises(SandlotError, match="written by another version"):
        list(prior_rows(folder, other))


def test_a_file_that_is_no_journal_is_refused_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "rows.journal"
    path.write_bytes(b"anything else")
    with pytest.raises(StorageError, match=r"rows\.journal: expected a file of frames"):
        list(prior_rows(tmp_path, POINT.step_dtype()))
    path.unlink()
    FrameFile(path, b"frames").close()
    with pytest.raises(StorageError, match=r"rows\.journal: expected a journal of rows"):
        list(prior_rows(tmp_path, POINT.step_dtype()))
