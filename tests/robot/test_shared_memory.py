"""Mailboxes never show a torn record; rings lose and double nothing, whoever dies."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from robot.errors import SharedMemoryError
from robot.shared_memory import Mailbox, Ring

BIG = np.dtype([("sequence", "<u8"), ("time_ns", "<i8"), ("values", "<f8", (500,))], align=True)
ROW = np.dtype([("sequence", "<u8"), ("value", "<f8")], align=True)


def test_mailbox_holds_the_newest_record(tmp_path: Path) -> None:
    writer = Mailbox(tmp_path / "box", BIG, create=True)
    reader = Mailbox(tmp_path / "box", BIG)
    assert reader.read() is None
    record = np.zeros(1, BIG)
    for k in range(1, 4):
        record["values"] = k
        writer.write(record)
    found = reader.read()
    assert found is not None
    assert (int(found["sequence"][0]), reader.sequence, float(found["values"][0, 0])) == (3, 3, 3.0)


def test_a_torn_record_is_never_shown(tmp_path: Path) -> None:
    box = Mailbox(tmp_path / "box", BIG, create=True)
    record = np.zeros(1, BIG)
    box.write(record)
    box._slots[1][100] ^= 1
    assert box.read() is None


WRITER = """
import sys, numpy as np
from pathlib import Path
from robot.shared_memory import Mailbox
big = np.dtype([("sequence", "<u8"), ("time_ns", "<i8"), ("values", "<f8", (500,))], align=True)
box = Mailbox(Path(sys.argv[1]), big)
record = np.zeros(1, box._dtype)
k = 0
while True:
    k += 1
    record["values"] = k
    box.write(record)
"""


@pytest.mark.slow
def test_concurrent_readers_see_whole_records_even_as_the_writer_is_killed(tmp_path: Path) -> None:
    box = Mailbox(tmp_path / "box", BIG, create=True)
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path / "box")])
    try:
        end = time.monotonic() + 2.0
        seen = 0
        while time.monotonic() < end:
            found = box.read()
            if found is not None:
                values = found["values"][0]
                assert np.all(values == values[0]), "a torn record was shown"
                assert values[0] >= seen
                seen = values[0]
        assert seen > 100
    finally:
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait()


def test_ring_keeps_order_and_says_when_it_is_full(tmp_path: Path) -> None:
    ring = Ring(tmp_path / "ring", ROW, 4, create=True)
    row = np.zeros(1, ROW)
    accepted = []
    for k in range(6):
        row["value"] = k
        accepted.append(ring.push(row))
    assert accepted == [True] * 4 + [False] * 2
    assert ring.dropped == Ring(tmp_path / "ring", ROW, 4).dropped == 2, "whoever comes later sees it too"
    assert ring.peek(3)["value"].tolist() == [0, 1, 2]
    assert ring.peek(9)["value"].tolist() == [0, 1, 2, 3], "peeking must not consume"
    ring.consume(3)
    assert ring.push(row) and ring.written == 5
    assert ring.peek(9)["value"].tolist() == [3, 5]


def test_a_record_that_is_seen_before_it_has_arrived_comes_later(tmp_path: Path) -> None:
    """As on processors that let another core see the cursor before what lies there: the ring's fourth slot
    still has what the record before last left in it."""
    ring = Ring(tmp_path / "ring", ROW, 4, create=True)
    row = np.zeros(1, ROW)
    for k in range(8):
        row["value"] = k
        ring.push(row)
        before = (tmp_path / "ring").read_bytes()
        if k < 4:
            ring.consume(1)
    slot = (len(before) - 64) // 4
    begin = 64 + 2 * slot
    with (tmp_path / "ring").open("r+b") as file:
        arrived = before[begin : begin + slot]
        for late in (bytes(slot), before[64 : 64 + slot], arrived):
            file.seek(begin)
            file.write(late)
            file.flush()
            whole = late == arrived
            assert ring.peek(9)["value"].tolist() == ([4, 5, 6, 7] if whole else [4, 5])
            assert ring.newest(2)["value"].tolist() == ([6, 7] if whole else [7])


def test_a_reader_that_comes_back_goes_on_where_it_was(tmp_path: Path) -> None:
    ring = Ring(tmp_path / "ring", ROW, 8, create=True)
    row = np.zeros(1, ROW)
    for k in range(5):
        row["value"] = k
        ring.push(row)
    Ring(tmp_path / "ring", ROW, 8).consume(2)
    assert Ring(tmp_path / "ring", ROW, 8).peek(9)["value"].tolist() == [2, 3, 4]


def test_another_layout_is_refused(tmp_path: Path) -> None:
    Ring(tmp_path / "ring", ROW, 8, create=True)
    with pytest.raises(SharedMemoryError, match="another layout"):
        Ring(tmp_path / "ring", BIG, 8)
    with pytest.raises(SharedMemoryError, match="does not exist"):
        Mailbox(tmp_path / "none", BIG)


def test_copies_repeat_to_the_last_byte_of_padding(tmp_path: Path) -> None:
    padded = np.dtype([("flag", "u1"), ("value", "<f8")], align=True)
    ring = Ring(tmp_path / "ring", padded, 8, create=True)
    dirty = np.frombuffer(bytes(range(16)), padded)
    for _ in range(8):
        ring.push(dirty)
    for copy in (ring.peek(8), ring.newest(4)):
        assert {row.tobytes() for row in copy} == {ring.peek(1).tobytes()}
        assert ring.peek(1).tobytes()[1:8] == bytes(7)


def test_a_pushed_record_keeps_its_fields_and_no_padding_however_deep(tmp_path: Path) -> None:
    inner = np.dtype([("flag", "?"), ("value", "<f8")], align=True)
    fields = [("count", "u1"), ("pairs", inner, (2, 2)), ("name", "S3"), ("last", "<i8")]
    nested = np.dtype(fields, align=True)
    ring = Ring(tmp_path / "ring", nested, 4, create=True)
    dirty = np.frombuffer(np.random.default_rng(0).integers(1, 255, nested.itemsize, np.uint8), nested)
    by_field = np.zeros(1, nested)
    for name in ("count", "name", "last"):
        by_field[name] = dirty[name]
    for name in ("flag", "value"):
        by_field["pairs"][name] = dirty["pairs"][name]
    assert ring.push(dirty) and ring.push(dirty[0])
    assert ring.peek(2).tobytes() == by_field.tobytes() * 2
