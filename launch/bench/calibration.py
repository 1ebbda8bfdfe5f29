"""Robots whose parameters are hidden drive, the twin is identified from their logs, and the truth looked up.

Every fourth one is other physics altogether (``sim.bicycle``), which no parameters make the twin into. One
row per parameter and robot; a file that has some goes on where it ended.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import tomli_w
from scipy.stats import binomtest

from calibration.chunks import chunks_of
from calibration.drive import Drive, read_drive
from calibration.identification import Identification
from calibration.procedure import CalibrationError
from calibration.twin_conclusion import conclusion, error
from calibration.twin_parameters import TwinParameter, twin_parameters
from calibration.twin_work import MOST_CHUNKS, TwinWork
from launch.bench.row_file import append, read
from launch.catalogue import find
from launch.lockstep import practise_lockstep
from launch.manifest import Setup
from launch.replay.recording import replayable
from launch.session import create_session
from robot.practice.course import Course
from robot.spec import RobotSpec, load_spec
from robot.teleop.demonstrator import Demonstrator
from robot.teleop.pure_pursuit import tuned
from sim.emulators.line import LineDelay
from sim.estimate_errors import load_errors
from sim.plant import Array
from sim.randomisation import command_delay
from sim.surrogate import Deviation, Surrogate
from sim.validation.twin_validity import divergence, growth, windows_of

MOST_DEVIATES = 2.0
"""Truths are drawn from the priors, within so many standard deviations."""
MOST_DELAY_MS = 4
"""Of commands, more than the wire's own [ms]: with 8 ms a car no longer arms (sim/surrogates/late.toml)."""
BICYCLE_EVERY = 4
WITHOUT_TRUTH = {"sim.bicycle:Bicycle": ("tyre_slip_rate",)}
"""Parameters that have no counterpart in other physics."""
FITTED = 0.7
"""Share of the log that is fitted; the rest judges."""
HELD_WINDOWS = 10
TOLD = 0.5
SPEED = 3.3
"""Of the driver [m/s]: 7 m/s^2 in the oval's bends, two thirds of the usual grip."""


class Practitioner(Demonstrator):
    """A driver at a policy's pace, with a demonstrator's unsteady hand."""

    def __init__(self, spec: RobotSpec, course: Course, speed: float, rng: np.random.Generator) -> None:
        super().__init__(spec, course, speed, rng)
        self._driver = tuned(spec, course, speed)


PRACTITIONER: Final = Setup(
    demonstrator="launch.bench.calibration:Practitioner",
    demonstration_laps=1_000_000,
    demonstration_speed=SPEED,
    evaluate_every=0,
    update_ratio=0,
)
PRACTICE: Final = Setup()
"""A policy from nothing, after three slow laps of a demonstrator."""


@dataclass(frozen=True)
class Row:
    """One parameter of one robot. ``accepted``: ``sandlot calibrate`` would use what was found of the robot;
    ``told``: the data say more of the parameter than the prior; ``held_before``, ``held_after``: errors of
    held-out chunks in residual standard deviations; ``floor_before``, ``floor_after``: of held-out replays,
    in noise floors (``sandlot replay --twin``)."""

    robot: int
    physics: str
    parameter: str
    truth: float
    file: float
    estimate: float
    low: float
    high: float
    accepted: int
    told: int
    deviates: float
    held_before: float
    held_after: float
    floor_before: float
    floor_after: float
    wall_s: float
    cpu_s: float

    @property
    def holds(self) -> bool:
        """The 95 % interval."""
        return self.low <= self.truth <= self.high


