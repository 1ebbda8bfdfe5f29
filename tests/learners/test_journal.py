"""The journal gives back every row in the order it came, wherever the file was cut."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_session import STEP, make_rows

from learners.journal import Journal
from robot.frame_file import StorageError


def fill(journal: Journal) -> list[tuple[str, int, int]]:
    batches = [("a", 0, 3), ("b", 0, 2), ("a", 3, 1), ("b", 5, 4), ("a", 4, 2)]
    for session, first, count in batches:
        journal.append(session, first, make_rows(first, count))
    return batches


def test_rows_come_back_in_order_of_arrival_with_their_session(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j", STEP)
    batches = fill(journal)
    assert journal.durable("a") == 0
    journal.sync()
    assert (journal.durable("a"), journal.durable("b"), journal.durable("c")) == (6, 9, 0)
    reopened = Journal(tmp_path / "j", STEP)
    assert [(s, int(rows["sequence"][0]), len(rows)) for s, rows in reopened.replay()] == batches
    for (_, first, count), (_, rows) in zip(batches, reopened.replay(), strict=True):
        assert (rows == make_rows(first, count)).all()
    assert reopened.rows == 12
    assert (reopened.next_sequence("a"), reopened.durable("a")) == (6, 6)
    assert reopened.sessions() == ("a", "b")


def test_cut_anywhere_it_holds_whole_batches_and_never_claims_more(tmp_path: Path) -> None:
    path = tmp_path / "j"
    batches = fill(Journal(path, STEP))
    data = path.read_bytes()
    for size in range(0, len(data), 3):
        path.write_bytes(data[:size])
        journal = Journal(path, STEP)
        found = [(s, int(rows["sequence"][0]), len(rows)) for s, rows in journal.replay()]
        assert found == batches[: len(found)]
        assert journal.rows == sum(count for _, _, count in found)
        assert journal.next_sequence("a") == max([f + c for s, f, c in found if s == "a"], default=0)
        journal._file.close()


@pytest.mark.parametrize("kept", range(6))
def test_what_came_after_a_checkpoint_can_be_forgotten(tmp_path: Path, kept: int) -> None:
    journal = Journal(tmp_path / "j", STEP)
    batches = fill(journal)
    journal.keep(sum(count for _, _, count in batches[:kept]))
    journal.append("c", 0, make_rows(0, 1))
    for found in (journal, Journal(tmp_path / "j", STEP)):
        held = [(s, int(rows["sequence"][0]), len(rows)) for s, rows in found.replay()]
        assert held == [*batches[:kept], ("c", 0, 1)]
        assert found.rows == sum(count for _, _, count in held)
        assert found.next_sequence("a") == max([f + c for s, f, c in held if s == "a"], default=0)


def test_half_a_batch_is_not_kept(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j", STEP)
    batches = fill(journal)
    for rows in (1, 4, 13):
        with pytest.raises(StorageError, match=f"expected to keep {rows} rows"):
            journal.keep(rows)
    assert [len(rows) for _, rows in journal.replay()] == [count for *_, count in batches]
    assert (journal.rows, journal.next_sequence("b")) == (12, 9)


def test_another_layout_is_refused(tmp_path: Path) -> None:
    Journal(tmp_path / "j", STEP)
    with pytest.raises(StorageError, match="another session, task or version"):
        Journal(tmp_path / "j", np.dtype([("x", "<f8")]))
