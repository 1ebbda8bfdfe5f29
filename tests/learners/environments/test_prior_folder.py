"""Prior data is copied whole or not at all."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from small_environment import PointEnvironment

from learners.environments.contract import environment_contract
from learners.environments.prior_folder import copy_prior, prior_rows
from learners.journal import Journal
from robot.contract import TaskContract
from robot.errors import ContractMismatchError, SandlotError, SpecError
from robot.frame_file import FrameFile, StorageError

POINT = environment_contract(PointEnvironment(), "point")


def journal(folder: Path, contract: TaskContract) -> Path:
    """A folder with a journal of one row."""
    made = Journal(folder / "rows.journal", contract.step_dtype())
    made.append("s", 0, np.zeros(1, contract.step_dtype()))
    made.close()
    return folder


def test_a_copy_that_was_killed_is_no_copy_and_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [journal(tmp_path / "runs" / name, POINT) for name in ("a", "b")]
    into, copied = tmp_path / "mine" / "prior", shutil.copyfile

    def killed(source: Path, target: Path) -> None:
        if source.parent.name == "b":
            raise KeyboardInterrupt
        copied(source, target)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(shutil, "copyfile", killed)
        copy_prior(tmp_path / "runs", into, POINT, print)
    assert not into.exists()
    copy_prior(tmp_path / "runs", into, POINT, print)
    theirs = [(run / "rows.journal").read_bytes() for run in runs]
    assert [path.read_bytes() for path in sorted(into.iterdir())] == theirs
    assert [path.name for path in into.parent.iterdir()] == ["prior"]


def test_damaged_and_empty_journals_are_told(tmp_path: Path) -> None:
    made = Journal(tmp_path / "a" / "rows.journal", POINT.step_dtype())
    for sequence in range(5):
        made.append("s", sequence, np.zeros(1, POINT.step_dtype()))
    made.close()
    path = tmp_path / "a" / "rows.journal"
    content = bytearray(path.read_bytes())
    content[-2 * len(content) // 8] ^= 1
    path.write_bytes(content)
    lines: list[str] = []
    copy_prior(tmp_path / "a", tmp_path / "prior", POINT, lines.append)
    assert len(lines) == 1 and f"of its {len(content)} bytes are damaged" in lines[0]
    assert path.read_bytes() == content, "what is somebody else's is left as it is"

    Journal(tmp_path / "b" / "rows.journal", POINT.step_dtype()).close()
    with pytest.raises(SandlotError, match="its journals are empty"):
        copy_prior(tmp_path / "b", tmp_path / "none", POINT, print)
    assert not (tmp_path / "none").exists() and not (tmp_path / ".none.partial").exists()


def told(tmp_path: Path, theirs: TaskContract) -> list[str]:
    """Of the data of another's run in the point's."""
    lines: list[str] = []
    folder = journal(tmp_path / "theirs", theirs)
    (folder / "contract.json").write_bytes(msgspec.json.encode(theirs))
    copy_prior(tmp_path, tmp_path / "mine" / "prior", POINT, lines.append)
    return lines


def test_data_of_the_same_environment_is_taken_without_a_word(tmp_path: Path) -> None:
    seen = np.random.default_rng(0).normal(3.0, 2.0, (9, 2))
    assert told(tmp_path, environment_contract(PointEnvironment(), "point", seen)) == []
    assert (tmp_path / "mine" / "prior" / "000.journal").exists()


def test_that_data_is_of_another_environment_is_said(tmp_path: Path) -> None:
    actions = (msgspec.structs.replace(POINT.actions[0], upper=7.0), *POINT.actions[1:])
    other = msgspec.structs.replace(POINT, task="plane", policy_hz=20.0, actions=actions)
    (line,) = told(tmp_path, other)
    for difference in ("theirs 'plane'", "theirs 20.0", "actions.action_0[1]: ours 3.0, theirs 7.0"):
        assert difference in line


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"cost_terms": ("heat",)}, "cost_terms: ours has 0, theirs 1"),
        ({"actions": POINT.actions[::-1]}, r"actions\[0\]: ours 'action_0', theirs 'action_1'"),
        (
            {
                "observation": (
                    msgspec.structs.replace(POINT.observation[0], name="x"),
                    *POINT.observation[1:],
                )
            },
            r"observation\[0\]: ours 'observation_0', theirs 'x'",
        ),
    ],
)
def test_data_that_means_something_else_is_refused(
    change: dict[str, Any], expected: str, tmp_path: Path
) -> None:
    with pytest.raises(
        ContractMismatchError, match=rf"contract\.json .*others than those of point.*\s+{expected}"
    ):
        told(tmp_path, msgspec.structs.replace(POINT, **change))
    assert not (tmp_path / "mine").exists()


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"task": "point"}'])
def test_a_contract_that_cannot_be_read_is_named(content: bytes, tmp_path: Path) -> None:
    (journal(tmp_path, POINT) / "contract.json").write_bytes(content)
    with pytest.raises(SpecError, match=r"contract\.json: "):
        copy_prior(tmp_path, tmp_path / "mine" / "prior", POINT, print)


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
