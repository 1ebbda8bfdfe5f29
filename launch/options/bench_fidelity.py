"""``sandlot bench``: how true the twin, the estimate and the calibration are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional

from launch.options.defaults import RUNS


@dataclass(frozen=True)
class BenchEstimateOptions:
    """How wrong the estimated state is, element by element, on the twin in lockstep.

    Example: sandlot bench estimate --json

    As the file that the validation's error model is read from:
    sandlot bench estimate --out sim/estimates/racer.toml
    """

    drives: int = 8
    """How many scripted drives, each with a car, a course and a speed of its own."""
    seconds: float = 40.0
    """How long each is [s]."""
    seed: int = 0
    """The first drive's seed; the others count on from it."""
    out: Path | None = None
    """Where to write the error model (None: nowhere)."""
    json: bool = False
    """Print one flat JSON object on the last line."""


@dataclass(frozen=True)
class BenchCalibrationOptions:
    """Identify robots whose parameters are hidden from their logs: errors, coverage, and what it took.

    Example: sandlot bench calibration --csv benchmarks/calibration.csv --json

    From five minutes of practice each, walls and recoveries included:
    sandlot bench calibration --practice --seconds 300 --csv practice.csv

    A file that has rows goes on where it ended.
    """

    robots: int = 20
    """How many; every fourth is other physics than the twin's."""
    seconds: float = 60.0
    """How long each drives [s]."""
    practice: bool = False
    """Every robot learns from nothing while it drives, in place of a scripted driver near the limit."""
    seed: int = 0
    """Of the truths and the drives."""
    csv: Path = Path("calibration.csv")
    """A row per robot and parameter."""
    threads: int = 0
    """That step the physics; 0: all processors."""
    json: bool = False
    """Print one flat JSON object on the last line."""


@dataclass(frozen=True)
class BenchProceduresOptions:
    """Do the intervals of the calibration procedures hold, of robots whose parameters are hidden? Resumable.

    Example: sandlot bench procedures --csv benchmarks/procedures.csv --robots 20 --json

    Each robot drives speed, imu, steering, motor and antenna as sandlot calibrate has it. A file that has
    rows goes on where it ended.
    """

    robots: int = 20
    """How many; every fourth is other physics than the twin's."""
    seed: int = 0
    """Of the truths and the drives."""
    csv: Path = Path("procedures.csv")
    """A row per robot and quantity."""
    runs: Path = RUNS
    """Where the robots' entries are kept, for a run that is gone on with."""
    json: bool = False
    """Print one flat JSON object on the last line."""


@dataclass(frozen=True)
class BenchSurrogatesOptions:
    """How far surrogates are from the twin: the same commands sent to each, with nobody correcting.

    Example: sandlot bench surrogates --png surrogates.png
    """

    names: Annotated[tuple[str, ...], Positional] = (
        "bicycle",
        "slippery",
        "heavy",
        "worn",
        "late",
        "stranger",
    )
    """Surrogates: names (sim/surrogates) or TOML files."""
    robot: str = "racer"
    """A robot's name or its TOML file."""
    png: Path | None = None
    """Draw them all into this file."""
    json: bool = False
    """Print one JSON object a car."""


@dataclass(frozen=True)
class BenchCrosscheckOptions:
    """Does the twin's word on policies foretell what they do on surrogates? Resumable.

    Example: sandlot bench crosscheck runs/racer/latest --csv crosscheck.csv --png crosscheck.png
    """

    sources: Annotated[tuple[Path, ...], Positional]
    """ONNX policies, folders of them, or runs."""
    count: int = 5
    """Policies taken from each folder, evenly from the first to the last."""
    surrogates: tuple[str, ...] = ("bicycle", "heavy", "stranger")
    """Surrogates: names (sim/surrogates) or TOML files."""
    robot: str = "racer"
    """A robot's name or its TOML file."""
    course: str = "oval"
    """A course's name or its TOML file."""
    episodes: int = 59
    """On the twin, nominal and as many randomised ones."""
    minutes: float = 1.0
    """On each surrogate [min]."""
    seed: int = 0
    """Seed of every random number."""
    csv: Path = Path("crosscheck.csv")
    """Where the rows go; those that are there are kept."""
    png: Path | None = None
    """Draw twin against surrogates into this file."""
    runs: Path = RUNS
    """Where runs lie while they last."""
    json: bool = False
    """Print one JSON object a surrogate."""
