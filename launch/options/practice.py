"""``sandlot practice``: robot and learner on one machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional

from launch.options.defaults import DEPLOYED, KEYS, View
from launch.options.learning import LearningOptions


@dataclass(frozen=True)
class PracticeOptions(LearningOptions):
    """Let a robot practise, on the twin unless told otherwise.

    Starts the robot's processes and a learner on this machine, shows what happens, ends by itself.

    Example: sandlot practice racer --course oval --minutes 5 --seed 1

    Rehearsal on a robot that is not the twin: sandlot practice racer --surrogate slippery

    Beginning with what you drove: sandlot practice racer --demo demos/oval
    """

    robot: Annotated[str, Positional] = "racer"
    """A robot's name (launch/robots) or its TOML file."""
    course: str = "oval"
    """A course's name (launch/courses) or its TOML file."""
    minutes: float = 20.0
    """Practice time [min], after which the session ends by itself; 0 for no limit."""
    seed: int = 0
    """Seed of every random number in the session."""
    fast: bool = False
    """Twin in lockstep on simulated time: as fast as the learner allows, reproducible from the seed."""
    hardware: bool = False
    """Drive the real robot on the ports its file names, with a held key, instead of the twin."""
    attended: bool = False
    """On the twin: a person enables motion as the robot's file says, instead of a simulated one."""
    world: str | None = None
    """The twin's surroundings: a name (sim/worlds) or a TOML file (default: named like the course)."""
    surrogate: str | None = None
    """Drive another robot than the twin, which nothing onboard is told: a name (sim/surrogates: slippery,
    heavy, worn, late, bicycle, stranger) or a TOML file."""
    redraw: float = 0.0
    """With --fast: every so many seconds the twin becomes another car that the calibration allows, so that
    the policy learns for all of them (0: never)."""
    demonstration_laps: int | None = None
    """Laps of the scripted slow driver before the policy drives; they are the prior data (None: 3, or none
    with --demo)."""
    demo: tuple[Path, ...] = ()
    """Sets, runs or logs of what a person drove (sandlot teleop --record): prior data from the start."""
    policy: Path | None = None
    """An ONNX policy, or a run whose newest it is, to start from until the learner has a better one. On
    hardware: the deployed one's file, or with --bench-override any."""
    bench_override: str = ""
    """On hardware, why an unvalidated --policy may drive: at REDUCED limits, a person holding enable."""
    deployed: Path = DEPLOYED
    """Where deployed bundles are (sandlot deploy)."""
    keys: Path = KEYS
    """Where this machine's keys are kept: whose bundles it trusts."""
    teleop: str | None = None
    """Step in with this input device, as sandlot teleop has it: touch it and you drive, let go and the policy
    does."""
    view: View = "auto"
    """Terminal view: live on a terminal, plain lines otherwise."""
    report: bool = True
    """Make report.html at the end; --no-report: do not."""
