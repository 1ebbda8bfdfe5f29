"""Procedures on pictures, poses and readings that were taken before: nothing moves."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from calibration.entry import Entry
from calibration.procedure import CalibrationError, Estimate
from launch.options.calibrate import CalibrateOptions
from robot.errors import SandlotError
from robot.plain_data import decode_struct
from robot.spec import RobotSpec

if TYPE_CHECKING:
    from calibration.board import Board

VALID_DAYS: Final[Mapping[str, int]] = {"camera": 180, "hand-eye": 180, "friction": 30, "mass": 180}
"""By procedure: of a camera and its mounting unless something was knocked, of tyres that gather dust, of a
car that carries what it carried."""
T = TypeVar("T")


def source_of(options: CalibrateOptions) -> Path:
    """Where what a procedure needs lies. Raises SandlotError that says what is missing."""
    name = options.procedure or ""
    given = {"camera": options.images, "hand-eye": options.poses}
    asked = {"camera": "--images FOLDER", "hand-eye": "--poses FILE"}
    path = given.get(name, options.readings)
    if path is None or not path.exists():
        raise SandlotError(
            f"{name} is computed from what was taken before: {asked.get(name, '--readings FILE')}, which is "
            f"there. {about(name)}".rstrip()
        )
    return path


def about(name: str) -> str:
    """What a person does for it, where that takes some words."""
    from calibration import friction, mass

    return {"friction": friction.ABOUT, "mass": mass.ABOUT}.get(name, "")


def estimate(options: CalibrateOptions, path: Path, spec: RobotSpec, entries: Sequence[Entry]) -> Estimate:
    """Of one of ``VALID_DAYS``, of a robot with these ``entries``. Raises CalibrationError."""
    if options.procedure == "camera":
        return camera(path, options.board)
    if options.procedure == "hand-eye":
        from launch.calibrate.poses import hand_eye

        return hand_eye(path, options.images, options.board, spec, entries)
    from calibration import friction, mass

    if options.procedure == "friction":
        return friction.estimate(spec, decoded(path, friction.FrictionReadings))
    return mass.estimate(spec, decoded(path, mass.MassReadings))


def decoded(path: Path, kind: type[T]) -> T:
    """A TOML file. Raises CalibrationError, and SpecError for what its readings are not."""
    try:
        return decode_struct(tomllib.loads(path.read_text()), kind, str(path))
    except tomllib.TOMLDecodeError as error:
        raise CalibrationError(f"{path}: not valid TOML: {error}") from None


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


def files_hash(path: Path) -> str:
    """SHA-256 of a file, or of all files of a folder in the order of their names."""
    found = hashlib.sha256()
    for file in sorted(p for p in path.iterdir() if p.is_file()) if path.is_dir() else [path]:
        found.update(file.read_bytes())
    return found.hexdigest()
