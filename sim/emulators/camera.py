"""A camera that is not there: pictures that turn with the robot, at its rate, through a real one's path."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from robot.camera_spec import Camera
from robot.clock import Clock
from robot.drivers.camera import BUFFERS, Picture, Shot
from robot.drivers.options import known_options
from robot.errors import SpecError
from robot.shared_memory import Mailbox
from sim.emulators.truth import TRUTH, TRUTH_DTYPE

GRAIN = 32
"""Size of the pattern's patches [pixels]."""
NOISE = 4.0
"""Standard deviation of the pattern's grain, of 255: what makes a JPEG of it as large as a real picture's."""
FOCAL = 1.0
"""Focal length of the picture's width: 53 degrees from side to side."""


class SyntheticCamera:
    """Looks ahead, at a cylinder of patches so far away that it turns with the robot and never comes nearer.
    ``port``: the emulated bench's folder, as a session on the twin sets it; without a bench nothing turns.

    A picture is taken at the camera's own instants; one that finds all of the driver's buffers full is lost.
    Option ``late_ms``: a picture is so much older than the driver says, less than a period [ms]. Raises
    SpecError.
    """

    def __init__(self, camera: Camera, clock: Clock) -> None:
        self._camera, self._clock = camera, clock
        self._period_ns = round(1e9 / camera.rate_hz)
        self._late_ns = round(1e6 * float(known_options(camera, {"late_ms": 0.0})["late_ms"]))
        if not 0 <= self._late_ns < self._period_ns:
            raise SpecError(
                f"camera {camera.name}: late_ms is {self._late_ns * 1e-6:g}, expected 0 to less than a "
                f"period, {self._period_ns * 1e-6:.4g} ms"
            )
        self._due_ns = 0
        self._truth: Mailbox | None = None
        width, height, focal = camera.width, camera.height, FOCAL * camera.width
        # Of each pixel: how far right and down of the middle the cylinder is that it looks at [pixels].
        across, down = np.meshgrid(np.arange(width) - width / 2, np.arange(height) - height / 2)
        self._right = (focal * np.arctan(across / focal)).astype(np.float32)
        self._down = (down * focal / np.hypot(across, focal) + height / 2).astype(np.float32)
        self._focal = focal
        self._pattern = _pattern(height, round(math.tau * focal), sum(camera.name.encode()))

    def open(self) -> None:
        self._due_ns = self._clock.now_ns()
        truth = Path(self._camera.port) / TRUTH
        self._truth = Mailbox(truth, TRUTH_DTYPE) if self._camera.port and truth.exists() else None

    def read(self) -> Shot | None:
        self._due_ns += self._period_ns
        waiting = (self._clock.now_ns() - self._due_ns) // self._period_ns
        self._due_ns += max(0, waiting - BUFFERS + 1) * self._period_ns
        self._clock.sleep_until(self._due_ns)
        picture = self._towards(self._heading(self._due_ns))
        self._clock.sleep_until(self._due_ns + self._late_ns)
        return Shot(self._due_ns + self._late_ns, picture)

    def close(self) -> None:
        return

    def _heading(self, now_ns: int) -> float:
        """[rad], from the newest truth, which is a few milliseconds old."""
        record = self._truth.read() if self._truth is not None else None
        if record is None:
            return 0.0
        age_s = (now_ns - int(record["time_ns"][0])) * 1e-9
        return float(record["heading"][0] + record["angular_velocity"][0, 2] * age_s)

    def _towards(self, heading: float) -> Picture:
        right = (self._right - np.float32(self._focal * (heading % math.tau))) % self._pattern.shape[1]
        seen = cv2.remap(self._pattern, right, self._down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
        return np.asarray(seen, np.uint8)


def _pattern(height: int, width: int, seed: int) -> NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    patches = rng.uniform(40, 215, (-(-height // GRAIN), -(-width // GRAIN), 3))
    large = patches.repeat(GRAIN, axis=0).repeat(GRAIN, axis=1)[:height, :width]
    noisy: NDArray[np.uint8] = np.clip(large + rng.normal(0.0, NOISE, large.shape), 0, 255).astype(np.uint8)
    return noisy
