"""Encoded frames of a log as pictures for LeRobot: which one a step saw, and one video for each episode."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from robot.errors import SandlotError
from robot.image_message import Frame

QUALITY: Final = {"crf": "18", "g": "2"}
"""H.264: visually lossless; every other one a key frame, as LeRobot has it, so that any is found at once."""


def seen(frames: Sequence[Frame], times: NDArray[np.int64], camera: str) -> list[Frame]:
    """The newest frame that had arrived by each time [ns]: what a policy could have seen then. Raises
    SandlotError if there is none yet at the first."""
    arrived = np.array([frame.received_ns for frame in frames], np.int64)
    at = np.searchsorted(arrived, times, side="right") - 1
    if len(at) and at.min(initial=0) < 0:
        raise SandlotError(
            f"camera {camera}: its first frame came {(arrived[0] - times[0]) / 1e9:.2f} s after an episode "
            "began; leave that one out (sandlot data split)"
        )
    return [frames[k] for k in at]


def decode(frame: Frame) -> NDArray[np.uint8]:
    """(height, width, 3), RGB."""
    import av

    try:
        with av.open(BytesIO(frame.data)) as container:
            for picture in container.decode(video=0):
                array: NDArray[np.uint8] = picture.to_ndarray(format="rgb24")
                return array
    except av.error.FFmpegError as error:
        raise SandlotError(f"{frame.camera}: frame {frame.number} is no {frame.format}: {error}") from error
    raise SandlotError(f"{frame.camera}: frame {frame.number} holds no picture")


def encode(path: Path, frames: Sequence[Frame], hz: Fraction) -> None:
    """One video, a picture for each step at the nominal rate: LeRobot finds them by index over rate."""
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        first = decode(frames[0])
        stream: Any = container.add_stream("libx264", rate=hz, options=QUALITY)
        stream.height, stream.width = first.shape[:2]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            picture = av.VideoFrame.from_ndarray(decode(frame), format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
