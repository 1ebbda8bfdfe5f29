"""A session's log as ``sim.log_windows`` takes it."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from calibration.book import robot_id
from calibration.drive import Drive
from launch import catalogue
from robot.errors import SandlotError, SpecError
from robot.log_reader import Log
from robot.safety.state_machine import AUTHORITY
from robot.spec import RobotSpec
from sim.car import GRAVITY
from sim.log_windows import Flags, Recording
from sim.plant import Array
from sim.world import World, load_world

BUMP = 1.5
"""Of what its tyres can do: a horizontal specific force beyond is something else pushing the car."""
ROOM_M = 0.05
"""Nearer to a wall the estimate does not tell whether the car touches it."""


def recording(spec: RobotSpec, log: Log, room: World | None) -> Recording:
    """``room``: the walls it drove between, None if nobody knows; crashes are seen without them."""
    ticks, layout = log.ticks, spec.state_layout
    states = np.asarray(ticks["state"], np.float64)
    grip = BUMP * spec.scalar("tyre_friction") * GRAVITY
    usable = np.isin(ticks["safety_state"], [int(s) for s in AUTHORITY]) & ticks["converged"]
    usable &= states[:, layout.index("impact")] < grip
    if room is not None:
        usable &= _clear(spec, states[:, layout["position_world"]], states[:, layout.index("heading")], room)
    time_ns = ticks["time_ns"].astype(np.int64)
    return Recording(
        due_ns=ticks["due_ns"].astype(np.int64),
        time_ns=time_ns,
        sent_ns=time_ns + ticks["busy_ns"].astype(np.int64),
        sent=np.asarray(ticks["sent"], np.float64),
        states=states,
        erpm=_erpm(spec, log),
        usable=usable,
    )


def replayable(drive: Drive, log: Log, path: Path) -> Drive:
    """A drive with its recording, between the walls that its log, which lies at ``path``, names."""
    return replace(drive, recording=recording(drive.spec, log, room_of(log, path)[0]))


def robot_of(log: Log, spec: RobotSpec) -> str:
    """The id (``calibration.book``) of the robot, twin or surrogate that drove. A log that does not say
    counts as the twin's."""
    about = tomllib.loads(log.metadata.get("manifest", ""))
    name = str(about.get("surrogate", {}).get("name", ""))
    return robot_id(spec.name, name, twin=about.get("twin") is not False)


def room_of(log: Log, path: Path) -> tuple[World | None, str]:
    """The walls that the robot drove between, None if nobody knows; and what to call the log."""
    plain = tomllib.loads(log.metadata.get("manifest", ""))
    course, stand_in = str(plain.get("course_name", "")), plain.get("surrogate", {}).get("name", "")
    what = f"surrogate {stand_in}" if stand_in else "the twin" if plain.get("twin") else "the robot"
    try:
        room = load_world(catalogue.find("worlds", course))
    except SpecError:
        room = None
    return room, f"{path} ({what}{f' on {course}' if course else ''})"


def _erpm(spec: RobotSpec, log: Log) -> Array:
    """At each tick, between the samples before and after it."""
    for sensor in spec.sensors:
        if "erpm" in sensor.layout.names:
            samples = log.ticks["measured"][sensor.name]
            times, new = np.unique(samples["time_ns"], return_index=True)
            values = samples["values"][new, sensor.layout.index("erpm")]
            return np.asarray(
                np.interp(log.ticks["time_ns"].astype(np.float64), times.astype(np.float64), values)
            )
    raise SandlotError(f"no sensor of {spec.name} reports erpm; the twin replays cars with a VESC")


def _clear(spec: RobotSpec, places: Array, headings: Array, room: World) -> Flags:
    """Whether every corner of the car is clear of the walls."""
    line = cKDTree(room.centreline(0.02))
    middle = (spec.scalar("front_axle") - spec.scalar("rear_axle")) / 2
    half_length, half_width = spec.scalar("length") / 2, spec.scalar("width") / 2
    clear = np.ones(len(places), bool)
    for ahead in (middle + half_length, middle - half_length):
        for aside in (half_width, -half_width):
            cosine, sine = np.cos(headings), np.sin(headings)
            corner = places[:, :2] + np.stack(
                (cosine * ahead - sine * aside, sine * ahead + cosine * aside), -1
            )
            clear &= line.query(corner)[0] < room.half_width - ROOM_M
    return clear
