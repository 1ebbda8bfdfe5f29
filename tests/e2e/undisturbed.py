"""Scenes with a whole session, played again where the machine itself stood still."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from test_practice_session import session_of

from launch.bench.faults_processes import STALLS
from launch.session import Session
from robot.log_reader import read_log
from robot.messages import SafetyState


def undisturbed(scene: Callable[[Path], None], folder: Path) -> None:
    """Play a scene in which nobody disturbs the loops. A machine that stands still for some 50 ms stops the
    robot, as it should, and the person of the scene does not know: if a scene fails, and the robot's own log
    says that it was so, it is played again, three times in all."""
    for k in range(3):
        (folder / str(k)).mkdir()
        try:
            scene(folder / str(k))
            break
        except AssertionError:
            if k == 2 or not stalled(session_of(folder / str(k) / "runs")):
                raise


def stalled(session: Session) -> bool:
    """Whether loops or sensors were late enough to stop a robot that drives, or one that stands: without its
    sensors nobody knows that it does."""
    ticks = read_log(session.directory).ticks
    ticks = ticks[np.maximum.accumulate(ticks["safety_state"] == SafetyState.ACTIVE)]
    silent = [
        (ticks["read_ns"] - ticks["measured"][sensor.name]["time_ns"]) / 1e9 >= sensor.stale_s
        for sensor in session.spec.sensors
        if sensor.required
    ]
    return bool(np.isin(ticks["cause"], STALLS).any() or np.any(silent))
