"""One session: its folder, its shared memory, and what every process of it must agree on.

``runs/<robot>/<time>/``: ``manifest.toml log.mcap spool/ policies/ learner/ output/ report.html``.
Processes find everything from the folder alone: the manifest holds the robot and the course as resolved
when it was made.
"""

from __future__ import annotations

import datetime
import os
import secrets
import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from launch import catalogue
from launch.manifest import Manifest, git_revision, load_manifest, machine, versions
from robot.board import Board
from robot.contract import TaskContract, task_contract
from robot.errors import SandlotError, SpecError
from robot.interface import load_class
from robot.practice.course import Course, CourseFile, load_course
from robot.spec import OptionValue, RobotSpec, decode_struct, load_spec
from robot.task import Task

SHARED_MEMORY = Path("/dev/shm")


@dataclass(frozen=True)
class Session:
    """``directory``: the run's folder. Everything else follows from its manifest."""

    directory: Path
    manifest: Manifest

    @cached_property
    def spec(self) -> RobotSpec:
        return decode_struct(self.manifest.spec, RobotSpec, str(self.directory))

    @cached_property
    def course(self) -> Course:
        return Course(decode_struct(self.manifest.course, CourseFile, str(self.directory)))

    @cached_property
    def contract(self) -> TaskContract:
        return contract_of(self.spec, self.task())

    def task(self) -> Task:
        """A fresh task: each user of it keeps its own progress."""
        return make_task(self.spec, self.course)

    @property
    def board_directory(self) -> Path:
        """Where the session's mailboxes and rings are: memory where the system has it, else the folder."""
        if SHARED_MEMORY.is_dir() and os.access(SHARED_MEMORY, os.W_OK):
            return SHARED_MEMORY / f"sandlot-{self.manifest.session}"
        return self.directory / "board"

    def board(self, create: bool = False) -> Board:
        return Board(self.board_directory, self.spec, self.contract, create)

    def remove_board(self) -> None:
        shutil.rmtree(self.board_directory, ignore_errors=True)

    @property
    def ports(self) -> Path:
        """Where the emulator's serial ports appear, by device name."""
        return self.board_directory / "ports"

    @property
    def policies(self) -> Path:
        return self.directory / "policies"

    @property
    def spool(self) -> Path:
        return self.directory / "spool"

    @property
    def learner(self) -> Path:
        return self.directory / "learner"

    @property
    def log(self) -> Path:
        return self.directory / "log.mcap"

    @property
    def key_file(self) -> Path:
        """The secret that authenticates this session's streamed policies."""
        return self.directory / "session.key"

    def generator(self, stream: str) -> np.random.Generator:
        """An independent random stream per purpose, from the session's seed."""
        return np.random.default_rng([self.manifest.seed, *stream.encode()])


def open_session(directory: Path) -> Session:
    """The session of a run's folder. Raises SandlotError if it is none."""
    return Session(directory.resolve(), load_manifest(directory))


def create_session(
    robot: str,
    course: str,
    *,
    role: str,
    runs: Path,
    twin: bool,
    fast: bool = False,
    seed: int = 0,
    minutes: float = 0.0,
    options: dict[str, OptionValue] | None = None,
    key: bytes | None = None,
) -> Session:
    """Make a run's folder and its manifest. Raises SpecError for an unknown robot or course."""
    spec_path, course_path = catalogue.find("robots", robot), catalogue.find("courses", course)
    session = f"{secrets.token_hex(6)}"
    spec = load_spec(spec_path)
    course_data = load_course(course_path)
    if twin:
        spec = on_twin(spec, SHARED_MEMORY / f"sandlot-{session}" / "ports")
    elif spec.enable.source == "simulated_operator":
        raise SpecError(
            f"{spec_path}: enable.source is simulated_operator, which is for the twin only; name who enables "
            "motion on the robot: held_key, transmitter or attendance"
        )
    now = datetime.datetime.now(datetime.UTC)
    directory = _folder(runs / spec.name, now)
    contract = contract_of(spec, make_task(spec, course_data))
    manifest = Manifest(
        session=session,
        created=now.isoformat(timespec="seconds"),
        role=role,  # type: ignore[arg-type]
        robot=spec.name,
        course_name=course_data.name,
        twin=twin,
        fast=fast,
        seed=seed,
        minutes=minutes,
        contract_hash=contract.hash(),
        calibration_hash=spec.calibration_hash(),
        git_revision=git_revision(),
        machine=machine(),
        versions=versions(),
        options=options or {},
        spec=msgspec.to_builtins(spec),
        course=msgspec.to_builtins(course_data.file),
    )
    manifest.save(directory)
    made = Session(directory, manifest)
    for folder in (made.policies, made.spool, made.learner):
        folder.mkdir()
    with os.fdopen(os.open(made.key_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(key or secrets.token_bytes(32))
    return made


def make_task(spec: RobotSpec, course: Course) -> Task:
    """The task that a course names. Raises SpecError if there is no such class."""
    task: Task = load_class(course.file.task, f"course {course.name}: task")(spec, course)
    return task


def contract_of(spec: RobotSpec, task: Task) -> TaskContract:
    """What pilot, learner and policy files must agree on."""
    return task_contract(spec, task.name, task.observation, task.reward_terms, task.cost_terms)


def on_twin(spec: RobotSpec, ports: Path) -> RobotSpec:
    """The robot with its devices on the emulator's ports and an operator who is simulated. Neither is part of
    the contract."""
    devices = tuple(msgspec.structs.replace(d, port=str(ports / d.name)) for d in spec.devices)
    enable = msgspec.structs.replace(spec.enable, source="simulated_operator")
    return msgspec.structs.replace(spec, devices=devices, enable=enable)


def _folder(parent: Path, now: datetime.datetime) -> Path:
    """A new folder named for the time, and ``latest`` beside it pointing there."""
    stamp = now.astimezone().strftime("%Y-%m-%dT%H-%M-%S")
    for attempt in range(100):
        directory = (parent / (f"{stamp}-{attempt}" if attempt else stamp)).resolve()
        try:
            directory.mkdir(parents=True)
            break
        except FileExistsError:
            continue
    else:
        raise SandlotError(f"{parent} already holds 100 runs of this second; clear it")
    latest = parent / "latest"
    if latest.is_symlink() or not latest.exists():
        temporary = parent / f".latest-{os.getpid()}"
        temporary.symlink_to(directory.name)
        temporary.replace(latest)
    return directory


def options_of(parsed: Any) -> dict[str, OptionValue]:
    """A command's options as they go into the manifest: plain values, unset ones left out."""
    plain = {}
    for name, value in vars(parsed).items():
        if value is not None:
            plain[name] = value if isinstance(value, bool | int | float | str) else str(value)
    return plain