def run(
    robots: int,
    seconds: float,
    seed: int,
    path: Path,
    setup: Setup,
    threads: int,
    say: Callable[[str], None],
) -> dict[str, float]:
    """Identify ``robots`` of them, each from a log of ``seconds`` of who drives in ``setup``; the figures of
    all rows in the file."""
    rows = read(path, Row)
    done = {row.robot for row in rows}
    for number in range(robots):
        if number in done:
            continue
        try:
            found = list(identify(number, seconds, seed, setup, threads))
        except CalibrationError as error:
            say(f"robot {number}: refused: {error}")
            continue
        rows += found
        append(path, found)
        one, inside = found[0], sum(row.holds for row in found)
        say(
            f"robot {number} ({one.physics}): replay {one.floor_before:.1f} -> {one.floor_after:.1f} floors, "
            f"{inside} of {len(found)} intervals hold, {one.wall_s:.0f} s"
        )
    return figures(rows)


def hidden(spec: RobotSpec, number: int, seed: int) -> tuple[Surrogate, dict[str, float]]:
    """A robot, and the truth about it by parameter."""
    rng = np.random.default_rng([seed, number, *b"hidden"])
    twin = "sim.bicycle:Bicycle" if number % BICYCLE_EVERY == BICYCLE_EVERY - 1 else ""
    truth: dict[str, float] = {}
    for p in twin_parameters(spec):
        deviate = float(np.clip(rng.standard_normal(), -MOST_DEVIATES, MOST_DEVIATES))
        truth[p.name] = p.at(deviate)
    # What keeps a command keeps the question for what the sensors say, whose time is taken to be known: in a
    # log's own time commands arrive as ever. The emulated firmware hears at whole milliseconds only: of
    # fractions, command and question would each be rounded up.
    delay = 1e-3 * float(rng.integers(0, MOST_DELAY_MS, endpoint=True))
    truth["command_delay"] = command_delay(spec)
    changes = tuple(
        Deviation(name, "drawn", 0.0, value) for name, value in truth.items() if name != "command_delay"
    )
    lines = (LineDelay("vesc", "device", delay, "drawn"),)
    for name in WITHOUT_TRUTH.get(twin, ()):
        del truth[name]
    return Surrogate(f"hidden-{number}", "drawn", twin, changes, lines), truth


