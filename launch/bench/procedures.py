"""Robots whose parameters are hidden are calibrated procedure by procedure, and the truth looked up.

Each robot goes through them in their order, as ``sandlot calibrate ROBOT all --surrogate ROBOT`` has it:
what one found and accepted is what the next builds on. One row per quantity; a file that has some goes on
where it ended.
"""

from __future__ import annotations

import contextlib
import math
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from scipy.stats import binomtest

from calibration.book import ENVIRONMENT, robot_id
from calibration.entry import Entry, vector_of
from launch.bench.procedures_robot import HiddenRobot, accepted_error, hidden_robot
from launch.bench.row_file import append, read
from launch.calibrate.command import CutOffError, conclude, drive
from launch.options.calibrate import CalibrateOptions
from robot.errors import SandlotError
from robot.frame_file import StorageError
from robot.spec import RobotSpec, load_spec
from sim.car import car_parameters

DRIVEN = ("speed", "imu", "steering", "motor", "antenna")
"""In the order in which they build on each other. The clock's has no truth to be held against."""
FOLLOWS = ("wheel_radius", "motor_torque_constant", "drivetrain_efficiency", "gnss_antenna_x")
"""Shown, and not counted again: another row of the same procedure with a value of the file makes them."""
SURE = 0.95
NORMAL = 1.959964
"""Standard deviations either side that a normal interval of that probability has."""


@dataclass(frozen=True)
class Row:
    """One quantity of one robot, in its unit. ``told``: its truth is in the robot's file, which the procedure
    does not ask; ``passed``: the entry's own checks; ``accepted``: the error that the reference accepts (not
    a number: it names none). ``refused``: why nothing was concluded, in a row without quantity."""

    robot: int
    physics: str
    procedure: str
    quantity: str
    told: int
    truth: float
    file: float
    estimate: float
    low: float
    high: float
    passed: int
    accepted: float
    cpu_s: float
    refused: str = ""

    @property
    def holds(self) -> bool:
        """The 95 % interval."""
        return self.low <= self.truth <= self.high

    @property
    def error(self) -> float:
        return self.estimate - self.truth

    @property
    def sigmas(self) -> float:
        """The error in stated standard deviations."""
        return self.error * 2.0 * NORMAL / (self.high - self.low)


@dataclass(frozen=True)
class Line:
    """What the rows of one quantity add up to. ``median_error`` and ``worst_sigmas``: without sign;
    ``accepted``: how many errors are within the reference's bound (None: it names none)."""

    procedure: str
    quantity: str
    n: int
    passed: int
    holds: int
    median_error: float
    mean_sigmas: float
    worst_sigmas: float
    accepted: int | None

    @property
    def coverage(self) -> float:
        return self.holds / self.n


def run(robots: int, seed: int, path: Path, runs: Path, say: Callable[[str], None]) -> list[Row]:
    """Calibrate ``robots`` of them; all rows in the file. Entries are kept in ``runs`` for who goes on."""
    rows = read(path, Row)
    for number in range(robots):
        done = {row.procedure: row for row in rows if row.robot == number}
        missing = [name for name in DRIVEN if name not in done]
        if not missing:
            continue
        hidden = hidden_robot(number, seed)
        with calibrated_in(runs / f"{path.stem}_entries"):
            for name in DRIVEN[: DRIVEN.index(missing[-1]) + 1]:
                if name in done and (done[name].refused or (_entries(hidden) / f"{name}.toml").exists()):
                    continue
                # One whose entry is lost is driven again, with the same end: others build on it.
                found = measure(hidden, number, seed, name)
                if name not in done:
                    append(path, found)
                    rows += found
                say(f"robot {number}, {name}: {told(found)}")
    return rows


@contextlib.contextmanager
def calibrated_in(folder: Path) -> Iterator[None]:
    """Entries are written to and read from a folder that is nobody's."""
    before = os.environ.get(ENVIRONMENT)
    os.environ[ENVIRONMENT] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ[ENVIRONMENT]
        else:
            os.environ[ENVIRONMENT] = before


def _entries(hidden: HiddenRobot) -> Path:
    return Path(os.environ[ENVIRONMENT]) / robot_id(hidden.spec.name, hidden.surrogate.name)


