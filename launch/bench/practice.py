"""How well a robot learns: whole sessions on the twin in lockstep, one row of a CSV each.

Resumable: a row that is there is not run again, so the command can be stopped at any time and repeated.
Drivers: ``learner`` (the session as everybody runs it), and three to compare it with: ``frozen`` (pre-trained
on the demonstrations, then never updated), ``untrained`` (a policy fresh from its seed), and ``pure_pursuit``
(the classical driver with a curvature speed profile, to be beaten).
"""

from __future__ import annotations

import csv
import io
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec

from launch.lockstep import practise_lockstep
from launch.manifest import Setup
from launch.run_data import RunData
from launch.session import create_session
from robot.errors import SandlotError

Driver = Literal["learner", "frozen", "untrained", "pure_pursuit"]
ENDLESS = 1_000_000
"""Demonstration laps of a driver that is the demonstrator for the whole session."""


def run(
    robot: str,
    course: str,
    driver: Driver,
    seed: int,
    minutes: float,
    held_out: float | None,
    csv_file: Path,
    runs: Path,
    keep: bool,
    surrogate: str | None = None,
) -> Mapping[str, object] | None:
    """One session and its row, or None if the file has that row already. ``held_out``: as Setup's.
    ``keep``: leave the run's folder. ``surrogate``: drive that in place of the twin."""
    wanted = {"robot": robot, "course": course, "driver": driver, "seed": seed, "minutes": minutes}
    wanted["held_out"] = Setup(held_out=held_out).learner_config().held_out
    wanted["surrogate"] = surrogate or ""
    known = rows(csv_file)
    if known and "surrogate" not in known[0]:  # made before there were any
        if surrogate:
            raise SandlotError(f"{csv_file} has no column for the surrogate; name a new file with --csv")
        del wanted["surrogate"]
    if any(all(row.get(k) == str(v) for k, v in wanted.items()) for row in known):
        return None
    setup = msgspec.structs.replace(setup_of(driver, robot, course, seed, runs), held_out=held_out)
    session = create_session(
        robot,
        course,
        role="practice",
        runs=runs,
        twin=True,
        fast=True,
        seed=seed,
        minutes=minutes,
        setup=setup,
        surrogate=surrogate,
    )
    began = time.monotonic()
    practise_lockstep(session)
    wall_s = time.monotonic() - began
    summary = RunData(session).summary()
    row = wanted | {k: v for k, v in summary.items() if k not in wanted}
    row |= {"wall_s": round(wall_s, 1), "times_real_time": round(60 * minutes / wall_s, 2)}
    append(csv_file, row)
    if not keep:
        shutil.rmtree(session.directory)
    return row


def setup_of(driver: Driver, robot: str, course: str, seed: int, runs: Path) -> Setup:
    """The session's set-up for each driver."""
    if driver == "learner":
        return Setup()
    if driver == "frozen":
        return Setup(update_ratio=0)
    if driver == "pure_pursuit":
        return Setup(
            update_ratio=0,
            demonstrator="robot.teleop.pure_pursuit:tuned",
            demonstration_laps=ENDLESS,
            demonstration_speed=4.8,  # [m/s], the top of the policy's own range
        )
    return Setup(update_ratio=0, demonstration_laps=0, policy=str(untrained(robot, course, seed, runs)))


def untrained(robot: str, course: str, seed: int, runs: Path) -> Path:
    """Export a policy that has learned nothing."""
    from learners.learner import Learner

    session = create_session(robot, course, role="practice", runs=runs, twin=True, fast=True, seed=seed)
    learner = Learner(session.contract, Setup().learner_config(), seed, session.manifest.calibration_hash)
    path = runs / f"untrained-{seed}.onnx"
    path.write_bytes(learner.export(1))
    shutil.rmtree(session.directory)
    return path.resolve()


def rows(csv_file: Path) -> list[dict[str, str]]:
    """What the file holds so far."""
    if not csv_file.exists():
        return []
    with csv_file.open(newline="") as file:
        return list(csv.DictReader(file))


def append(csv_file: Path, *new: Mapping[str, object]) -> None:
    """Add rows, and the header if the file is new, in one write: a kill leaves no part of a run."""
    csv_file.parent.mkdir(parents=True, exist_ok=True)
    old = rows(csv_file)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(old[0] if old else new[0]), extrasaction="ignore")
    if not old:
        writer.writeheader()
    writer.writerows(new)
    with csv_file.open("a", newline="") as file:
        file.write(text.getvalue())
