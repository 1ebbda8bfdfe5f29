"""A camera through OpenCV, and what is asked of any: pictures, each with the time at which it was taken."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from robot.camera_spec import Camera
from robot.clock import Clock
from robot.drivers.options import known_options
from robot.errors import PortError, SpecError

Picture = NDArray[np.uint8]
"""(height, width, 3), blue first, as OpenCV has it."""
OLDEST_S: Final = 1.0
"""A driver's own time of capture that lies further back is of another clock [s]."""
BUFFERS: Final = 4
"""Pictures that wait in the driver for whoever is late; OpenCV's own number on V4L2."""
JPEG_START: Final = b"\xff\xd8"


@dataclass(frozen=True)
class Shot:
    """``captured_ns``: monotonic; ``picture``: as it is, or the JPEG that the camera itself made of it."""

    captured_ns: int
    picture: Picture | bytes


class Capture(Protocol):
    """One camera, read by a thread of its own."""

    def open(self) -> None:
        """Raises PortError: which camera, why, and what to do."""

    def read(self) -> Shot | None:
        """Wait for the next picture. None: none came, it may have gone."""

    def close(self) -> None: ...


class OpenCvCamera:
    """``cv2.VideoCapture`` on a V4L2 device, a file or a stream.

    A V4L2 driver says itself when a picture was taken; else it is the moment at which it was here. Option
    ``encoded``: pass the camera's own JPEG on and decode nothing (MJPG cameras; needs V4L2).
    """

    def __init__(self, camera: Camera, clock: Clock) -> None:
        self._camera, self._clock = camera, clock
        self._encoded = bool(known_options(camera, {"encoded": False})["encoded"])
        self._capture: Any = None

    def open(self) -> None:
        cv2, camera = opencv(), self._camera
        video = camera.port.startswith("/dev/")
        capture = cv2.VideoCapture(camera.port, cv2.CAP_V4L2 if video else cv2.CAP_ANY)
        if not capture.isOpened():
            capture.release()
            raise PortError(
                f"camera {camera.name}: {camera.port!r} does not open; is it plugged in, and may this user "
                "read it (group video)? v4l2-ctl --list-devices lists those there are"
            )
        if video:
            for what, value in (
                (cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG")),
                (cv2.CAP_PROP_FRAME_WIDTH, camera.width),
                (cv2.CAP_PROP_FRAME_HEIGHT, camera.height),
                (cv2.CAP_PROP_FPS, camera.rate_hz),
                (cv2.CAP_PROP_BUFFERSIZE, BUFFERS),
                *(((cv2.CAP_PROP_CONVERT_RGB, 0),) if self._encoded else ()),
            ):
                capture.set(what, value)
        self._capture = capture

    def read(self) -> Shot | None:
        if self._capture is None or not self._capture.grab():
            return None
        captured_ns = self._captured_ns()
        fine, picture = self._capture.retrieve()
        if not fine:
            return None
        if self._encoded and picture.size and picture.reshape(-1)[:2].tobytes() == JPEG_START:
            return Shot(captured_ns, picture.tobytes())
        return Shot(captured_ns, picture)

    def close(self) -> None:
        if self._capture is not None:
            self._capture.release()
            self._capture = None

    def _captured_ns(self) -> int:
        """The driver's time, if it is the kernel's monotonic one, on this process's clock; else now."""
        now_ns = self._clock.now_ns()
        if not self._camera.port.startswith("/dev/"):
            return now_ns
        told_s = float(self._capture.get(opencv().CAP_PROP_POS_MSEC)) * 1e-3
        ago_s = time.clock_gettime(time.CLOCK_MONOTONIC) - told_s
        return now_ns - round(ago_s * 1e9) if 0.0 <= ago_s < OLDEST_S else now_ns


def encode(picture: Picture | bytes, quality: int) -> bytes:
    """As JPEG."""
    if isinstance(picture, bytes):
        return picture
    cv2 = opencv()
    fine, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not fine:
        raise SpecError(f"OpenCV encodes no picture of shape {picture.shape} and type {picture.dtype}")
    return bytes(data)


def opencv() -> Any:
    """The module, on one thread. Raises SpecError without it."""
    try:
        import cv2
    except ImportError:
        raise SpecError("a camera needs OpenCV: pip install '.[camera]'") from None
    cv2.setNumThreads(1)
    return cv2
