"""From a camera to its ring: numbered, encoded, and never waited for by anybody who drives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from robot.camera_spec import Camera
from robot.clock import Clock
from robot.drivers.camera import Capture, encode
from robot.errors import PortError
from robot.frame_ring import FrameRing
from robot.image_message import Frame

RETRY_NS: Final = 1_000_000_000
"""Between attempts to open a camera that is absent [ns]."""


class CameraFeeder:
    """``tell(kind, value, text)`` takes what belongs into the log.

    OpenCV does not pass on a camera's own count, so a frame's number is the time since the one before in
    nominal periods, at least one: a picture that never came is a gap, whoever lost it.
    """

    def __init__(
        self,
        camera: Camera,
        capture: Capture,
        ring: FrameRing,
        clock: Clock,
        tell: Callable[[str, float, str], None],
    ) -> None:
        self._camera, self._capture, self._ring, self._clock, self._tell = camera, capture, ring, clock, tell
        last = ring.last()
        self._number, self._captured_ns = (-1, 0) if last is None else (last.number, last.captured_ns)
        self._period_ns = round(1e9 / camera.rate_hz)
        self._latency_ns = round(1e9 * camera.latency_s)
        self._open = False
        self._reason = ""

    def run(self, stop: Callable[[], bool]) -> None:
        """Until ``stop``."""
        try:
            while not stop():
                self.step()
        finally:
            self._capture.close()

    def step(self) -> None:
        """One picture, or one attempt to find the camera. Takes as long as the camera does."""
        if not self._open and not self._find():
            self._clock.sleep_until(self._clock.now_ns() + RETRY_NS)
            return
        began = self._clock.now_ns()
        shot = self._capture.read()
        if shot is None:
            self._open = False
            self._capture.close()
            self._say("it no longer sends pictures")
            return
        captured_ns = shot.captured_ns - self._latency_ns
        gap = (captured_ns - self._captured_ns) * 1e-9 * self._camera.rate_hz
        self._number += max(1, round(gap)) if self._number >= 0 else 1
        self._captured_ns = captured_ns
        data = encode(shot.picture, self._camera.quality)
        name = self._camera.name
        self._ring.push(Frame(name, self._number, captured_ns, self._clock.now_ns(), "jpeg", data))
        # What sends faster than it should (a file, say) may not take more of the processor either.
        self._clock.sleep_until(began + self._period_ns // 2)

    def _find(self) -> bool:
        try:
            self._capture.open()
        except PortError as error:
            self._say(str(error))
            return False
        self._open = True
        self._reason = ""
        self._tell("camera_open", self._camera.rate_hz, self._camera.name)
        return True

    def _say(self, reason: str) -> None:
        """Once for each reason."""
        if reason != self._reason:
            self._reason = reason
            self._tell("camera_lost", float(self._number), f"{self._camera.name}: {reason}")
