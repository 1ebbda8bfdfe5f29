"""``sandlot run``: the deployed policy drives."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional

from launch.options.defaults import DEPLOYED, KEYS, RESULTS, RUNS, View


@dataclass(frozen=True)
class RunOptions:
    """Drive the deployed policy, without exploring or learning, and say how well it did.

    Example: sandlot run racer

    On the twin: sandlot run racer --twin --minutes 2

    Another policy, on the twin freely: sandlot run racer --twin --policy runs/racer/latest

    Exit code 0 if it drove, 1 if it may not: nothing is armed then.
    """

    robot: Annotated[str, Positional] = "racer"
    """A robot's name (launch/robots) or its TOML file."""
    course: str | None = None
    """A course's name (launch/courses) or its TOML file (None: the one it was validated on, else oval)."""
    minutes: float = 5.0
    """How long to drive [min]; 0 for no limit."""
    policy: Path | None = None
    """Instead of the deployed policy: an ONNX file or a run's folder. On a robot only with
    --bench-override."""
    bench_override: str = ""
    """Why a policy that was not validated may drive a robot: at REDUCED limits, a person holding enable. The
    log and the report say so."""
    twin: bool = False
    """Drive the twin behind emulated serial ports instead of the robot."""
    surrogate: str | None = None
    """With --twin: drive another robot in its place, which nothing onboard is told: a name (sim/surrogates)
    or a TOML file."""
    fast: bool = False
    """The twin in lockstep on simulated time."""
    attended: bool = False
    """On the twin: a person enables motion as the robot's file says, instead of a simulated one."""
    world: str | None = None
    """The twin's surroundings: a name (sim/worlds) or a TOML file (default: named like the course)."""
    seed: int = 0
    """Seed of every random number in the session."""
    deployed: Path = DEPLOYED
    """Where deployed bundles are (sandlot deploy)."""
    keys: Path = KEYS
    """Where this machine's keys are kept: whose bundles it trusts."""
    key: str | None = None
    """Name of this machine's key pair, for a robot that others may stop by network (sandlot stop)."""
    runs: Path = RUNS
    """Where the run's folder is made."""
    results: Path = RESULTS
    """The folder of what policies did on twin and robot: this adds a row (not on the twin itself)."""
    view: View = "auto"
    """Terminal view: live on a terminal, plain lines otherwise."""
    report: bool = True
    """Make report.html at the end; --no-report: do not."""
    json: bool = False
    """Print the summary as one JSON object on the last line."""