def identify(number: int, seconds: float, seed: int, setup: Setup, threads: int) -> Iterator[Row]:
    """Let one drive, fit the first part of its log, and judge by the rest."""
    spec = load_spec(find("robots", "racer"))
    surrogate, truth = hidden(spec, number, seed)
    with tempfile.TemporaryDirectory() as folder:
        whole = recorded(drive(Path(folder), surrogate, seconds, seed + number, setup))
    log = whole.recording
    assert log is not None
    early = np.arange(len(log.usable)) < FITTED * len(log.usable)
    fitted, held = (replace(log, usable=log.usable & part) for part in (early, ~early))
    errors, parameters, work = load_errors(spec), twin_parameters(spec), TwinWork(threads)
    began, began_cpu = time.perf_counter(), time.process_time()
    chunks = chunks_of(spec, errors, [replace(whole, recording=fitted)], 2 * MOST_CHUNKS // 3)
    fit = Identification(spec, chunks, parameters, work).fit()
    wall_s, cpu_s = time.perf_counter() - began, time.process_time() - began_cpu
    judged = chunks_of(spec, errors, [replace(whole, recording=held)], MOST_CHUNKS // 3)
    judge = Identification(spec, judged, parameters, work)
    before, after = judge.residuals(np.zeros((len(parameters), 1)))[0], judge.unexplained(fit)
    values = fit.values()
    windows = windows_of(spec, errors, [held], HELD_WINDOWS)
    floors = []
    for car in ({}, {name: value for name, value in values.items() if name != "command_delay"}):
        told = growth(divergence(spec, errors, windows, threads=threads, truth=car))
        floors.append(max((float(found.ratio.max()) for found in told), default=math.nan))
    remaining = fit.resolved.remaining()
    accepted = all(
        check.passed for check in conclusion(fit, judged, before, after, 1.0 / spec.rates.guardian_hz).checks
    )
    for row, p in enumerate(parameters):
        if p.name in truth:
            low, high = fit.interval(row)
            yield Row(
                robot=number,
                physics=surrogate.twin or "twin",
                parameter=p.name,
                truth=truth[p.name],
                file=p.value,
                estimate=values[p.name],
                low=low,
                high=high,
                accepted=int(accepted),
                told=int(remaining[row] < TOLD),
                deviates=_deviates(p, truth[p.name], float(fit.deviates[row]), float(remaining[row])),
                held_before=error(before, fit.noise),
                held_after=error(after, fit.noise),
                floor_before=floors[0],
                floor_after=floors[1],
                wall_s=wall_s,
                cpu_s=cpu_s,
            )


def _deviates(p: TwinParameter, truth: float, estimate: float, variance: float) -> float:
    """How many of its stated standard deviations the estimate is off."""
    return (estimate - p.deviate(truth)) / math.sqrt(variance)


def recorded(run: Path) -> Drive:
    """A run's driving, prepared for replay."""
    return replayable(*read_drive(run), run)


def drive(folder: Path, surrogate: Surrogate, seconds: float, seed: int, setup: Setup = PRACTITIONER) -> Path:
    """A session of the robot on the oval in lockstep; its folder."""
    file = folder / "surrogate.toml"
    file.write_text(tomli_w.dumps(msgspec.to_builtins(surrogate)))
    session = create_session(
        "racer",
        "oval",
        role="run" if setup.update_ratio == 0 else "practice",
        runs=folder / "runs",
        twin=True,
        fast=True,
        seed=seed,
        minutes=seconds / 60.0,
        surrogate=str(file),
        setup=setup,
    )
    practise_lockstep(session)
    return session.directory


def agrees(inside: int, intervals: int) -> float:
    """Two-sided binomial test of so many intervals that hold against 95 %: its p."""
    return float(binomtest(inside, intervals, 0.95).pvalue) if intervals else math.nan


def figures(rows: list[Row]) -> dict[str, float]:
    """Coverage and errors, the twin's own physics and the other apart. Errors are relative, of parameters
    that the data told."""
    found: dict[str, float] = {"robots": len({row.robot for row in rows})}
    for name, physics in (
        ("twin", [r for r in rows if r.physics == "twin"]),
        ("other", [r for r in rows if r.physics != "twin"]),
    ):
        if not physics:
            continue
        told, used = [r for r in physics if r.told], [r for r in physics if r.accepted]
        inside, right = (sum(row.holds for row in some) for some in (physics, used))
        robots = {r.robot: r for r in physics}.values()

        def middle(column: str, some: list[Row]) -> float:
            return float(np.median([getattr(r, column) for r in some])) if some else math.nan

        relative: Array = np.array([abs(r.estimate / r.truth - 1.0) for r in told])
        before: Array = np.array([abs(r.file / r.truth - 1.0) for r in told])
        found |= {
            f"{name}_robots": len(robots),
            f"{name}_robots_accepted": len({r.robot for r in used}),
            f"{name}_accepted_intervals": len(used),
            f"{name}_accepted_intervals_hold": right,
            f"{name}_accepted_coverage_p": agrees(right, len(used)),
            f"{name}_intervals": len(physics),
            f"{name}_intervals_hold": inside,
            f"{name}_coverage_ratio": inside / len(physics),
            f"{name}_coverage_p": agrees(inside, len(physics)),
            f"{name}_told_ratio": len(told) / len(physics),
            f"{name}_median_error_before_ratio": float(np.median(before)) if len(before) else math.nan,
            f"{name}_median_error_after_ratio": float(np.median(relative)) if len(relative) else math.nan,
            f"{name}_held_out_before_floors": middle("floor_before", list(robots)),
            f"{name}_held_out_after_floors": middle("floor_after", list(robots)),
            f"{name}_median_wall_s": middle("wall_s", list(robots)),
            f"{name}_median_cpu_s": middle("cpu_s", list(robots)),
        }
    return found
