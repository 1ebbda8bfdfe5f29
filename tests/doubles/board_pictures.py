"""Pictures of a ChArUco board as a camera with known lens and place takes them."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from calibration.board import Board, Image

SIZE = (640, 480)
MATRIX = np.array([[520.0, 0.0, 331.0], [0.0, 515.0, 236.0], [0.0, 0.0, 1.0]])
DISTORTION = np.array([-0.12, 0.06, 0.002, -0.001, 0.0])
"""k1, k2, p1, p2, k3: a corner of the picture is off by 9 pixels."""
PER_SQUARE = 60

Vector = NDArray[np.float64]


def picture(board: Board, turn: Vector, shift: Vector, rng: np.random.Generator) -> Image:
    """``turn`` (rotation vector) and ``shift`` [m], shape (3,): of the board in the camera's frame. Every
    pixel looks along its own ray, bent as the lens bends it, onto the board's plane; grey beside it."""
    flat = board.charuco().generateImage((board.columns * PER_SQUARE, board.rows * PER_SQUARE))
    column, row = np.meshgrid(np.arange(SIZE[0], dtype=np.float64), np.arange(SIZE[1], dtype=np.float64))
    pixels = np.stack((column.ravel(), row.ravel()), axis=1)[:, None]
    rays = cv2.undistortPoints(pixels, MATRIX, DISTORTION)[:, 0]
    rotation = cv2.Rodrigues(turn)[0]
    plane = np.linalg.inv(np.column_stack((rotation[:, 0], rotation[:, 1], shift)))
    met = plane @ np.column_stack((rays, np.ones(len(rays)))).T
    # A pixel's place is its middle's.
    x, y = (met[k] / met[2] / board.square * PER_SQUARE - 0.5 for k in range(2))
    x, y = (one.reshape(SIZE[::-1]).astype(np.float32) for one in (x, y))
    seen = cv2.remap(flat, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=128)
    noisy = cv2.GaussianBlur(seen, (3, 3), 0.7) + rng.normal(0.0, 2.0, seen.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8)
