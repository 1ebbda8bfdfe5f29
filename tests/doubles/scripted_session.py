"""Teleoperated sessions on the twin in simulated time, by a written script for a person."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import tomli_w

from launch.lockstep import practise_lockstep
from launch.manifest import Setup
from launch.session import Session, create_session
from robot.teleop.takes import TakeSettings

SETTLED_S = 3.0
"""Until the simulated operator has armed the robot, after which a script should begin [s]."""


def drive(
    folder: Path,
    steps: list[dict[str, Any]],
    minutes: float,
    setup: Setup | None = None,
    takes: TakeSettings | None = None,
    seed: int = 0,
) -> Session:
    """Drive the script's ``steps`` on the oval, record it, and return the session."""
    script = folder / "script.toml"
    script.write_text(tomli_w.dumps({"steps": steps}))
    made = msgspec.structs.replace(
        setup or Setup(),
        demonstration_laps=0,
        update_ratio=0,
        evaluate_every=0,
        teleop=f"script:{script}",
        takes=takes or TakeSettings(),
    )
    session = create_session(
        "racer", "oval", role="teleop", runs=folder / "runs", twin=True, fast=True, seed=seed,
        minutes=minutes, setup=made,
    )  # fmt: skip
    practise_lockstep(session)
    return session
