"""``sandlot onboard`` and ``operator``: the robot's side alone, and who attends it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional

from launch.options.defaults import DEPLOYED, KEYS, LATEST, RUNS, View


@dataclass(frozen=True)
class OnboardOptions:
    """The robot's side alone, streaming to a learner on another machine.

    Example: sandlot onboard racer --course oval --learner 192.168.1.20:5588 --key racer
    """

    robot: Annotated[str, Positional] = "racer"
    """A robot's name (launch/robots) or its TOML file."""
    course: str = "oval"
    """A course's name (launch/courses) or its TOML file."""
    learner: str = "127.0.0.1:5588"
    """HOST:PORT where the learner takes transitions; its policies come from the next port up."""
    key: str | None = None
    """Name of this machine's key pair (sandlot keys make); required off loopback."""
    learner_key: str = "learner"
    """Name under which the learner's public key was allowed (sandlot keys allow)."""
    keys: Path = KEYS
    """Where this machine's keys are kept."""
    twin: bool = False
    """Drive the twin behind emulated serial ports instead of the robot."""
    attended: bool = False
    """On the twin: a person enables motion as the robot's file says, instead of a simulated one."""
    world: str | None = None
    """The twin's surroundings: a name (sim/worlds) or a TOML file (default: named like the course)."""
    surrogate: str | None = None
    """With --twin: drive another robot in its place, which nothing onboard is told: a name (sim/surrogates:
    slippery, heavy, worn, late, bicycle, stranger) or a TOML file."""
    minutes: float = 20.0
    """Practice time [min]; 0 for no limit."""
    seed: int = 0
    """Seed of every random number on this side."""
    demonstration_laps: int = 3
    """Laps of the scripted slow driver before the policy drives."""
    policy: Path | None = None
    """An ONNX policy, or a run whose newest it is, to start from until the learner has a better one. On
    hardware: the deployed one's file, or with --bench-override any."""
    bench_override: str = ""
    """On hardware, why an unvalidated --policy may drive: at REDUCED limits, a person holding enable."""
    deployed: Path = DEPLOYED
    """Where deployed bundles are (sandlot deploy)."""
    runs: Path = RUNS
    """Where the run's folder is made."""
    view: View = "auto"
    """Terminal view: live on a terminal, plain lines otherwise."""
    report: bool = True
    """Make report.html at the end; --no-report: do not."""
    json: bool = False
    """Print the summary as one JSON object on the last line."""


@dataclass(frozen=True)
class OperatorOptions:
    """Attend a session that runs without a keyboard: enable motion as the robot's file says.

    Held key: hold space. Attendance: space now and then, g to go. Transmitter: its stick, g to go. Always: r
    resets, s stops, x is the software emergency stop.

    Example: sandlot operator
    """

    run: Annotated[Path, Positional] = LATEST
    """The run's folder."""
