"""``sandlot course from-demo``: the first demonstrated lap of a run's log becomes a course file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from launch.manifest import load_manifest
from launch.options import FromDemoOptions
from robot.errors import SandlotError
from robot.log_reader import read_log
from robot.messages import Actor
from robot.plain_data import decode_struct
from robot.practice.course import CourseFile, save_course
from robot.practice.demonstration import course_from_trajectory
from robot.recorder import TICKS
from robot.shared_memory import Record
from robot.spec import RobotSpec


def from_demo(options: FromDemoOptions) -> int:
    """Write the course. Raises SandlotError if the run has no demonstrated lap."""
    manifest = load_manifest(options.run)
    spec = decode_struct(manifest.spec, RobotSpec, str(options.run))
    driven_on = decode_struct(manifest.course, CourseFile, str(options.run))
    ticks = read_log(options.run, [TICKS]).ticks
    stretch = slice(None) if options.pushed else demonstration(ticks)
    trajectory = ticks["state"][stretch][:, spec.state_layout["position_world"]][:, :2]
    course = course_from_trajectory(
        trajectory,
        options.name,
        source=f"one demonstration lap of run {options.run.resolve().name}",
        straight_spacing=options.spacing,
        task=driven_on.task,
        options=driven_on.options,
        site=driven_on.site,
    )
    output = options.output or Path(f"{options.name}.toml")
    save_course(course, output)
    print(f"{output}: {course.length:.1f} m, {len(course.file.checkpoints)} checkpoints")
    print(f"practise on it with: sandlot practice {manifest.robot} --course {output}")
    return 0


def demonstration(ticks: Record) -> slice:
    """The first stretch of ticks that a person or a script drove without a break, and that is long enough to
    hold a lap (ten seconds). Raises SandlotError if there is none."""
    shown = np.isin(ticks["actor"], (Actor.SCRIPT, Actor.HUMAN)) & np.isfinite(ticks["state"]).all(axis=1)
    edges = np.flatnonzero(np.diff(np.concatenate(([False], shown, [False])).astype(np.int8)))
    for first, last in zip(edges[::2], edges[1::2], strict=True):
        if (int(ticks["time_ns"][last - 1]) - int(ticks["time_ns"][first])) > 10_000_000_000:
            return slice(int(first), int(last))
    raise SandlotError(
        "this run has no demonstration of ten seconds or more; record one: on the twin, sandlot "
        "practice --demonstration-laps 1; on a robot, push it a lap by hand and add --pushed"
    )
