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

import msgspec
import numpy as np

from launch import catalogue
from launch.calibrated import calibrated_spec, unmoved
from launch.first_fault import save_first_fault
from launch.manifest import (
    ALONE,
    Manifest,
    Setup,
    git_revision,
    load_manifest,
    machine,
    versions,
    without_none,
)
from learners.config import LearnerConfig
from learners.lagrangian import Multipliers
from robot.board import Board
from robot.contract import TaskContract, task_contract
from robot.errors import SandlotError, SpecError
from robot.frame_file import made_whole
from robot.interface import load_class
from robot.keys import load_session_key, make_session_key
from robot.people_spec import Estop
from robot.plain_data import decode_struct
from robot.practice.course import Course, CourseFile, load_course
from robot.spec import RobotSpec, at_site, load_spec, reduced
from robot.task import Task
from sim.surrogate import Surrogate, load_surrogate

SHARED_MEMORY = Path("/dev/shm")
PORTS = "ports"
"""In there: the emulator's serial ports."""
BUNDLE = "policy.bundle"
"""In a run's folder: the signed bundle that it began with, if it began with one."""
FIRST = "first.onnx"
"""In a run's folder: the policy file that it began with, if it began with one."""
RUN_LINK = "run"
"""In there: a link to the run's folder."""
SHARED_KEY = "session.key"
"""In the keys folder: the secret that both machines have."""
LOOPBACK_KEY = "loopback.key"
"""In the keys folder: the same for a robot and a learner that were started by hand on one machine."""


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

    @property
    def limits(self) -> str:
        """For a person: whether all of the session has less authority than the robot has."""
        share = self.spec.safety.authority
        return f"REDUCED limits ({share:.0%})" if share < 1.0 else ""

    @cached_property
    def contract(self) -> TaskContract:
        return contract_of(self.spec, self.task())

    def task(self) -> Task:
        """A fresh task: each user of it keeps its own progress."""
        return make_task(self.spec, self.course)

    @property
    def start(self) -> tuple[float, float, float]:
        """Where the robot is put down: x, y [m], yaw [rad]."""
        return self.manifest.setup.start or self.course.start

    @property
    def first(self) -> Path | None:
        """The policy file that drives from the start, as it was when the session was made: the robot's policy
        does not change with the file that was named. None without one."""
        return self.directory / FIRST if self.manifest.setup.policy else None

    @property
    def tape(self) -> Path:
        """The commands that a session of role ``replay`` plays."""
        return self.directory / "tape.npz"

    def with_changed(self, parts: dict[str, object]) -> Session:
        """The same session of a robot in whose description these parts are others, in this process only."""
        spec = self.manifest.spec | parts
        return Session(self.directory, msgspec.structs.replace(self.manifest, spec=spec))

    @property
    def board_directory(self) -> Path:
        """Where the session's mailboxes and rings are: memory where the system has it, else the folder."""
        return board_directory(self.manifest.session, self.directory)

    def board(self, create: bool = False) -> Board:
        """The session's shared memory. Whoever creates it leaves a link there to the run's folder, by which
        others on this machine find the session (``launch.running``)."""
        board = Board(self.board_directory, self.spec, self.contract, create)
        if create:
            (self.board_directory / RUN_LINK).unlink(missing_ok=True)
            (self.board_directory / RUN_LINK).symlink_to(self.directory)
        return board

    def remove_board(self) -> None:
        """Take the shared memory away; what was last latched in it is kept as ``first_fault.toml``."""
        save_first_fault(self.spec, self.board_directory, self.directory)
        shutil.rmtree(self.board_directory, ignore_errors=True)

    @property
    def ports(self) -> Path:
        """Where the emulator's serial ports appear, by device name."""
        return self.board_directory / PORTS

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
    def output(self) -> Path:
        """What the processes print, a file each."""
        return self.directory / "output"

    @property
    def world(self) -> Path:
        """The twin's surroundings. Raises SandlotError on a session that is not on the twin."""
        if not self.manifest.world:
            raise SandlotError(f"{self.directory} was not on the twin, so it has no world file")
        return Path(self.manifest.world)

    @property
    def key_file(self) -> Path:
        """The secret that authenticates this session's streamed policies, where the keys folder has none."""
        return self.directory / "session.key"

    def key(self) -> bytes:
        """The secret that authenticates streamed policies: shared by both machines where the session names
        keys, else one of this session's own. Raises SandlotError if a shared one is absent."""
        setup = self.manifest.setup
        if self.manifest.role in ALONE:
            setup = Setup()  # nobody streams to it
        if setup.key:
            return load_session_key(Path(setup.keys) / SHARED_KEY)
        path = Path(setup.keys) / LOOPBACK_KEY if setup.keys else self.key_file
        return load_session_key(path) if path.exists() else make_session_key(path)

    def learner_config(self) -> LearnerConfig:
        """The learner's settings as they were when the session was made."""
        return decode_struct(self.manifest.learner, LearnerConfig, str(self.directory))

    def generator(self, stream: str) -> np.random.Generator:
        """An independent random stream per purpose, from the session's seed."""
        return np.random.default_rng([self.manifest.seed, *stream.encode()])


