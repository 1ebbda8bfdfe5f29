"""``sandlot validate``: may a policy drive?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional

from launch.options.defaults import RESULTS


@dataclass(frozen=True)
class ValidateOptions:
    """Ask the twin whether a policy may drive a robot: many episodes behind the safety kernel, gate by gate.

    Example: sandlot validate runs/racer/latest --robot racer --course oval

    After a new calibration, in two minutes: sandlot validate racer.bundle --gate smoke

    On a course of one's own: sandlot validate runs/racer/latest --course mine.toml --world oval

    Against what is deployed: sandlot validate new.onnx --against deployed.onnx

    Exit code 0 if it passed, 1 if not. The report is what sandlot bundle signs.
    """

    source: Annotated[Path, Positional]
    """A run's folder, an ONNX policy, or a bundle."""
    robot: str = "racer"
    """A robot's name (launch/robots) or its TOML file."""
    course: str | None = None
    """A course's name (launch/courses) or its TOML file (None: the one its bundle was validated on, else
    oval)."""
    world: str | None = None
    """The twin's surroundings: a name (sim/worlds) or a TOML file (default: its
    bundle's, or named like the course)."""
    gate: Literal["smoke", "full"] = "full"
    """How much is tried: everything, or what only the measured values can have changed."""
    episodes: int | None = None
    """How many nominal and as many randomised episodes (None: 400, of the smoke gate 160)."""
    seed: int = 0
    """Seed of every random number: the same seed drives the same episodes."""
    against: Path | None = None
    """The policy that is deployed: it drives the same episodes, and the candidate must not be worse."""
    logs: tuple[Path, ...] = ()
    """Logs or runs of the robot, which the twin must do once more (none: the run's own, if the robot drove
    it)."""
    results: Path = RESULTS
    """The folder of what policies did on twin and robot: this adds a row, and so does sandlot run."""
    surrogate: str | None = None
    """Rehearsal: this surrogate is in the robot's place; the twin is calibrated as its entries say, and held
    against its logs and results."""
    out: Path | None = None
    """The folder for report.json, report.html and episodes.npz (None: validation/ROBOT-COURSE-GATE-HASH)."""
    threads: int = 0
    """Processors to use; 0 takes all. The result is the same."""
    ray: str | None = None
    """Share the episodes out over the Ray cluster at this address (auto: the one that this machine is in).
    The result is the same."""
    json: bool = False
    """Print the report as one JSON object on the last line."""
