"""How a camera's pictures moved while the robot turned: corners followed from each to the next.

Shi and Tomasi 1994 choose the corners, Lucas and Kanade's pyramid (Bouguet 2000) follows them, as OpenCV has
both. The median is the motion: what moves by itself, or is near, has to fill half of the picture to matter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from calibration.camera_clock import Turning, gyroscope
from calibration.drive import Drive, ImageMotion
from robot.image_message import Frame
from robot.log_reader import frames_of

Gray = NDArray[np.uint8]

WIDTH = 480
"""A picture wider than this is decoded at half its size [pixels]: corners move by tenths of them still."""
CORNERS, QUALITY, APART = 100, 0.01, 8
"""At most so many, at least so good of the best, so far apart [pixels]."""
FEWEST = 15
"""Corners that are found again, without which it is not known how a picture moved."""


def with_pictures(drive: Drive, path: Path) -> Drive:
    """A drive with how its cameras' pictures moved, from its run's folder or log file."""
    turns = Turning(gyroscope(drive))
    return replace(
        drive,
        pictures={
            camera.name: image_motion(frames_of(path, camera.name), drive.start_ns, turns)
            for camera in drive.spec.cameras
        },
    )


def image_motion(
    frames: Iterable[Frame], start_ns: int, turns: Callable[[float, float], bool]
) -> ImageMotion:
    """``turns``: whether the robot turns between two times [s]; other pictures are not even decoded."""
    moved: list[tuple[float, float, float, float]] = []
    delivered: list[float] = []
    missing = 0
    seen: tuple[int, Gray] | None = None
    for one, two in pairwise(frames):
        before_s, after_s = ((frame.captured_ns - start_ns) * 1e-9 for frame in (one, two))
        delivered.append((two.received_ns - two.captured_ns) * 1e-9)
        missing += two.number - one.number - 1
        if two.number != one.number + 1 or not turns(before_s, after_s):
            continue
        before = seen[1] if seen is not None and seen[0] == one.number else _decoded(one)
        after = _decoded(two)
        seen = None if after is None else (two.number, after)
        shift = None if before is None or after is None else _shift(before, after)
        if shift is not None:
            moved.append((before_s, after_s, *shift))
    table = np.array(moved).reshape(-1, 4)
    return ImageMotion(table[:, 0], table[:, 1], table[:, 2:], np.array(delivered), missing)


def _decoded(frame: Frame) -> Gray | None:
    """Grey, and small; None for what is no picture."""
    data = np.frombuffer(frame.data, np.uint8)
    picture = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)
    if picture is not None and picture.shape[1] > WIDTH:
        picture = cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    return None if picture is None else np.asarray(picture, np.uint8)


def _shift(before: Gray, after: Gray) -> tuple[float, float] | None:
    corners = cv2.goodFeaturesToTrack(before, CORNERS, QUALITY, APART)
    if corners is None or len(corners) < FEWEST:
        return None
    found, status, _ = cv2.calcOpticalFlowPyrLK(before, after, corners, None)
    moved = (found - corners)[status.ravel() == 1].reshape(-1, 2)
    if len(moved) < FEWEST:
        return None
    right, down = np.median(moved, axis=0)
    return float(right), float(down)
