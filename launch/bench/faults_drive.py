"""A robot that drives in lockstep, to break things on: the real guardian, drivers and estimator on emulated
devices and the twin's physics, a scripted pilot and a simulated person, all on one simulated clock.

A drive is a pure function of its seed, and a fork copies all of it, the shared memory included: that is how
many faults are tried on one drive, each at a moment of its own.
"""

from __future__ import annotations

import math
import mmap
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from unittest import mock

import msgspec
import numpy as np

from launch.bench.faults_line import TappedLine
from launch.manifest import Setup
from launch.operator import SimulatedOperator
from launch.session import Session, create_session
from robot.board import Board
from robot.clock import SimulatedClock
from robot.errors import SandlotError
from robot.guardian import Guardian
from robot.interface import load_class, make_driver
from robot.messages import ESTOP_DTYPE, Actor, EstopState, SafetyState, command_dtype
from robot.people_spec import EstopSource
from robot.shared_memory import Record
from robot.teleop.pure_pursuit import PurePursuit
from sim.emulators.rig import Rig
from sim.plant import Twin
from sim.surrogate import make_twin
from sim.world import load_world

START_NS = 1_000_000_000
OPERATOR_TICKS = 5
"""A person's record is renewed 20 times a second."""
PATIENCE_S = 0.1
SPEEDS = (1.0, 3.2)
"""Top speeds that drives are drawn from [m/s]: the pilot keeps to the lane at any of them."""
COURSES = ("oval", "kidney")
LOOP = EstopSource(name="loop", kind="line", port="none", timeout_s=0.2)
"""An emergency stop that every drive has: a loop whose feeder renews its state each tick."""
DRIVING_S = 12.0
"""A robot that does not drive by then never will."""
TRUTHS = {"mass": 0.05, "tyre_friction": 0.08, "motor_torque_constant": 0.05, "battery_voltage": 0.02}
"""Relative standard deviations by which the true car differs from the calibrated one."""


class ScriptedPilot:
    """Writes a command each policy step, from the guardian's state and a pure-pursuit driver. ``alive``
    False: it has stopped writing. ``spoil`` changes a record before it is written; False: do not write it."""

    def __init__(self, session: Session, board: Board, driver: PurePursuit) -> None:
        self._board, self._driver = board, driver
        self.record: Record = np.zeros(1, command_dtype(session.spec))
        self.record["actor"] = Actor.SCRIPT
        self.alive = True
        self.spoil: Callable[[Record], bool] | None = None

    def speed_ahead(self) -> float:
        """The slowest it is going to ask for in any bend [m/s]."""
        return float(self._driver.profile.min())

    def step(self, now_ns: int) -> None:
        state = self._board.state.read()
        if state is None or not self.alive:
            return
        if int(state["safety_state"][0]) in (SafetyState.ACTIVE, SafetyState.REDUCED):
            self.record["setpoint"] = self._driver.read(now_ns, state["state"][0]).setpoint
        else:
            self.record["setpoint"] = 0.0
        self.record["time_ns"] = now_ns
        self.record["epoch"] = state["epoch"]
        if self.spoil is None or self.spoil(self.record):
            self._board.command.write(self.record)


class Person:
    """Arms the robot, then takes the hands off the buttons and only keeps enabling. ``spoil`` changes the
    record before it is written."""

    def __init__(self, board: Board, place: Callable[[], None]) -> None:
        self._board = board
        self._arming: SimulatedOperator | None = SimulatedOperator(board.operator, place, PATIENCE_S)
        self.spoil: Callable[[Record], None] | None = None

    def step(self, now_ns: int) -> None:
        state = self._board.state.read()
        if self._arming is not None:
            self._arming.step(now_ns, state, None)
            return
        last = self._board.operator.read()
        if last is None or state is None:
            return
        record = last.copy()
        record["time_ns"] = min(now_ns, int(state["time_ns"][0]))
        record["enable"] = 1
        if self.spoil is not None:
            self.spoil(record)
        self._board.operator.write(record)

    def hands_off(self) -> None:
        """From now on nothing is pressed any more."""
        self._arming = None


class EstopLoop:
    """The feeder of a hard-wired emergency stop's state. ``alive`` False: its process has died."""

    def __init__(self, board: Board) -> None:
        self._mailbox = board.estops[LOOP.name]
        self.record: Record = np.zeros(1, ESTOP_DTYPE)
        self.record["state"] = EstopState.CLOSED
        self.alive = True

    def step(self, now_ns: int) -> None:
        if self.alive:
            self.record["time_ns"] = now_ns
            self._mailbox.write(self.record)