def measure(hidden: HiddenRobot, number: int, seed: int, name: str) -> list[Row]:
    """Let the robot drive a procedure, and hold what it concludes against the truth."""
    for later in DRIVEN[DRIVEN.index(name) :]:  # left behind by who was killed before writing the rows
        (_entries(hidden) / f"{later}.toml").unlink(missing_ok=True)
    # Each procedure finds its own noise, and another bias after another start.
    own = int(np.random.SeedSequence([seed, number, DRIVEN.index(name)]).generate_state(1)[0])
    began, entry, reason = time.process_time(), None, ""
    console = Console(quiet=True)
    with tempfile.TemporaryDirectory() as folder:
        robot, surrogate = hidden.save(Path(folder))
        options = CalibrateOptions(
            robot=str(robot),
            procedure=name,
            surrogate=str(surrogate),
            seed=own,
            runs=Path(folder),
            view="none",
        )
        try:
            entry = conclude(console, load_spec(robot), name, (drive(console, options, name),))
        except (CutOffError, StorageError):
            raise
        except SandlotError as error:
            reason = str(error)
    cpu_s = time.process_time() - began
    physics = hidden.surrogate.twin or "twin"
    if entry is None:
        nothing = math.nan
        return [
            Row(
                number,
                physics,
                name,
                "",
                0,
                nothing,
                nothing,
                nothing,
                nothing,
                nothing,
                0,
                nothing,
                cpu_s,
                reason,
            )
        ]
    return [
        Row(
            robot=number,
            physics=physics,
            procedure=name,
            quantity=quantity,
            told=int(quantity in hidden.told),
            truth=hidden.truth[quantity],
            file=of_file(hidden.spec, quantity),
            estimate=value,
            low=value - NORMAL * sigma,
            high=value + NORMAL * sigma,
            passed=int(entry.passed),
            accepted=accepted_error(hidden.spec, quantity, hidden.truth[quantity]),
            cpu_s=cpu_s,
        )
        for quantity, value, sigma in estimated(entry, hidden.truth)
    ]


def estimated(entry: Entry, truth: dict[str, float]) -> Iterator[tuple[str, float, float]]:
    """Name, value and standard deviation of the entry's quantities, and of its findings that have a truth."""
    for row, quantity in enumerate(entry.quantities):
        yield quantity.name, quantity.value, entry.sigma(row)
    for finding in entry.findings:
        if finding.name in truth:
            yield finding.name, finding.value, finding.sigma


def of_file(spec: RobotSpec, quantity: str) -> float:
    """What the robot's file says, or its twin has without being told; not a number for what neither says."""
    element = vector_of(spec.calibration, quantity)
    if element is not None:
        return element[1][element[2]]
    if quantity in spec.calibration:
        return spec.scalar(quantity)
    return float(getattr(car_parameters(spec), quantity, math.nan))


def told(rows: Sequence[Row]) -> str:
    """Of one procedure of one robot, for a person."""
    if rows[0].refused:
        return f"refused: {rows[0].refused}"
    verdict = "passed" if rows[0].passed else "failed its checks"
    inside = sum(row.holds for row in rows)
    return f"{verdict}, {inside} of {len(rows)} intervals hold, {rows[0].cpu_s:.0f} s of a processor"


def lines(rows: Sequence[Row]) -> list[Line]:
    """A line per quantity, in the order of the procedures."""
    some: dict[tuple[str, str], list[Row]] = {}
    for row in sorted(rows, key=lambda row: DRIVEN.index(row.procedure)):
        if not row.refused:
            some.setdefault((row.procedure, row.quantity), []).append(row)
    found = []
    for (procedure, quantity), mine in some.items():
        sigmas = np.array([row.sigmas for row in mine])
        bounded = [row for row in mine if not math.isnan(row.accepted)]
        found.append(
            Line(
                procedure=procedure,
                quantity=quantity,
                n=len(mine),
                passed=sum(row.passed for row in mine),
                holds=sum(row.holds for row in mine),
                median_error=float(np.median([abs(row.error) for row in mine])),
                mean_sigmas=float(sigmas.mean()),
                worst_sigmas=float(np.abs(sigmas).max()),
                accepted=sum(abs(r.error) <= r.accepted for r in bounded) if bounded else None,
            )
        )
    return found


def figures(rows: Sequence[Row]) -> dict[str, float]:
    """Coverage, pooled over what is not counted twice: of all entries, and of those that passed, which alone
    are ever used. The two-sided binomial test takes quantities for independent."""
    judged = [row for row in rows if not row.refused and row.quantity not in FOLLOWS]
    procedures = {(row.robot, row.procedure): row for row in rows}
    found: dict[str, float] = {
        "robots": len({row.robot for row in rows}),
        "procedures": len(procedures),
        "procedures_refused": sum(bool(row.refused) for row in procedures.values()),
        "procedures_failed": sum(not row.refused and not row.passed for row in procedures.values()),
        "cpu_s": float(sum(row.cpu_s for row in procedures.values())),
    }
    for name, some in (("", judged), ("passed_", [row for row in judged if row.passed])):
        inside = sum(row.holds for row in some)
        found |= {f"{name}intervals": len(some), f"{name}intervals_hold": inside}
        if some:
            found[f"{name}coverage_ratio"] = inside / len(some)
            found[f"{name}coverage_p"] = float(binomtest(inside, len(some), SURE).pvalue)
            found[f"{name}worst_sigmas"] = max(abs(row.sigmas) for row in some)
    for line in lines(rows):
        found[f"{line.quantity}_coverage_ratio"] = line.coverage
        found[f"{line.quantity}_median_error"] = line.median_error
        found[f"{line.quantity}_worst_sigmas"] = line.worst_sigmas
    return found
