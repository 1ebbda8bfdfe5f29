"""Procedures on pictures and poses that were taken before: nothing moves."""

from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from calibration.procedure import CalibrationError, Estimate
from robot.layout import Struct
from robot.plain_data import decode_struct

if TYPE_CHECKING:
    from calibration.board import Board

VALID_DAYS = 180
"""Of a camera and its mounting, unless something was knocked."""
Rows = tuple[tuple[float, ...], ...]


class PosePair(Struct):
    """Two 4 x 4 matrices by rows [m]: the hand in the base's frame, the board in the camera's."""

    hand: Rows
    board: Rows


class PoseFile(Struct):
    """TOML: ``[[poses]]`` tables."""

    poses: tuple[PosePair, ...]


def camera(folder: Path, words: str) -> Estimate:
    """Intrinsics from the pictures in a folder. ``words``: of the board, as ``--board`` has it."""
    from calibration.board import read_images, views_of
    from calibration.camera import estimate

    images = read_images(folder)
    height, width = images[0][1].shape
    return estimate(views_of(board_of(words), images), (width, height))


def board_of(words: str) -> Board:
    """``8x6:0.03:0.022``. Raises CalibrationError."""
    from calibration.board import Board

    try:
        grid, square, marker = words.split(":")
        columns, rows = grid.split("x")
        return Board(int(columns), int(rows), float(square), float(marker))
    except ValueError:
        raise CalibrationError(
            f"--board {words!r}: COLUMNSxROWS:SQUARE:MARKER in metres was expected, such as 8x6:0.03:0.022"
        ) from None


def hand_eye(path: Path) -> Estimate:
    """The camera's mounting from a file of poses."""
    from calibration.hand_eye import Poses, estimate

    try:
        file = decode_struct(tomllib.loads(path.read_text()), PoseFile, str(path))
    except tomllib.TOMLDecodeError as error:
        raise CalibrationError(f"{path}: not valid TOML: {error}") from None
    matrices = [np.array([pair.hand, pair.board], np.float64) for pair in file.poses]
    if any(m.shape != (2, 4, 4) for m in matrices):
        raise CalibrationError(f"{path}: hand and board are 4 x 4 matrices, by rows")
    every = np.array(matrices).reshape(-1, 2, 4, 4)
    return estimate(Poses(every[:, 0], every[:, 1]))


def files_hash(path: Path) -> str:
    """SHA-256 of a file, or of all files of a folder in the order of their names."""
    found = hashlib.sha256()
    for file in sorted(p for p in path.iterdir() if p.is_file()) if path.is_dir() else [path]:
        found.update(file.read_bytes())
    return found.hexdigest()
