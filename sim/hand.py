"""The hand that picks a car up and sets it down on the track."""

from __future__ import annotations

import numpy as np

from sim.world import World

Pose = tuple[float, float, float]
EXACTNESS = (0.05, 0.05, 0.05)
"""How exactly a person sets a car down: standard deviations of x, y [m] and yaw [rad]; estimate."""


class Hand:
    """Sets a car down in the middle of the track: exactly, or (``rng``) as well as a person can."""

    def __init__(self, world: World, rng: np.random.Generator | None) -> None:
        self._rng = rng
        self._centreline = world.centreline()
        self._headings = world.headings()

    def pose_near(self, x: float, y: float) -> Pose:
        """Where it sets down a car that it picked up at ``x``, ``y`` [m]: x, y [m], yaw [rad]."""
        nearest = int(np.argmin(((self._centreline - (x, y)) ** 2).sum(axis=1)))
        (x, y), yaw = self._centreline[nearest].tolist(), float(self._headings[nearest])
        if self._rng is not None:
            x, y, yaw = (p + self._rng.normal(0.0, s) for p, s in zip((x, y, yaw), EXACTNESS, strict=True))
        return x, y, yaw
