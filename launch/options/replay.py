"""``sandlot replay``: a recorded session once more."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional

from launch.options.defaults import RUNS, View


@dataclass(frozen=True)
class ReplayOptions:
    """A recorded session once more: judged by the safety kernel, or driven by the twin or the robot.

    Example: sandlot replay runs/racer/latest --safety

    What would a lower limit have stopped? Add --set safety.limits.overspeed.upper=4

    And another file of the same robot? sandlot replay log.mcap --safety --spec my.toml --png margins.png

    Is the twin this robot? sandlot replay runs/racer/latest --twin --png twin.png

    The same commands again, under full safety: sandlot replay runs/racer/latest --on racer

    Exit code 0 if every verdict is the logged one, or the twin is the robot; 3 if not. With --on 0 if all of
    it was sent, 1 if not.
    """

    log: Annotated[str, Positional]
    """A run's folder, or a log file of it."""
    safety: bool = False
    """Replay it through the safety kernel."""
    twin: bool = False
    """Replay windows of 0.5 to 5 s on the twin, open loop, against the estimator's own noise floor."""
    on: str | None = None
    """Send one drive's commands again, in the pilot's place, to this robot: its name or TOML file; to its
    twin, unless there is --hardware. Begins where the recording began."""
    hardware: bool = False
    """With --on: the real robot, which a person puts there and enables."""
    fast: bool = False
    """With --on: the twin in lockstep on simulated time."""
    stretch: int | None = None
    """With --on: which drive, from 0; each begins at rest and ends with the pilot's authority (None: the
    longest)."""
    seconds: float = 0.0
    """With --on: only so much of it [s] (0: all)."""
    reduced: bool = False
    """With --on: at the limits of the REDUCED state all the time."""
    surrogate: str | None = None
    """With --on: another robot in the twin's place: a name (sim/surrogates) or a TOML file."""
    world: str | None = None
    """With --on: the twin's surroundings (None: as recorded)."""
    seed: int = 0
    """With --on: seed of the twin's noise."""
    runs: Path = RUNS
    """With --on: where the run's folder is made."""
    view: View = "auto"
    """With --on: terminal view."""
    spec: str | None = None
    """Judge by this robot's name or TOML file in place of the description in the log; with --twin by its
    calibration."""
    set: tuple[str, ...] = ()
    """Values to change, as PATH=VALUE; a limit, sensor or actuator goes by its name, none removes a bound."""
    png: Path | None = None
    """Draw margins and trips over time into this file, or how twin and log part; with --on always, into the
    run's folder if nothing else is said."""
    json: bool = False
    """Print everything as one JSON object on the last line."""
