"""Why the robot stopped last, for a person to read: ``first_fault.toml`` in the run's folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tomli_w

from launch.margins import Margins
from robot.errors import SharedMemoryError
from robot.messages import Actor, Cause, SafetyState, fault_dtype
from robot.shared_memory import Mailbox
from robot.spec import RobotSpec

FILE = "first_fault.toml"


def save_first_fault(spec: RobotSpec, board: Path, directory: Path) -> None:
    """Write what the guardian latched last, if anything: the tick in which it happened."""
    try:
        record = Mailbox(board / "first_fault.mailbox", fault_dtype(spec)).read()
    except SharedMemoryError:
        return
    if record is None:
        return
    tick = record["tick"][0]

    def named(names: tuple[str, ...], values: Any) -> dict[str, float]:
        return {name: float(value) for name, value in zip(names, values, strict=True)}

    actuators = spec.actuator_layout.names
    plain: dict[str, Any] = {
        "cause": Cause(int(tick["cause"])).name.lower(),
        "detail": record["detail"][0].decode(errors="replace"),
        "state": SafetyState(int(tick["safety_state"])).name,
        "actor": Actor(int(tick["actor"])).name.lower(),
        "time_s": int(tick["time_ns"]) / 1e9,
        "tick": int(tick["tick"]),
        "policy_version": int(tick["policy_version"]),
        "requested": named(actuators, tick["requested"]),
        "allowed": named(actuators, tick["allowed"]),
        "sent": named(actuators, tick["sent"]),
        "estimate": named(spec.state_layout.names, tick["state"]),
        "deviation": named(spec.state_layout.names, tick["deviation"]),
        "measured": {s.name: named(s.layout.names, tick["measured"][s.name]["values"]) for s in spec.sensors},
        "margins": {
            m.name: f"{m.value:.4g} {m.unit}"
            for m in Margins(spec).nearest_first(np.asarray(tick["margin"], np.float64))
        },
    }
    (directory / FILE).write_text(tomli_w.dumps(plain))
