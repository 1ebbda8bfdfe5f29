"""The spool holds exactly what was appended, whatever byte the file ends at."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from small_session import STEP, make_rows

from robot.frame_file import DiskFullError, FrameFile, StorageError
from robot.spool import Spool

SEGMENT = 5 * STEP.itemsize


def kill(spool: Spool) -> None:
    """What is left of a spool whose process died: the files, nothing synced, nothing said."""
    for file in spool._files:
        file.close()


class SpoolMachine(RuleBasedStateMachine):
    """Against a plain list: append, sync, trim, reopen, kill, and cut or damage the newest file anywhere."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp())
        self.kept: list[int] = []
        self.next = 0
        self.trimmed = 0

    @initialize()
    def start(self) -> None:
        self.spool = Spool(self.directory, STEP, "s", SEGMENT)

    def reopen(self) -> None:
        kill(self.spool)
        self.spool._files.clear()
        self.spool = Spool(self.directory, STEP, "s", SEGMENT)

    @rule(count=st.integers(1, 4), gap=st.sampled_from([0, 0, 0, 3]))
    def append(self, count: int, gap: int) -> None:
        first = self.next + gap
        self.spool.append(first, make_rows(first, count))
        self.kept += range(first, first + count)
        self.next = first + count

    @rule()
    def sync(self) -> None:
        self.spool.sync()

    @rule(part=st.floats(0, 1))
    def trim(self, part: float) -> None:
        below = round(part * self.next)
        before = self.kept
        self.spool.trim(below)
        self.trimmed = max(self.trimmed, below)
        self.kept = [s for s in before if s >= self.spool.first_sequence]
        assert [s for s in before if s >= below] == [s for s in self.kept if s >= below]

    @rule()
    def kill_and_reopen(self) -> None:
        self.reopen()

    @precondition(lambda self: any(self.directory.iterdir()))
    @rule(part=st.floats(0, 1))
    def cut_anywhere_and_reopen(self, part: float) -> None:
        newest = max(self.directory.iterdir())
        os.truncate(newest, round(part * newest.stat().st_size))
        self.reopen()
        assert self.spool.next_sequence <= self.next
        lost = [s for s in self.kept if s >= max(self.spool.next_sequence, int(newest.stem))]
        assert all(s >= int(newest.stem) for s in lost)
        self.kept = self.kept[: len(self.kept) - len(lost)]
        self.next = self.spool.next_sequence

    @precondition(lambda self: any(self.directory.iterdir()))
    @rule(part=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
    def damage_the_newest_and_reopen(self, part: float, flip: int) -> None:
        newest = max(self.directory.iterdir())
        data = bytearray(newest.read_bytes())
        if not data:
            return
        at = int(part * len(data))
        data[at] ^= flip
        newest.write_bytes(data)
        try:
            self.reopen()
        except StorageError:  # its header: then it is nobody's
            newest.unlink()
            self.spool = Spool(self.directory, STEP, "s", SEGMENT)
        self.kept = [s for s in self.kept if s < max(int(newest.stem), self.spool.next_sequence)]
        self.next = self.spool.next_sequence

    @invariant()
    def holds_exactly_that(self) -> None:
        found: list[int] = []
        sequence = 0
        while True:
            first, rows = self.spool.read(sequence, 3)
            if not len(rows):
                break
            assert rows.tobytes() == make_rows(first, len(rows)).tobytes()
            assert first >= sequence
            found += range(first, first + len(rows))
            sequence = first + len(rows)
        assert found == self.kept
        assert self.spool.next_sequence == self.next
        assert self.spool.first_sequence == (self.kept[0] if self.kept else self.next)

    def teardown(self) -> None:
        kill(self.spool)
        shutil.rmtree(self.directory)


TestSpool = SpoolMachine.TestCase
TestSpool.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)


def test_every_single_cut_leaves_whole_frames(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "a", STEP, "s")
    ends = []
    for first in range(0, 9, 3):
        spool.append(first, make_rows(first, 3))
        ends.append(next((tmp_path / "a").iterdir()).stat().st_size)
    whole = next((tmp_path / "a").iterdir())
    data = whole.read_bytes()
    for size in range(len(data)):
        directory = tmp_path / "cut"
        directory.mkdir()
        (directory / whole.name).write_bytes(data[:size])
        reopened = Spool(directory, STEP, "s")
        assert reopened.next_sequence == 3 * sum(size >= end for end in ends)
        reopened.append(reopened.next_sequence, make_rows(reopened.next_sequence, 1))
        assert Spool(directory, STEP, "s").next_sequence == reopened.next_sequence
        shutil.rmtree(directory)


def test_one_that_is_dropped_keeps_no_file_open(tmp_path: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        spool = Spool(tmp_path, STEP, "s", SEGMENT)
        spool.append(spool.next_sequence, make_rows(spool.next_sequence, 100))
    del spool
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_rows_it_has_already_are_refused(tmp_path: Path) -> None:
    spool = Spool(tmp_path, STEP, "s")
    spool.append(0, make_rows(0, 5))
    with pytest.raises(StorageError, match="in the spool already"):
        spool.append(4, make_rows(4, 1))


def test_a_spool_of_another_session_or_layout_is_refused(tmp_path: Path) -> None:
    Spool(tmp_path, STEP, "s").append(0, make_rows(0, 5))
    with pytest.raises(StorageError, match="another session"):
        Spool(tmp_path, STEP, "t")
    with pytest.raises(StorageError, match="another session"):
        Spool(tmp_path, np.dtype([("sequence", "<u8")]), "s")


def test_trimming_never_takes_a_row_at_or_above_the_mark(tmp_path: Path) -> None:
    spool = Spool(tmp_path, STEP, "s", SEGMENT)
    for first in range(0, 100, 2):
        spool.append(first, make_rows(first, 2))
    files = len(list(tmp_path.iterdir()))
    spool.trim(51)
    assert spool.first_sequence <= 51
    first, rows = spool.read(51, 100)
    assert (first, len(rows)) == (51, 49)
    assert len(list(tmp_path.iterdir())) < files


@contextlib.contextmanager
def small_disk(directory: Path, size_kib: int) -> Iterator[Path]:
    directory.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size_kib}k", "tmpfs", directory],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.decode().strip()}")
    try:
        yield directory
    finally:
        subprocess.run(["umount", "-l", directory], check=True)


@pytest.mark.parametrize("segment", [16 * 1024, 1 << 20])
def test_a_full_disk_is_told_and_leaves_everything_before_it(tmp_path: Path, segment: int) -> None:
    with small_disk(tmp_path / "disk", 64) as disk:
        (disk / "filler").write_bytes(bytes(30_000))
        spool = Spool(disk / "spool", STEP, "s", segment)
        with pytest.raises(DiskFullError, match="free some space"):
            for first in range(0, 10_000, 7):
                spool.append(first, make_rows(first, 7))
        reached = spool.next_sequence
        assert reached > 0
        shutil.copytree(disk / "spool", tmp_path / "copy")
        assert Spool(tmp_path / "copy", STEP, "s").next_sequence == reached
        (disk / "filler").unlink()
        spool.append(reached, make_rows(reached, 7))  # with room again it goes on as if nothing had been
        reopened = Spool(disk / "spool", STEP, "s")
        assert reopened.next_sequence == reached + 7
        for s in range(reached + 7):
            assert reopened.read(s, 1)[1].tobytes() == make_rows(s, 1).tobytes()


def test_an_absent_folder_and_a_read_only_one_are_storage_errors(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot use"):
        FrameFile(tmp_path / "absent" / "x", b"")
