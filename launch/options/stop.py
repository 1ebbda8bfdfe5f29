"""``sandlot stop``: the emergency stop by network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional

from launch.options.defaults import KEYS


@dataclass(frozen=True)
class StopOptions:
    """Stop a robot from another machine: a pressed emergency stop, latched until a person resets it there.

    Example: sandlot stop 192.168.1.30:5590 --key laptop --robot-key racer
    """

    address: Annotated[str, Positional] = "127.0.0.1:5590"
    """HOST:PORT where the robot listens: the port of a network source under [estop] in its file."""
    key: str | None = None
    """Name of this machine's key pair; required off loopback."""
    robot_key: str = "racer"
    """Name under which the robot's public key was allowed here (sandlot keys allow)."""
    keys: Path = KEYS
    """Where this machine's keys are kept."""
    reason: str = "asked for by sandlot stop"
    """Goes into the robot's log."""
    seconds: float = 5.0
    """How long to go on asking until the robot answers that it has stopped [s]."""
    json: bool = False
    """Print the answer as one JSON object on the last line."""
