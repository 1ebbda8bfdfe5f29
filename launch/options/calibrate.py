"""``sandlot calibrate``: measuring a robot."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional

from launch.options.defaults import RUNS, View


@dataclass(frozen=True)
class CalibrateOptions:
    """Measure a robot, which moves behind the safety kernel at REDUCED limits; what is found is kept by date.

    On the twin unless told otherwise, to see what a procedure does: only what the robot itself did becomes
    the robot's. Every procedure says what it needs before anything moves. Entries are kept in
    ~/.local/share/sandlot/calibration, or where $SANDLOT_CALIBRATION says (docs/CALIBRATION.md).

    Example: sandlot calibrate racer --status

    On the robot: sandlot calibrate racer speed --hardware

    From a log that is there: sandlot calibrate racer speed --log runs/racer/latest

    The twin's parameters, from any driving: sandlot calibrate racer twin --log runs/racer/latest

    From hours of driving, on a Ray cluster: sandlot calibrate racer twin --log runs/racer/* --ray auto

    A camera: sandlot calibrate racer camera --images pictures --board 8x6:0.03:0.022

    Where it is mounted: sandlot calibrate racer hand-eye --poses poses.toml --images there

    Mass and friction, from readings: sandlot calibrate racer mass --readings scales.toml

    Rehearsal on a robot that is not as described: sandlot calibrate racer all --surrogate worn

    Exit code 0 if all passed, 3 if something did not; --status: 1 unless everything is valid.
    """

    robot: Annotated[str, Positional] = "racer"
    """A robot's name (launch/robots) or its TOML file."""
    procedure: Annotated[str | None, Positional] = None
    """clock, speed, imu, steering, motor, antenna, twin, or all of those; joints of a robot that has them;
    camera, hand-eye, mass or friction, from files."""
    status: bool = False
    """Say what is valid, expired or missing, and what it changes."""
    suggest: bool = False
    """Say which manoeuvre would tell most about the twin's least certain parameter."""
    drive: bool = False
    """With --suggest: drive that manoeuvre, six times, and identify the twin from it."""
    follow: Path | None = None
    """Show what the procedure knows so far from this run's folder, while it drives in another terminal."""
    compare: tuple[str, str] | None = None
    """Two dates (2026-11-26, or longer), of which the procedure's entries are set side by side."""
    hardware: bool = False
    """Drive the real robot on the ports its file names, with a held key."""
    log: tuple[Path, ...] = ()
    """Compute from these runs' folders or log files instead of driving."""
    images: Path | None = None
    """For camera, and for hand-eye if its file names them: a folder of pictures of a ChArUco board."""
    board: str = "8x6:0.03:0.022"
    """That board: COLUMNSxROWS:SQUARE:MARKER [m], dictionary 4X4_100."""
    poses: Path | None = None
    """For hand-eye: a TOML file of [[poses]], each the hand's 4 x 4 matrix and a picture's name, or the
    board's matrix (docs/CALIBRATION.md)."""
    readings: Path | None = None
    """For mass and friction: a TOML file of what scales, rulers and boards showed (docs/CALIBRATION.md)."""
    ray: str | None = None
    """For twin: the Ray cluster that makes the replays (address, or auto); more of long logs is used then."""
    surrogate: str | None = None
    """Another robot than the twin, with entries of its own: a name (sim/surrogates) or a TOML file."""
    realtime: bool = False
    """On the twin: in real time, through the processes and serial ports that the robot has."""
    course: str = "yard"
    """Where there is room: a course's name (launch/courses) or its TOML file, whose site is kept to."""
    seed: int = 0
    """Seed of the twin's noise."""
    runs: Path = RUNS
    """Where the run's folder is made."""
    view: View = "auto"
    """Terminal view: live on a terminal, plain lines otherwise."""
    json: bool = False
    """Print everything as one JSON object on the last line."""
