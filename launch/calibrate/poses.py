"""A camera's mounting from poses of the hand, and pictures of a board or its poses in the camera."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from calibration.entry import Entry
from calibration.procedure import CalibrationError, Estimate
from launch.calibrate.offline import board_of, decoded
from robot.layout import Struct
from robot.spec import RobotSpec

if TYPE_CHECKING:
    from calibration.board import View

Rows = tuple[tuple[float, ...], ...]
SQUARE: Final = [4, 4, 4, 4]


class PosePair(Struct):
    """4 x 4 matrices by rows [m]: the ``hand`` in the base's frame, and the ``board`` in the camera's; or, in
    place of that, the name of the ``picture`` of it that was taken there."""

    hand: Rows
    board: Rows = ()
    picture: str = ""


class PoseFile(Struct):
    """TOML: ``[[poses]]`` tables."""

    poses: tuple[PosePair, ...]


def hand_eye(
    path: Path, pictures: Path | None, words: str, spec: RobotSpec, entries: Sequence[Entry] = ()
) -> Estimate:
    """``pictures``: the folder of those that the file names, if it does; ``words``: of the board, as
    ``--board`` has it; ``spec``: with the camera's intrinsics, for pictures, and ``entries``, which they are
    from. Raises CalibrationError."""
    from calibration.camera import Lens, board_pose, lens_of
    from calibration.hand_eye import Poses, estimate, shared_error

    pairs = decoded(path, PoseFile).poses
    for number, pair in enumerate(pairs, 1):
        if bool(pair.board) == bool(pair.picture):
            raise CalibrationError(f"{path}: pose {number} needs one of board and picture")
        for name, rows in (("hand", pair.hand), ("board", pair.board)):
            lengths = [len(row) for row in rows]
            if (rows and lengths != SQUARE) or (not rows and name == "hand"):
                raise CalibrationError(
                    f"{path}: {name} of pose {number} has rows of {lengths} numbers; a 4 x 4 matrix, by "
                    "rows, was expected"
                )
    hands = np.array([pair.hand for pair in pairs], np.float64).reshape(-1, 4, 4)
    if not any(pair.picture for pair in pairs):
        return estimate(Poses(hands, np.array([pair.board for pair in pairs], np.float64).reshape(-1, 4, 4)))
    if pictures is None:
        raise CalibrationError(f"{path} names pictures of the board: give their folder with --images")
    measured = lens_of(spec, entries)
    if measured is None:
        raise CalibrationError(
            "where the board is in a picture follows from the lens, which was not measured: sandlot "
            f"calibrate {spec.name} camera --images FOLDER"
        )
    lens, covariance = measured
    seen = views(path, pictures, words, [pair.picture for pair in pairs if pair.picture])

    def poses(off: NDArray[np.float64]) -> Poses:
        """With the lens off by so much."""
        through = Lens.of(lens.values() + off)
        boards = [
            board_pose(seen[pair.picture], through) if pair.picture else np.array(pair.board)
            for pair in pairs
        ]
        return Poses(hands, np.array(boards))

    return estimate(poses(np.zeros(len(covariance))), partial(shared_error, poses, covariance))


def views(path: Path, pictures: Path, words: str, names: Sequence[str]) -> dict[str, View]:
    """The board in pictures with these names. Raises CalibrationError."""
    from calibration.board import read_images, views_of

    images = dict(read_images(pictures))
    found = {view.name: view for view in views_of(board_of(words), list(images.items()))}
    for name in names:
        if name not in images:
            raise CalibrationError(f"{path} names {name}, which is not in {pictures}")
        if name not in found:
            raise CalibrationError(
                f"{pictures / name}: too little of the board was found; take that pose out of {path}, or the "
                "picture again"
            )
    return found
