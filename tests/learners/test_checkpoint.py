from __future__ import annotations

import errno
import math
from pathlib import Path

import numpy as np
import pytest

from learners.checkpoint import as_json, from_json, read_checkpoint, write_checkpoint
from robot.errors import SandlotError

ARRAYS = {"w": np.arange(6.0).reshape(2, 3), "bytes": np.arange(5, dtype=np.uint8), "scalar": np.array(2.5)}


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, 3, ARRAYS, {"text": "é", "number": 0.1, "nested": {"a": [1, 2]}})
    arrays, plain = read_checkpoint(tmp_path)
    assert plain == {"text": "é", "number": 0.1, "nested": {"a": [1, 2]}}
    assert set(arrays) == set(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(arrays[name], array)
        assert arrays[name].dtype == array.dtype and arrays[name].shape == array.shape


def test_numbers_that_are_not_finite_come_back_as_they_were(tmp_path: Path) -> None:
    values = {"none": math.nan, "least": math.inf, "most": -math.inf, "error": 0.25, "count": 3}
    write_checkpoint(tmp_path, 1, ARRAYS, {name: as_json(value) for name, value in values.items()})
    found = {name: from_json(value) for name, value in read_checkpoint(tmp_path)[1].items()}
    np.testing.assert_equal(found, values)
    write_checkpoint(tmp_path, 2, ARRAYS, {"bare": math.nan})
    assert math.isnan(from_json(read_checkpoint(tmp_path)[1]["bare"]))


def test_the_last_two_are_kept_and_nothing_else_is_left(tmp_path: Path) -> None:
    for number in (1, 2, 10):
        write_checkpoint(tmp_path, number, ARRAYS, {"number": number})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["000000002.checkpoint", "000000010.checkpoint"]


def test_a_full_disk_loses_nothing_and_keeps_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_checkpoint(tmp_path, 1, ARRAYS, {"number": 1})
    (tmp_path / "000000002.partial").write_bytes(b"what a kill left")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr("os.fsync", full)
        with pytest.raises(OSError, match="No space left"):
            write_checkpoint(tmp_path, 3, ARRAYS, {"number": 3})
    assert [p.name for p in tmp_path.iterdir()] == ["000000001.checkpoint"]
    assert read_checkpoint(tmp_path)[1] == {"number": 1}


@pytest.mark.parametrize("keep", [0, 10, 40, 60, 500, -1])
def test_a_torn_file_is_noticed_and_the_one_before_it_used(tmp_path: Path, keep: int) -> None:
    write_checkpoint(tmp_path, 1, ARRAYS, {"number": 1})
    newest = write_checkpoint(tmp_path, 2, ARRAYS, {"number": 2})
    newest.write_bytes(newest.read_bytes()[:keep])
    assert read_checkpoint(tmp_path)[1] == {"number": 1}
    with pytest.raises(SandlotError, match="expected a whole checkpoint"):
        read_checkpoint(newest)


def test_one_flipped_bit_is_noticed(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path, 1, ARRAYS, {})
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)
    with pytest.raises(SandlotError, match="SHA-256"):
        read_checkpoint(tmp_path)


def test_an_empty_place_is_said_to_be_empty(tmp_path: Path) -> None:
    with pytest.raises(SandlotError, match="there is none"):
        read_checkpoint(tmp_path)
    with pytest.raises(SandlotError, match="expected a whole checkpoint"):
        read_checkpoint(tmp_path / "absent")
