"""Pictures of a robot's way, rendered in the twin from poses."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from launch.run_data import Lap, RunData
from robot.interface import load_class
from robot.spec import RobotSpec
from sim.episode_results import Trajectory
from sim.rollout import Setting
from sim.world import World

Image = NDArray[np.uint8]
Poses = NDArray[np.float64]
FRAMES, WIDTH, HEIGHT = 7, 300, 200
LAST_S = 2.0
"""Of an episode, the end is shown: how a failure comes about [s]."""


def lap_strip(run: RunData, lap: Lap) -> list[Image]:
    """Pictures at equal times over a lap from behind the robot, each shape (HEIGHT, WIDTH, 3)."""
    session, part = run.session, run.ticks_of(lap)
    heading = session.spec.state_layout.index("heading")
    ticks = np.linspace(part.start, part.stop - 1, FRAMES + 1)[:-1].astype(int)
    poses = np.column_stack((run.positions[ticks], run.log.ticks["state"][ticks, heading]))
    return strip(session.spec, session.world, poses)


def episode_strip(path: Trajectory, setting: Setting) -> tuple[list[Image], Sequence[float]]:
    """The same of the last ``LAST_S`` of an episode of the batched twin, where it truly was; and when [s]."""
    layout = setting.spec.state_layout
    first = int(np.searchsorted(path.time_s, path.time_s[-1] - LAST_S))
    ticks = np.linspace(first, len(path.time_s) - 1, FRAMES).astype(int)
    where = path.truth[ticks][:, layout["position_world"]][:, :2]
    poses = np.column_stack((where, path.truth[ticks, layout.index("heading")]))
    good = np.isfinite(poses).all(axis=1)
    return strip(setting.spec, setting.world, poses), path.time_s[ticks][good].tolist()


def strip(spec: RobotSpec, world: World | Path, poses: Poses) -> list[Image]:
    """The robot at each of these poses x, y [m], yaw [rad], from behind; where one is not finite, none."""
    from sim.raycast import chase, render

    twin = load_class(spec.twin, f"{spec.name}: twin")(spec, world, np.random.default_rng(0))
    pictures = []
    for x, y, yaw in poses[np.isfinite(poses).all(axis=1)].tolist():
        twin.place((x, y, yaw))
        pictures.append(render(twin.model, twin.data, chase((x, y, yaw)), WIDTH, HEIGHT, samples=2))
    return pictures