class Drive:
    """``tick`` moves the world on by one guardian period. ``frozen``: the guardian's process stands still
    while the world does not. ``before_tick`` and ``after_tick`` are called around each guardian tick with the
    time [ns]; what they may do to the parts is the fault."""

    def __init__(self, seed: int, runs: Path) -> None:
        self.seed = seed
        rng = np.random.default_rng([seed, *b"drive"])
        self.top_speed = float(rng.uniform(*SPEEDS))
        self.course = COURSES[int(rng.integers(len(COURSES)))]
        truth = {name: float(rng.normal(1.0, share)) for name, share in TRUTHS.items()}
        self.session = with_loop(
            create_session(
                "racer",
                self.course,
                role="practice",
                runs=runs,
                twin=True,
                fast=True,
                seed=seed,
                setup=Setup(),
            )
        )
        self.spec = spec = self.session.spec
        truth = {name: spec.scalar(name) * factor for name, factor in truth.items()}
        world, rng = load_world(self.session.world), self.session.generator("plant")
        self.twin: Twin = make_twin(spec, world, rng, truth=truth)
        self.clock = SimulatedClock(START_NS)
        streams = self.session.generator("faults").spawn(len(spec.devices))
        self.lines = {d.name: TappedLine(rng) for d, rng in zip(spec.devices, streams, strict=True)}
        self.rig = Rig(spec, self.twin, self.session.generator("emulators"), self.lines)
        ports = self.rig.ports(self.clock)
        self.drivers = {d.name: make_driver(spec, d, ports[d.name]) for d in spec.devices}
        with tempfile.TemporaryDirectory(dir=runs) as folder:
            self.board = private_board(Path(folder), self.session)
        estimator = load_class(spec.estimator.driver, f"{spec.name}: estimator")(spec)
        self.guardian = Guardian(spec, list(self.drivers.values()), estimator, self.clock, self.board)
        driver = PurePursuit(spec, self.session.course, self.top_speed)
        self.pilot = ScriptedPilot(self.session, self.board, driver)
        self.person = Person(self.board, self.twin.place)
        self.loop = EstopLoop(self.board)
        self.period_ns = round(1e9 / spec.rates.guardian_hz)
        self.frozen = False
        self.before_tick: Callable[[int], None] | None = None
        self.after_tick: Callable[[int], None] | None = None
        self.ticks = 0
        self._due_ns = self.clock.now_ns()
        self.guardian.start()

    @property
    def now_ns(self) -> int:
        return self.clock.now_ns()

    @property
    def state(self) -> SafetyState:
        """What the guardian last said of itself."""
        return self.guardian.kernel.state

    @property
    def speed(self) -> float:
        """True speed over ground [m/s]."""
        forward, left, _ = self.twin.velocity_body()
        return math.hypot(forward, left)

    def until_driving(self) -> None:
        """Arm and accelerate. Raises SandlotError if the robot does not."""
        goal = 0.7 * self.top_speed
        for _ in range(round(DRIVING_S * 1e9) // self.period_ns):
            self.tick()
            if self.state == SafetyState.ACTIVE and self.speed > goal:
                self.person.hands_off()
                return
        kernel = self.guardian.kernel
        raise SandlotError(
            f"drive {self.seed} on {self.course} does not drive: {kernel.state.name}, {kernel.cause.name}, "
            f"{self.speed:.2f} m/s of {goal:.2f}"
        )

    def tick(self) -> None:
        """One guardian period: the guardian, then pilot and person at their own rates, then the world."""
        self._due_ns += self.period_ns
        self.clock.sleep_until(self._due_ns)
        self.ticks += 1
        self.loop.step(self.clock.now_ns())
        if self.before_tick is not None:
            self.before_tick(self._due_ns)
        if not self.frozen:
            self.guardian.tick(self._due_ns)
        if self.ticks % self.spec.ticks_per_step == 0:
            self.pilot.step(self.clock.now_ns())
        if self.ticks % OPERATOR_TICKS == 0:
            self.person.step(self.clock.now_ns())
        self.rig.advance(self.clock.now_ns())
        if self.after_tick is not None:
            self.after_tick(self.clock.now_ns())

    def skip(self, seconds: float) -> None:
        """Time passes for everything but the computer, which does not notice: it slept."""
        self._due_ns += round(seconds * 1e9) // self.period_ns * self.period_ns
        self.clock.sleep_until(self._due_ns)
        self.rig.advance(self.clock.now_ns())


def with_loop(session: Session) -> Session:
    """The session with a hard-wired emergency stop, which the twin otherwise lacks."""
    return session.with_changed({"estop": {"sources": [msgspec.to_builtins(LOOP)]}})


def private_board(directory: Path, session: Session) -> Board:
    """A board that belongs to this process alone: written to, its pages are copied (MAP_PRIVATE), so that a
    fork has its own from then on."""
    private = partial(mmap.mmap, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE)
    with mock.patch("robot.shared_memory.mmap.mmap", private):
        return Board(directory, session.spec, session.contract, create=True)
