"""Positions as they are recorded on a stadium: two straights and two half circles."""

from __future__ import annotations

import math

import numpy as np

LENGTH, RADIUS = 5.0, 1.6
LAP = 2 * LENGTH + 2 * math.pi * RADIUS


def stadium(metres: float, start: float = 1.0, noise: float = 0.0, step: float = 0.05) -> np.ndarray:
    """Driven anticlockwise from ``start`` m along the lower straight, shape (n, 2)."""
    points = []
    for s in (start + np.arange(0.0, metres, step)) % LAP:
        half = LENGTH + math.pi * RADIUS
        side, along = divmod(s, half)
        if along < LENGTH:
            x, y = along - LENGTH / 2, -RADIUS
        else:
            angle = (along - LENGTH) / RADIUS - math.pi / 2
            x, y = LENGTH / 2 + RADIUS * math.cos(angle), RADIUS * math.sin(angle)
        points.append((x, y) if side == 0 else (-x, -y))
    return np.array(points) + np.random.default_rng(0).normal(0.0, noise, (len(points), 2))


def off_stadium(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.abs(np.hypot(np.maximum(np.abs(x) - LENGTH / 2, 0.0), y) - RADIUS)
