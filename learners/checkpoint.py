"""Checkpoint files: arrays and plain data, whole or not at all, and never a pickle."""

from __future__ import annotations

import hashlib
import io
import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from robot.errors import SandlotError
from robot.frame_file import sync_directory

MAGIC = b"SANDLOT CHECKPOINT 1\n"
KEEP = 2
"""How many to keep: the newest, and the one before in case the disk loses the newest."""
_NAME = re.compile(r"(\d{9})\.checkpoint")
_PLAIN = "plain"


def write_checkpoint(
    directory: Path, number: int, arrays: Mapping[str, NDArray[Any]], plain: Mapping[str, Any]
) -> Path:
    """Write ``directory/<number>.checkpoint`` atomically and durably, then delete all but the newest KEEP."""
    buffer = io.BytesIO()
    described = np.frombuffer(msgspec.json.encode(plain), np.uint8)
    np.savez(buffer, allow_pickle=False, **{_PLAIN: described}, **arrays)
    payload = buffer.getbuffer()
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{number:09d}.checkpoint"
    for left in directory.glob("*.partial"):  # by a kill: room on the disk
        left.unlink(missing_ok=True)
    temporary = path.with_suffix(".partial")
    try:
        with temporary.open("wb") as file:
            file.write(MAGIC)
            file.write(hashlib.sha256(payload).digest())
            file.write(payload)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(directory)
    for old in _checkpoints(directory)[:-KEEP]:
        old.unlink(missing_ok=True)
    return path


def has_checkpoint(directory: Path) -> bool:
    """Whether one was ever written there; a folder alone is what an interrupted first one leaves."""
    return any(directory.glob("*.checkpoint"))


def read_checkpoint(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """The arrays and plain data of a checkpoint file, or of the newest whole one in a directory.

    Raises SandlotError: nothing there, or nothing whole, with what was wrong with each.
    """
    candidates = _checkpoints(path)[::-1] if path.is_dir() else [path]
    wrong = []
    for candidate in candidates:
        try:
            return _read(candidate)
        except (OSError, ValueError) as error:
            wrong.append(f"{candidate.name}: {error}")
    raise SandlotError(f"{path}: expected a whole checkpoint; {'; '.join(wrong) or 'there is none'}")


def copy_newest(path: Path, into: Path) -> None:
    """Copy a checkpoint file, or the newest whole one of a directory, to ``into/<number>.checkpoint``."""
    arrays, plain = read_checkpoint(path)
    write_checkpoint(into, 0, arrays, plain)


def as_json(value: Any) -> Any:
    """JSON has neither NaN nor infinities: a float that is one of them as text."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def from_json(value: Any) -> Any:
    """What ``as_json`` was given. Null, which a float that is not finite is written as without it, is NaN."""
    if value is None:
        return math.nan
    return float(value) if isinstance(value, str) else value


def _read(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    content = path.read_bytes()
    if content[: len(MAGIC)] != MAGIC:
        raise ValueError("not a checkpoint of this version")
    digest, payload = content[len(MAGIC) : len(MAGIC) + 32], content[len(MAGIC) + 32 :]
    if hashlib.sha256(payload).digest() != digest:
        raise ValueError("cut short or damaged (SHA-256 differs)")
    with np.load(io.BytesIO(payload), allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    plain: dict[str, Any] = msgspec.json.decode(arrays.pop(_PLAIN).tobytes())
    return arrays, plain


def _checkpoints(directory: Path) -> list[Path]:
    """Checkpoint files by number, oldest first."""
    return sorted(p for p in directory.iterdir() if _NAME.fullmatch(p.name))
