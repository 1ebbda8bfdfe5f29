"""A camera's mounting from poses of the hand, and pictures of a board or its poses in the camera."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from calibration.procedure import CalibrationError, Estimate
from launch.calibrate.offline import board_of, decoded
from robot.layout import Struct
from robot.spec import RobotSpec

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


def hand_eye(path: Path, pictures: Path | None, words: str, spec: RobotSpec) -> Estimate:
    """``pictures``: the folder of those that the file names, if it does; ``words``: of the board, as
    ``--board`` has it; ``spec``: with the camera's intrinsics, for pictures. Raises CalibrationError."""
    from calibration.hand_eye import Poses, estimate

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
    located = locator(path, pictures, words, spec) if any(pair.picture for pair in pairs) else None
    hands = np.array([pair.hand for pair in pairs], np.float64).reshape(-1, 4, 4)
    boards = [located(pair.picture) if located and pair.picture else np.array(pair.board) for pair in pairs]
    return estimate(Poses(hands, np.array(boards, np.float64).reshape(-1, 4, 4)))


def locator(
    path: Path, pictures: Path | None, words: str, spec: RobotSpec
) -> Callable[[str], NDArray[np.float64]]:
    """What finds the board's pose in a picture with this name, shape (4, 4). Raises CalibrationError, as it
    does."""
    from calibration.board import read_images, views_of
    from calibration.camera import board_pose, intrinsics_of

    if pictures is None:
        raise CalibrationError(f"{path} names pictures of the board: give their folder with --images")
    lens = intrinsics_of(spec)
    if lens is None:
        raise CalibrationError(
            "where the board is in a picture follows from the lens, which was not measured: sandlot "
            f"calibrate {spec.name} camera --images FOLDER"
        )
    images = dict(read_images(pictures))
    views = {view.name: view for view in views_of(board_of(words), list(images.items()))}

    def located(name: str) -> NDArray[np.float64]:
        if name not in images:
            raise CalibrationError(f"{path} names {name}, which is not in {pictures}")
        if name not in views:
            raise CalibrationError(
                f"{pictures / name}: too little of the board was found; take that pose out of {path}, or the "
                "picture again"
            )
        return board_pose(views[name], *lens)

    return located
