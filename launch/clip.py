"""Pictures of laps, rendered in the twin from the logged poses."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from launch.run_data import Lap, RunData
from robot.interface import load_class

Image = NDArray[np.uint8]
FRAMES, WIDTH, HEIGHT = 7, 300, 200


def lap_strip(run: RunData, lap: Lap) -> list[Image]:
    """Pictures at equal times over a lap from behind the robot, each shape (HEIGHT, WIDTH, 3)."""
    from sim.raycast import chase, render

    session = run.session
    spec = session.spec
    rng = np.random.default_rng(session.manifest.seed)
    twin = load_class(spec.twin, f"{spec.name}: twin")(spec, session.world, rng)
    heading = spec.state_layout.index("heading")
    part = run.ticks_of(lap)
    pictures = []
    for k in np.linspace(part.start, part.stop - 1, FRAMES + 1)[:-1].astype(int):
        x, y = run.positions[k].tolist()
        yaw = float(run.log.ticks["state"][k, heading])
        if not math.isfinite(x + y + yaw):
            continue
        twin.place((x, y, yaw))
        pictures.append(render(twin.model, twin.data, chase((x, y, yaw)), WIDTH, HEIGHT, samples=2))
    return pictures
