"""A ChArUco board: a chessboard with markers, so that every corner has a number and may be hidden."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from calibration.procedure import CalibrationError
from robot.layout import Struct

Image = NDArray[np.uint8]
Points = NDArray[np.float32]

DICTIONARY = cv2.aruco.DICT_4X4_100
MOST_MARKERS = 100
"""That the dictionary has."""
FEWEST_CORNERS = 12
"""In a view, without which it is left out: twice what a pose needs."""


class Board(Struct):
    """``columns`` x ``rows`` squares of ``square`` [m], markers of ``marker`` [m] in the white ones."""

    columns: int = 8
    rows: int = 6
    square: float = 0.03
    marker: float = 0.022

    def __post_init__(self) -> None:
        corners, markers = (self.columns - 1) * (self.rows - 1), self.columns * self.rows // 2
        if min(self.columns, self.rows) < 2 or corners < FEWEST_CORNERS or markers > MOST_MARKERS:
            raise CalibrationError(
                f"a board of {self.columns} x {self.rows} squares; at least {FEWEST_CORNERS} corners between "
                f"them and at most {MOST_MARKERS} markers, one in every second square, were expected"
            )
        if not 0.0 < self.marker < self.square < math.inf:
            raise CalibrationError(
                f"squares of {self.square:g} m with markers of {self.marker:g} m; markers were expected to "
                "be smaller than the squares that they are in, and both in metres"
            )

    def charuco(self) -> cv2.aruco.CharucoBoard:
        """As OpenCV has it."""
        dictionary = cv2.aruco.getPredefinedDictionary(DICTIONARY)
        return cv2.aruco.CharucoBoard((self.columns, self.rows), self.square, self.marker, dictionary)


class View(Struct):
    """The board in one picture: ``name``; corners in the board's frame [m], shape (n, 3), and in the picture
    [pixels], shape (n, 2)."""

    name: str
    board: Points
    pixels: Points


def read_images(folder: Path) -> list[tuple[str, Image]]:
    """Every picture of a folder, grey, by name. Raises CalibrationError if there is none, or if they differ
    in size."""
    found = []
    for path in sorted(folder.iterdir() if folder.is_dir() else ()):
        if path.suffix.lower() in (".png", ".jpg", ".jpeg", ".bmp", ".tiff"):
            image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
            if image is None:
                raise CalibrationError(f"{path} is no picture that can be read; take it out")
            found.append((path.name, np.asarray(image, np.uint8)))
    if not found:
        raise CalibrationError(f"no pictures in {folder}; PNG or JPEG files of the board were expected")
    sizes = {image.shape for _, image in found}
    if len(sizes) > 1:
        raise CalibrationError(
            f"the pictures in {folder} have several sizes {sorted(sizes)}; one camera has one"
        )
    return found


def views_of(board: Board, images: Sequence[tuple[str, Image]]) -> list[View]:
    """The views in which enough of the board was found."""
    charuco = board.charuco()
    detector = cv2.aruco.CharucoDetector(charuco)
    found = []
    for name, image in images:
        corners, ids, _, _ = detector.detectBoard(image)
        if ids is not None and len(ids) >= FEWEST_CORNERS:
            points, pixels = charuco.matchImagePoints(corners, ids)
            found.append(View(name, points.reshape(-1, 3), pixels.reshape(-1, 2)))
    return found
