"""A camera that is not there: pictures that move, at its rate, through the path that a real one takes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from robot.camera_spec import Camera
from robot.clock import Clock
from robot.drivers.camera import BUFFERS, Picture, Shot

GRAIN = 32
"""Size of the pattern's patches [pixels]."""
NOISE = 4.0
"""Standard deviation of the sensor's noise, of 255: what makes a JPEG of it as large as a real picture's."""
PAN = (83.0, 29.0)
"""How fast the picture moves, right and down [pixels/s]."""


class SyntheticCamera:
    """A window that wanders over a pattern. A picture is taken at the camera's own instants; one that finds
    all of the driver's buffers full is lost."""

    def __init__(self, camera: Camera, clock: Clock) -> None:
        self._camera, self._clock = camera, clock
        self._period_ns = round(1e9 / camera.rate_hz)
        self._due_ns = 0
        pattern = _pattern(camera.height, camera.width, sum(camera.name.encode()))
        self._pattern = np.tile(pattern, (2, 2, 1))

    def open(self) -> None:
        self._due_ns = self._clock.now_ns()

    def read(self) -> Shot | None:
        self._due_ns += self._period_ns
        waiting = (self._clock.now_ns() - self._due_ns) // self._period_ns
        self._due_ns += max(0, waiting - BUFFERS + 1) * self._period_ns
        self._clock.sleep_until(self._due_ns)
        return Shot(self._due_ns, self._window(self._due_ns))

    def close(self) -> None:
        return

    def _window(self, now_ns: int) -> Picture:
        seconds, camera = now_ns * 1e-9, self._camera
        right, down = round(PAN[0] * seconds) % camera.width, round(PAN[1] * seconds) % camera.height
        window = self._pattern[down : down + camera.height, right : right + camera.width]
        return np.ascontiguousarray(window)


def _pattern(height: int, width: int, seed: int) -> NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    patches = rng.uniform(40, 215, (-(-height // GRAIN), -(-width // GRAIN), 3))
    large = patches.repeat(GRAIN, axis=0).repeat(GRAIN, axis=1)[:height, :width]
    noisy: NDArray[np.uint8] = np.clip(large + rng.normal(0.0, NOISE, large.shape), 0, 255).astype(np.uint8)
    return noisy
