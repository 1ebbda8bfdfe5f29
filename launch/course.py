"""``sandlot course from-demo``: a lap that a person or a script drove becomes a course file."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from launch.manifest import Manifest, load_manifest
from launch.options.course import FromDemoOptions
from robot.errors import SandlotError
from robot.gravity import STANDARD_GRAVITY
from robot.log_reader import Log, read_log
from robot.messages import Actor
from robot.plain_data import decode_struct
from robot.practice.course import Course, CourseFile, save_course
from robot.practice.demonstration import course_from_trajectory
from robot.practice.driven_laps import find_laps
from robot.recorder import EVENTS, STEPS, TICKS
from robot.shared_memory import Record
from robot.spec import RobotSpec

Array = NDArray[np.float64]
JUMP_M: Final = 0.3
"""From one tick to the next: somebody carried it, or its estimate found itself."""
BACKED_M: Final = 0.2
"""A lap in which the robot drove further backwards than this was interrupted [m]."""


@dataclass(frozen=True)
class Lap:
    """``ticks`` of the log, ``length`` [m], ``seconds``, ``gap`` [m] between its ends, how often the robot
    ``stops`` in it, and what speaks against it (nothing: it is clean)."""

    ticks: slice
    length: float
    seconds: float
    gap: float
    stops: int
    against: str


def from_demo(options: FromDemoOptions) -> int:
    """Write the course and its picture. Raises SandlotError if the run has no lap that closes."""
    manifest = load_manifest(options.run)
    spec = decode_struct(manifest.spec, RobotSpec, str(options.run))
    driven_on = decode_struct(manifest.course, CourseFile, str(options.run))
    log = read_log(options.run, [TICKS, STEPS, EVENTS])
    positions = np.asarray(log.ticks["state"][:, spec.state_layout["position_world"]][:, :2], np.float64)
    driven = pieces(log.ticks, positions, options.pushed)
    laps = [lap for piece in driven for lap in laps_in(spec, log, positions, piece)]
    lap = choose(laps, options.lap) if laps else None
    # Without a lap that closes, the longest drive says how far it came.
    stretch = max(driven, key=lambda p: _way(positions[p])) if lap is None else lap.ticks
    course = course_from_trajectory(
        positions[stretch],
        options.name,
        source=f"one demonstration lap of run {options.run.resolve().name}",
        straight_spacing=options.spacing,
        smoothing_metres=options.smoothing,
        task=driven_on.task,
        options=driven_on.options,
        site=driven_on.site,
    )
    if lap is not None:
        show(Console(), laps, lap)
    output = options.output or Path(f"{options.name}.toml")
    save_course(course, output)
    print(f"{output}: {course.length:.1f} m, {len(course.file.checkpoints)} checkpoints")
    if importlib.util.find_spec("matplotlib") is not None:
        from launch.course_picture import draw

        picture = options.png or output.with_suffix(".png")
        picture.write_bytes(draw(course, [positions[piece] for piece in driven], positions[stretch]))
        print(f"{picture}: the lap, the course and its checkpoints from above")
    print(f"practise on it with: {_practise(manifest, course, output)}")
    return 0


def pieces(ticks: Record, positions: Array, pushed: bool) -> list[slice]:
    """Ticks in a row in which nobody but a person or a script drove, and nobody carried the robot. Letting go
    of it is part of such a drive: it brakes on the lap, and goes on from there. ``pushed``: whoever moved
    it. Raises SandlotError if there is none of ten seconds or more."""
    theirs = np.isin(ticks["actor"], (Actor.SCRIPT, Actor.HUMAN))
    stood = np.isin(ticks["actor"], (Actor.NOBODY, Actor.SAFETY))
    fine = np.isfinite(ticks["state"]).all(axis=1) & (pushed | theirs | stood)
    jumps = np.hypot(*np.diff(positions, axis=0).T) > JUMP_M
    joined = np.concatenate(([False], fine[1:] & fine[:-1] & ~jumps, [False]))
    edges = np.flatnonzero(np.diff(joined.astype(np.int8)))
    found = []
    for first, last in edges.reshape(-1, 2).tolist():
        piece = slice(first, last + 1)
        shown = np.flatnonzero(theirs[piece] | pushed)
        if len(shown):
            piece = slice(first + int(shown[0]), last + 1)
            if _seconds(ticks, piece) > 10.0:
                found.append(piece)
    if not found:
        raise SandlotError(
            "this run has no demonstration of ten seconds or more; record one: sandlot teleop, or sandlot "
            "practice --demonstration-laps 1; on a robot, push it a lap by hand and add --pushed"
        )
    return found


def laps_in(spec: RobotSpec, log: Log, positions: Array, piece: slice) -> list[Lap]:
    """The laps of one drive, each with what speaks against it."""
    ticks, layout = log.ticks, spec.state_layout
    speed = ticks["state"][:, layout.index(spec.stop.standstill)]
    bad = list(bad_takes(log))
    found = []
    for one in find_laps(positions[piece]):
        rows = slice(piece.start + one.first, piece.start + one.last + 1)
        still = np.abs(speed[rows]) < spec.stop.standstill_below
        stops = int((np.diff(still.astype(np.int8)) > 0).sum())
        backed = _way(positions[rows][speed[rows] < -spec.stop.standstill_below])
        hit = 0.0
        if "impact" in layout:
            hit = float(ticks["state"][rows, layout.index("impact")].max()) / STANDARD_GRAVITY
        began, ended = int(ticks["time_ns"][rows.start]), int(ticks["time_ns"][rows.stop - 1])
        takes = [label for first, last, label in bad if first < ended and began < last]
        against = [
            *(["drove backwards"] if backed > BACKED_M else []),
            *([f"hit something ({hit:.0f} g)"] if hit > spec.practice.crash_g else []),
            *takes[:1],
        ]
        found.append(Lap(rows, one.length, _seconds(ticks, rows), one.gap, stops, ", ".join(against)))
    return found


def bad_takes(log: Log) -> Iterable[tuple[int, int, str]]:
    """First and last time [ns] of each take that a person called a failure or dropped, and which."""
    from launch.data.episode import episodes_of
    from launch.data.episode_about import about

    episodes = episodes_of(log.steps) if STEPS in log.arrays else []
    for episode, known in zip(episodes, about(log, episodes), strict=True):
        if known.dropped or known.success is False:
            yield episode.start_ns, episode.end_ns, f"take {known.label}"


def choose(laps: Sequence[Lap], number: int | None) -> Lap:
    """The one asked for, from 1; or of the clean ones (of all, if none is) that with the fewest stops, and of
    those the one that closes best. Raises SandlotError for a number that is not there."""
    if number is not None:
        if not 1 <= number <= len(laps):
            raise SandlotError(f"--lap {number}: the run has laps 1 to {len(laps)}")
        return laps[number - 1]
    clean = [lap for lap in laps if not lap.against]
    return min(clean or laps, key=lambda lap: (lap.stops, lap.gap))


def show(console: Console, laps: Sequence[Lap], chosen: Lap) -> None:
    """Every lap, and which it is."""
    table = Table("lap", "length", "time", "gap", "stops", "", box=None, pad_edge=False)
    for number, lap in enumerate(laps, 1):
        mark = "[green]this one" if lap is chosen else lap.against
        figures = (f"{lap.length:.1f} m", f"{lap.seconds:.1f} s", f"{lap.gap:.2f} m", str(lap.stops))
        table.add_row(str(number), *figures, mark)
    console.print(table)
    if chosen.against:
        console.print(f"[yellow]no lap is clean: this one {chosen.against}[/]; drive one more")


def _practise(manifest: Manifest, course: Course, output: Path) -> str:
    """On the twin the walls stay those it was driven between, which the new course's name does not tell."""
    world = f" --world {Path(manifest.world).stem}" if manifest.world else ""
    return f"sandlot practice {manifest.robot} --course {output}{world}"


def _seconds(ticks: Record, rows: slice) -> float:
    return float(int(ticks["time_ns"][rows.stop - 1]) - int(ticks["time_ns"][rows.start])) * 1e-9


def _way(positions: Array) -> float:
    """How far somebody came [m]."""
    return float(np.hypot(*np.diff(positions, axis=0).T).sum()) if len(positions) > 1 else 0.0
