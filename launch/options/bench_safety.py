"""``sandlot bench``: what happens when something fails, and whether anything is stopped wrongly."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional

from launch.options.defaults import LATEST


@dataclass(frozen=True)
class BenchFaultsOptions:
    """Faults of every kind injected while the robot drives, and what becomes of it; resumable.

    Example: sandlot bench faults

    Two of them: sandlot bench faults pilot_silent serial_drop_all_replies --runs 100

    One run again: sandlot bench faults serial_delay --seed 17

    In real time: sandlot bench faults --processes
    """

    cells: Annotated[tuple[str, ...], Positional] = ()
    """Which faults (--list names them); all without any."""
    runs: int | None = None
    """Runs of each, at random moments of random drives; 1000 without it, 60 with --processes."""
    processes: bool = False
    """Processes of a real session stopped, killed, hung and starved, in real time: 80 s for each run of
    all."""
    defect_runs: int = 10
    """Runs of each robot that is defective on purpose and must be caught."""
    seed: int | None = None
    """Only the run of this seed, told in full and not written down."""
    defect: str = ""
    """With --seed: on the defective robot of this name."""
    csv: Path = Path("runs/faults.csv")
    """Rows are appended here; a run that is there is not run again."""
    workers: int = 1
    """Processes to share the work."""
    list: bool = False
    """Only list the faults."""
    json: bool = False
    """Print one flat JSON object on the last line."""


@dataclass(frozen=True)
class BenchKillOptions:
    """What a robot does when a process of its session is killed while it drives, on the twin in real time.

    Example: sandlot bench kill --json
    """

    repeats: int = 3
    """How often each of the five processes is killed."""
    speed: float = 1.5
    """Top speed of the scripted driver meanwhile [m/s]."""
    seed: int = 0
    """Seed of the session and of when exactly the kills come."""
    json: bool = False
    """Print one flat JSON object on the last line."""


@dataclass(frozen=True)
class BenchTeleopOptions:
    """From a person's input to the bytes for the drive, and what a robot does when the input device vanishes.

    Example: sandlot bench teleop --json
    """

    inputs: int = 200
    """How many inputs, some six a second."""
    vanishes: int = 10
    """How often the device vanishes while the robot drives."""
    seed: int = 0
    """Seed of when exactly."""
    json: bool = False
    """Print one flat JSON object on the last line."""


@dataclass(frozen=True)
class BenchCalmOptions:
    """Normal driving on the twin in lockstep with every monitor on: false stops, and margins.

    Example: sandlot bench calm --minutes 120

    An hour of practice with its ordinary bumps: sandlot bench calm --minutes 60 --bumps 4

    Exit code 1 if the safety kernel stopped the robot.
    """

    robot: Annotated[str, Positional] = "racer"
    """A robot's name (launch/robots) or its TOML file."""
    courses: tuple[str, ...] = ("oval", "kidney")
    """Courses, driven in turn."""
    minutes: float = 120.0
    """How long to drive altogether [min]."""
    session_minutes: float = 7.5
    """How long each session is [min]; every one has a car, a driver and a seed of its own."""
    bumps: float = 0.0
    """How often a minute the driver loses its way into a wall; the robot recovers by itself."""
    seed: int = 0
    """The first session's seed; the others count on from it."""
    json: bool = False
    """Print one flat JSON object on the last line."""


@dataclass(frozen=True)
class BenchRefusalsOptions:
    """Bad policies and bundles, made from a good one: who refuses them, and how fast. Resumable.

    It also says how often the good one is refused wrongly.

    Example: sandlot bench refusals runs/racer/latest --csv refusals.csv
    """

    run: Annotated[Path, Positional] = LATEST
    """The run whose policy is the good one: sandlot practice racer --fast --minutes 5.2."""
    policy: Path | None = None
    """The good one, such as one of the run's policies/ that passes the gates (None: its last)."""
    course: str = "oval"
    """Where it practised."""
    other_course: str = "kidney"
    """Where it did not."""
    episodes: int = 160
    """Of a gate: nominal, and as many randomised; the smoke gate's. 59 is the fewest that can pass, without
    any failure."""
    good_seeds: int = 20
    """So many seeds the good policy is asked about with."""
    csv: Path = Path("runs/refusals.csv")
    """An answer a row; what is there is not asked again."""
    json: bool = False
    """Print one flat JSON object on the last line."""


@dataclass(frozen=True)
class BenchRecordingOptions:
    """Recordings killed at random moments and cut at random bytes: what is lost, and what repair saves.

    Example: sandlot bench recording --runs 1000 --csv runs/recording.csv

    Two cameras beside a robot that practises, and the same without: sandlot bench recording --cameras --json
    """

    runs: int = 1000
    """Kills in all, half of them each kind."""
    csv: Path = Path("runs/recording.csv")
    """Rows are appended here; a run that is there is not run again."""
    cameras: bool = False
    """Instead: record two 640 x 480 cameras at 30 Hz beside a learner, in real time: dropped frames, lateness
    of the guardian's loop with and without, bytes a second, shares of a processor."""
    seconds: float = 60.0
    """With --cameras: how long each of the two sessions is [s]."""
    seed: int = 0
    """With --cameras: of both sessions."""
    json: bool = False
    """Print one flat JSON object on the last line."""