def board_directory(session: str, directory: Path) -> Path:
    """Where the shared memory of the session with this id lies, whose folder is ``directory``."""
    if SHARED_MEMORY.is_dir() and os.access(SHARED_MEMORY, os.W_OK):
        return SHARED_MEMORY / f"sandlot-{session}"
    return directory / "board"


def links_to_runs() -> list[Path]:
    """Of every session on this machine that has shared memory now, the link in it to its run's folder."""
    return sorted(SHARED_MEMORY.glob(f"sandlot-*/{RUN_LINK}"))


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
    attended: bool = False,
    seed: int = 0,
    minutes: float = 0.0,
    world: str | None = None,
    setup: Setup | None = None,
    surrogate: str | None = None,
) -> Session:
    """Make a run's folder and its manifest. ``attended``: a person enables motion on the twin too;
    ``surrogate``: drive that in place of the twin. Under a bench override, in calibration, and where the
    setup asks for it, the robot has reduced authority. Its description is as calibrated.
    Raises SpecError for an unknown robot, course, surrogate or cost."""
    course_path = catalogue.find("courses", course)
    world_path = catalogue.world(world, course_path.stem) if twin else None
    setup = setup or Setup()
    if minutes < 0.0 or setup.demonstration_laps < 0:
        raise SpecError(
            f"{minutes:g} minutes and {setup.demonstration_laps} demonstration laps: at least 0 were expected"
        )
    if world is not None and not twin:
        raise SpecError(f"--world {world} is for the twin, and this session has none")
    if setup.initial and setup.resume:
        raise SpecError(
            "--initial is for a new learner, and --resume goes on with one: leave one of them out"
        )
    stand_in = Surrogate() if surrogate is None else load_surrogate(catalogue.find("surrogates", surrogate))
    if stand_in.name and not twin:
        raise SpecError(f"surrogate {stand_in.name} takes the twin's place, and this session has no twin")
    session = secrets.token_hex(6)
    course_data = load_course(course_path)
    file = load_spec(catalogue.find("robots", robot))
    spec = at_site(calibrated_spec(robot, surrogate), course_data.file.site)
    stand_in = unmoved(stand_in, file, spec)
    stand_in.truths(spec)  # an unknown parameter is refused here, not by a process that dies
    spec = put_down(spec, setup.start or course_data.start)
    if (attended or not twin) and spec.enable.source == "simulated_operator":
        raise SpecError(
            f"{robot}: enable.source is simulated_operator, which is nobody, for the twin only; name who "
            "enables motion: held_key, transmitter or attendance"
        )
    if setup.bench_override or setup.procedure:
        spec = _on_the_bench(spec, attended or not twin)
    elif setup.reduced:
        spec = reduced(spec)
    contract = contract_of(spec, make_task(spec, course_data))
    # An unknown cost or action is refused here, before there is a folder, not by a process that dies.
    Multipliers(contract, setup.constraints)
    setup.growth.neutral_actions(contract)
    learner = without_none(msgspec.to_builtins(setup.learner_config()))
    now = datetime.datetime.now(datetime.UTC)
    directory = stamped_folder(runs / spec.name, now)
    link_latest(directory)
    if twin:
        spec = on_twin(spec, board_directory(session, directory) / PORTS, attended)
        if fast:  # simulated time has no network either
            spec = msgspec.structs.replace(spec, estop=Estop())
    if setup.bundle:
        shutil.copyfile(setup.bundle, directory / BUNDLE)
        setup = msgspec.structs.replace(setup, bundle=str(directory / BUNDLE))
    if setup.policy:
        shutil.copyfile(setup.policy, directory / FIRST)
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
        world=str(world_path) if twin else "",
        setup=setup,
        learner=learner,
        spec=without_none(msgspec.to_builtins(spec)),
        course=without_none(msgspec.to_builtins(course_data.file)),
        surrogate=stand_in,
    )
    manifest.save(directory)
    made = Session(directory, manifest)
    for folder in (made.policies, made.spool, made.learner):
        folder.mkdir()
    return made


