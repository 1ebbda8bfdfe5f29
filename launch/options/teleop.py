"""``sandlot teleop``: a person drives."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional

from launch.options.defaults import RUNS, View


@dataclass(frozen=True)
class TeleopOptions:
    """Drive a robot yourself, on the twin unless told otherwise, and record it.

    The robot moves while you have hold of the device: a key of the keyboard, the dead man's button of a
    gamepad. It drives through pilot and guardian like any policy. Keys: arrows drive, space has hold without
    moving; r resets a fault, s stops, x is the software emergency stop, p says that it stands on its start
    line; e ends a take, y and n say whether it was a success, d drops it; t types a note.

    Example: sandlot teleop racer --device keyboard --record demos/oval --episodes 10

    With a gamepad: sandlot teleop racer --device gamepad

    From a phone: sandlot teleop racer --device web:192.168.1.30:8080

    As written down: sandlot teleop racer --device script:lap.toml

    A gamepad or transmitter of another kind, once: sandlot teleop racer --map
    """

    robot: Annotated[str, Positional] = "racer"
    """A robot's name (launch/robots) or its TOML file."""
    device: str = "keyboard"
    """keyboard (this terminal's), gamepad or gamepad:/dev/input/…, web (a page on this machine) or
    web:HOST:PORT (on the local network), script:FILE."""
    map: bool = False
    """Drive nothing: make a mapping for the gamepad, by moving each of its sticks and buttons in turn."""
    course: str = "oval"
    """A course's name (launch/courses) or its TOML file."""
    record: Path | None = None
    """A set of demonstrations: each session of it lies in this folder (default: --runs)."""
    operator: str = ""
    """Who drives: a name or a number, kept with the recording."""
    task: str = ""
    """What the episodes are, in words, kept with the recording: "lap the oval without touching a wall"."""
    episodes: int = 0
    """Takes to keep, after which the session ends by itself; 0 for no end."""
    episode_s: float = 0.0
    """A take ends by itself after this long [s]; 0: it does not."""
    reset_s: float = 0.0
    """Between two takes, to put things back: driving is then not recorded as experience [s]."""
    minutes: float = 0.0
    """The session ends after this long [min]; 0 for no limit."""
    seed: int = 0
    """Seed of the twin's noise."""
    hardware: bool = False
    """Drive the real robot on the ports its file names, instead of the twin."""
    reduced: bool = False
    """Hold the robot at the limits of its REDUCED state all the time: for a first drive, or a guest's."""
    world: str | None = None
    """The twin's surroundings: a name (sim/worlds) or a TOML file (default: named like the course)."""
    surrogate: str | None = None
    """Drive another robot than the twin: a name (sim/surrogates) or a TOML file."""
    runs: Path = RUNS
    """Where the run's folder is made."""
    view: View = "auto"
    """Terminal view: live on a terminal, plain lines otherwise."""
    report: bool = True
    """Make report.html at the end; --no-report: do not."""
    json: bool = False
    """Print the summary as one JSON object on the last line."""
