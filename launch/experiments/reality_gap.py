"""What calibration is for: policies that practised on the twin as a robot's file has it, on the twin that was
identified from a log of the robot, and on all cars that this calibration allows, each driven on the robot.

Robots are surrogates whose parameters are hidden (``launch.bench.calibration``). Everything in lockstep.
Resumable: identifications, policies and rows that are there are not made again.
"""

from __future__ import annotations

import datetime
import math
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import numpy as np
import tomli_w
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from calibration.book import Book, robot_id
from calibration.twin_conclusion import estimate
from calibration.twin_work import TwinWork
from launch.bench.calibration import drive, hidden, recorded
from launch.bench.crosscheck import drive_policy
from launch.bench.practice import append, rows
from launch.bench.procedures import calibrated_in
from launch.bundle import policy_of
from launch.calibrate.command import entry_of
from launch.catalogue import find
from launch.evaluation import Evaluation
from launch.experiments.cases import keep_picture
from launch.lockstep import practise_lockstep
from launch.manifest import Setup
from launch.session import create_session
from robot.frame_file import write_atomically
from robot.spec import load_spec

ROBOT, COURSE = "racer", "oval"
ROBOTS: Final = (0, 1, 2)
"""Numbers of hidden robots, each with the twin's own physics."""
HIDDEN_SEED: Final = 7
"""Other robots than the calibration's benchmark has."""
LOG_S: Final = 150.0
"""Of driving, from which a robot is identified [s]."""
MINUTES: Final = 6.0
"""Of practice for each policy [min]."""
DRIVEN: Final = 2.0
"""Minutes of each policy on each robot."""
REDRAW_S: Final = 20.0
KNOWN, UNKNOWN = "calibration", "uncalibrated"
"""A robot's folder of entries, and one that is never there."""
VALID: Final = datetime.timedelta(days=3650)

FIGURES: Final = (("laps", 1.0 / DRIVEN), ("lap_median_s", 1.0), ("failures", 1.0 / DRIVEN))
"""Columns that are shown, and what they are multiplied by."""
Floats = NDArray[np.float64]


class Case(NamedTuple):
    """``practice``: on the twin as it is calibrated; ``onboard``: the robot knows its calibration;
    ``redraw_s``: how often the twin becomes another car that it allows [s] (0: never)."""

    practice: bool
    onboard: bool
    redraw_s: float = 0.0


CASES: Final = {
    "file": Case(practice=False, onboard=False),
    "calibrated robot": Case(practice=False, onboard=True),
    "identified twin": Case(practice=True, onboard=True),
    "identified distribution": Case(practice=True, onboard=True, redraw_s=REDRAW_S),
}


def run(csv_file: Path, seeds: Sequence[int], progress: Callable[[str], None]) -> None:
    """A row for each case, robot and seed; a table, and a picture beside the file."""
    home = csv_file.with_suffix("")
    for seed in seeds:
        for number in ROBOTS:
            for name, case in CASES.items():
                key = {"case": name, "robot": str(number), "seed": str(seed)}
                if any(key.items() <= row.items() for row in rows(csv_file)):
                    continue
                robot = identified(home / f"robot_{number}", number, progress)
                policy = practised(home, case, number, seed, progress)
                found = driven(robot, case, policy, seed)
                append(csv_file, key | msgspec.to_builtins(found))
                progress(f"{name}, robot {number}, seed {seed}: {', '.join(found.lines())}")
    Console().print(_table(csv_file))
    keep_picture(csv_file, _drawn(csv_file), progress)


def identified(home: Path, number: int, progress: Callable[[str], None]) -> Path:
    """Drive a hidden robot as its file has it and identify the twin from that: the folder with its
    ``surrogate.toml``, and its entries below ``KNOWN``."""
    file = home / "surrogate.toml"
    surrogate, _ = hidden(load_spec(find("robots", ROBOT)), number, HIDDEN_SEED)
    entries = home / KNOWN
    # Practice is on the robot's twin, which has the robot's entries.
    ids = (robot_id(ROBOT), robot_id(ROBOT, surrogate.name))
    if all(Book(name, entries).history("twin") for name in ids):
        return home
    home.mkdir(parents=True, exist_ok=True)
    write_atomically(file, tomli_w.dumps(msgspec.to_builtins(surrogate)).encode())
    with tempfile.TemporaryDirectory(prefix="sandlot-gap-") as scratch, calibrated_in(home / UNKNOWN):
        log = recorded(drive(Path(scratch), surrogate, LOG_S, HIDDEN_SEED))
        found = estimate([log], TwinWork())
    refused = [check.rule for check in found.checks if not check.passed]
    progress(f"robot {number}: identified" + (f", refused: {', '.join(refused)}" if refused else ""))
    for name in ids:
        Book(name, entries).add(entry_of("twin", VALID, found, "", f"{LOG_S:g} s of {surrogate.name}", name))
    return home


def practised(home: Path, case: Case, number: int, seed: int, progress: Callable[[str], None]) -> Path:
    """The policy of a case; the one that practised on the file's twin is the same for every robot."""
    who = f"robot_{number}" if case.practice else "file"
    path = home / "policies" / f"{who}_{'drawn_' if case.redraw_s else ''}seed_{seed}.onnx"
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    entries = home / f"robot_{number}" / (KNOWN if case.practice else UNKNOWN)
    with tempfile.TemporaryDirectory(prefix="sandlot-gap-") as scratch:
        with calibrated_in(entries):
            session = create_session(
                ROBOT,
                COURSE,
                role="practice",
                runs=Path(scratch),
                twin=True,
                fast=True,
                seed=seed,
                minutes=MINUTES,
                setup=Setup(redraw_s=case.redraw_s),
            )
        practise_lockstep(session)
        write_atomically(path, policy_of(session.directory).read_bytes())
    progress(f"{path.stem}: practised for {MINUTES:g} min")
    return path


def driven(robot: Path, case: Case, policy: Path, seed: int) -> Evaluation:
    """What a policy does on a robot."""
    surrogate, entries = str(robot / "surrogate.toml"), robot / (KNOWN if case.onboard else UNKNOWN)
    with tempfile.TemporaryDirectory(prefix="sandlot-gap-") as scratch, calibrated_in(entries):
        return drive_policy(ROBOT, COURSE, policy, surrogate, DRIVEN, seed, Path(scratch))


def _table(csv_file: Path) -> Table:
    table = Table("case", "laps per minute", "median lap [s]", "failures per minute")
    found = rows(csv_file)
    for case in CASES:
        laps, lap_s, failures = (
            float(np.nanmean(values)) if np.isfinite(values).any() else math.nan
            for values in (_values(found, case, *figure) for figure in FIGURES)
        )
        table.add_row(case, f"{laps:.1f}", f"{lap_s:.2f}", f"{failures:.2f}")
    return table


def _values(found: Sequence[dict[str, str]], case: str, column: str, factor: float) -> Floats:
    """Of a case's policies and robots; not a number where there is no lap to time."""
    return np.array([factor * float(row[column] or "nan") for row in found if row["case"] == case])


def _drawn(csv_file: Path) -> bytes:
    from launch.figures import Dots, dots

    found = rows(csv_file)
    laps, lap_s, failures = ([(case, _values(found, case, *figure)) for case in CASES] for figure in FIGURES)
    return dots(
        "On robots that are not as their file says: a dot for each policy and robot",
        [
            Dots("laps per minute\nwithout a failure", laps),
            Dots("median lap [s]", lap_s, from_zero=False),
            Dots("failures\nper minute", failures),
        ],
    )