def _on_the_bench(spec: RobotSpec, person: bool) -> RobotSpec:
    """The robot as it drives a policy that nobody has validated, or is calibrated: with reduced authority,
    and a ``person`` who would let go. Raises SpecError for a permission that outlasts letting go."""
    if person and spec.enable.source == "attendance":
        raise SpecError(
            f"{spec.name}: enable.source is attendance, which goes on after a person has left; under "
            "--bench-override and in calibration a person holds enable all the time: held_key or transmitter"
        )
    return reduced(spec)


def take_over_learner(session: Session) -> None:
    """Copy the learner of the run that this one goes on from (``--resume``), whole or not at all, unless it
    has one already."""
    resumed = session.manifest.setup.resume
    if resumed and not (session.learner.exists() and any(session.learner.iterdir())):
        with made_whole(session.learner) as partial:
            shutil.copytree(Path(resumed) / session.learner.name, partial, dirs_exist_ok=True)


def make_task(spec: RobotSpec, course: Course) -> Task:
    """The task that a course names. Raises SpecError if there is no such class."""
    task: Task = load_class(course.file.task, f"course {course.name}: task")(spec, course)
    return task


def contract_of(spec: RobotSpec, task: Task) -> TaskContract:
    """What pilot, learner and policy files must agree on."""
    return task_contract(spec, task.name, task.observation, task.reward_terms, task.cost_terms)


def on_twin(spec: RobotSpec, ports: Path, attended: bool = False) -> RobotSpec:
    """The robot with its devices and cameras at the emulator's ports, an operator who is simulated (unless it
    is ``attended``), and no emergency stop but the network's: the twin has no wires. None of that is part of
    the contract."""
    devices = tuple(msgspec.structs.replace(d, port=str(ports / d.name)) for d in spec.devices)
    cameras = tuple(msgspec.structs.replace(camera, port=str(ports)) for camera in spec.cameras)
    source = spec.enable.source if attended else "simulated_operator"
    enable = msgspec.structs.replace(spec.enable, source=source)
    sources = tuple(source for source in spec.estop.sources if source.kind == "network")
    estop = msgspec.structs.replace(spec.estop, sources=sources)
    return msgspec.structs.replace(spec, devices=devices, cameras=cameras, enable=enable, estop=estop)


def put_down(spec: RobotSpec, start: tuple[float, float, float]) -> RobotSpec:
    """The robot as a person puts it down: at x, y [m], yaw [rad]. An estimator that has
    ``start_heading_sigma`` [rad] among its options, and no ``start_heading``, is told the yaw."""
    estimator = spec.estimator
    if "start_heading_sigma" not in estimator.options or "start_heading" in estimator.options:
        return spec
    options = {**estimator.options, "start_heading": start[2]}
    return msgspec.structs.replace(spec, estimator=msgspec.structs.replace(estimator, options=options))


def stamped_folder(parent: Path, now: datetime.datetime) -> Path:
    """A new folder named for the time. Raises SandlotError if there are a hundred of this second."""
    stamp = now.astimezone().strftime("%Y-%m-%dT%H-%M-%S")
    for attempt in range(100):
        directory = (parent / (f"{stamp}-{attempt}" if attempt else stamp)).resolve()
        try:
            directory.mkdir(parents=True)
        except FileExistsError:
            continue
        return directory
    raise SandlotError(f"{parent} already holds 100 runs of this second; clear it")


def shown(path: Path) -> Path:
    """As a person at this terminal would name it."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def link_latest(directory: Path) -> None:
    """``latest`` beside a run's folder, pointing there."""
    parent = directory.parent
    latest = parent / "latest"
    if latest.is_symlink() or not latest.exists():
        temporary = parent / f".latest-{os.getpid()}"
        temporary.symlink_to(directory.name)
        temporary.replace(latest)
