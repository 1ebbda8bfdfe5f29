"""What a robot sees with, as its file says it. Cameras are recorded; nothing drives by them."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Final

import msgspec

from robot.errors import SpecError
from robot.layout import Struct

MOST_LATENCY_S: Final = 1.0
"""A picture that is older when it comes is of a stream that nobody steers by [s]."""


class Camera(Struct):
    """``driver`` is ``module:Class``, ``port`` what it opens (a device's path, a file, an address), and
    ``emulator`` what stands in for it on the twin. ``width``, ``height`` [pixels]; ``rate_hz``: pictures a
    second; ``latency_s``: how much older a picture is than its driver says [s], taken off its stamp, as
    ``sandlot calibrate ROBOT clock`` measures it; ``quality``: of the JPEG, 1 to 100."""

    name: str
    driver: str
    width: int
    height: int
    rate_hz: float
    port: str = ""
    emulator: str = ""
    latency_s: float = 0.0
    quality: int = 90
    options: dict[str, float | int | str | bool] = msgspec.field(default_factory=dict)

    @property
    def most_bytes(self) -> int:
        """A third of the picture as it is: no JPEG of a camera is larger."""
        return self.width * self.height


def check_cameras(robot: str, cameras: Sequence[Camera]) -> None:
    """Raise SpecError for a camera that cannot be."""
    names = [camera.name for camera in cameras]
    for camera in cameras:
        if not re.fullmatch(r"[a-z][a-z0-9_]*", camera.name) or names.count(camera.name) > 1:
            raise SpecError(
                f"{robot}: camera {camera.name!r} needs a name of its own, of a-z, 0-9 and _: it is a topic"
            )
        if min(camera.width, camera.height) < 1 or not 0.0 < camera.rate_hz < math.inf:
            raise SpecError(
                f"{robot}: camera {camera.name} needs a width, a height and a rate above 0; got "
                f"{camera.width} x {camera.height} at {camera.rate_hz:g} Hz"
            )
        if not abs(camera.latency_s) < MOST_LATENCY_S:
            raise SpecError(
                f"{robot}: camera {camera.name}: latency_s {camera.latency_s:g}, expected less than "
                f"{MOST_LATENCY_S:g} s"
            )
        if not 1 <= camera.quality <= 100:
            raise SpecError(f"{robot}: camera {camera.name}: quality {camera.quality}, expected 1 to 100")
