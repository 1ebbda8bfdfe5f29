"""Normal driving with every monitor on: how often the safety kernel stops a robot that does nothing wrong,
and how much was left to each of its limits.

The real guardian, drivers, estimator and pilot drive laps on the twin in lockstep: a scripted driver, and if
asked one that bumps into the walls at the speeds that practising does, from which the robot must recover by
itself. Each session has a car that differs a little from its calibration.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from launch.manifest import Setup
from launch.operator import SimulatedOperator
from launch.parts import make_guardian, make_policies
from launch.session import Session, create_session
from robot.clock import SimulatedClock
from robot.interface import Array, make_driver
from robot.messages import COURIER_DTYPE, OPERATOR_DTYPE, Cause, PilotPhase, SafetyState
from robot.pilot import Pilot
from robot.practice.course import Course
from robot.safety.state_machine import AUTHORITY
from robot.shared_memory import Record
from robot.spec import RobotSpec
from robot.teleop.device import TeleopCommand
from robot.teleop.pure_pursuit import PurePursuit
from sim.emulators.rig import Rig
from sim.plant import Twin
from sim.surrogate import make_twin
from sim.world import load_world

START_NS = 1_000_000_000
OPERATOR_HZ, COURIER_HZ = 20, 5
ENDLESS = 1_000_000
SPEEDS = (1.5, 4.8)
"""Top speeds that sessions are drawn from [m/s]: a first demonstration, and the policy's whole range."""
LATERAL = (3.0, 8.5)
"""And their lateral acceleration in bends [m/s^2]: up to where the tyres begin to slide."""
TRUTHS = {"mass": 0.05, "tyre_friction": 0.05, "motor_torque_constant": 0.05, "battery_voltage": 0.02}
"""Relative standard deviations by which the true car differs from its calibration."""
ASIDE_S = 1.2
"""How long a clumsy driver steers aside [s]: enough to reach a wall from the middle of a lane."""
BUMP_SPEEDS = (0.8, 2.8)
"""And how fast it is then at most [m/s]: head-on, 3 m/s are an impact of 144 m/s^2, 4 m/s a severe one."""
BUTTONS = tuple(name for name in ("arm", "reset", "resume", "stop") if name in (OPERATOR_DTYPE.names or ()))
WISHES = (Cause.OPERATOR_STOP, Cause.ENABLE_RELEASED, Cause.SHUTDOWN)
"""Stops that a person asked for."""


class ClumsyDriver:
    """A scripted driver that every ``every_s`` [s] or so steers aside for a while, into whatever is there."""

    def __init__(
        self, spec: RobotSpec, driver: PurePursuit, every_s: float, rng: np.random.Generator
    ) -> None:
        self._driver, self._every_s, self._rng = driver, every_s, rng
        layout = spec.actuator_layout
        self._speed, self._steering = layout.index("speed"), layout.index("steering")
        self._lock = max(abs(spec.actuators[self._steering].lower), spec.actuators[self._steering].upper)
        self._next_ns: int | None = None
        self._until_ns = 0
        self._side = self._most = 0.0
        self.bumps = 0

    def read(self, now_ns: int, state: Array) -> TeleopCommand:
        """The driver's setpoints, or those of a moment's inattention."""
        command = self._driver.read(now_ns, state)
        if not math.isfinite(self._every_s):
            return command
        if self._next_ns is None:
            self._next_ns = now_ns + round(1e9 * self._rng.exponential(self._every_s))
        if now_ns >= self._next_ns:
            self._next_ns = now_ns + round(1e9 * (ASIDE_S + self._rng.exponential(self._every_s)))
            self._until_ns = now_ns + round(ASIDE_S * 1e9)
            self._side = float(self._rng.choice((-1.0, 1.0))) * self._lock
            self._most = float(self._rng.uniform(*BUMP_SPEEDS))
            self.bumps += 1
        if now_ns >= self._until_ns:
            return command
        setpoint = command.setpoint.copy()
        setpoint[self._speed] = min(float(setpoint[self._speed]), self._most)
        setpoint[self._steering] = self._side
        return TeleopCommand(setpoint, now_ns, command.source)


@dataclass
class Tally:
    """What happened while the robot was free to move. ``margin`` and ``when``: least of each limit, and in
    which session."""

    minutes: float = 0.0
    metres: float = 0.0
    stops: list[str] = field(default_factory=list)
    reduced: list[str] = field(default_factory=list)
    bumps: int = 0
    failures: int = 0
    recoveries: int = 0
    laps: int = 0
    presses: int = 0
    assists: int = 0
    margin: dict[str, float] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    when: dict[str, str] = field(default_factory=dict)

    def figures(self) -> dict[str, float]:
        """One flat dictionary."""
        found: dict[str, float] = {
            "driven_min": round(self.minutes, 3),
            "driven_km": round(self.metres / 1e3, 3),
            "safety_stops": len(self.stops),
            "reduced_entries": len(self.reduced),
            "laps": self.laps,
            "bumps": self.bumps,
            "failures": self.failures,
            "recoveries": self.recoveries,
            "presses_of_a_person": self.presses,
            "assists": self.assists,
        }
        for name, least in self.margin.items():
            plain = "".join(
                c if c.isalnum() else "_" for c in f"least_margin_{name} {self.units[name]}".lower()
            )
            found[plain.replace("__", "_").rstrip("_")] = float(f"{least:.4g}")
        return found


class CalmSession:
    """One session without a learner and without a log: everything that drives and everything that watches.

    ``every_s``: how long the driver keeps its mind on the road, on average [s]; ``varied``: the true car is
    not quite the calibrated one. ``twin``, ``rig`` and ``driver`` are there to be meddled with.
    """

    def __init__(self, session: Session, every_s: float = math.inf, varied: bool = True) -> None:
        self.session = session
        self.spec = spec = session.spec
        rng = session.generator("calm")
        truth = {n: spec.scalar(n) * float(rng.normal(1.0, s)) for n, s in TRUTHS.items()} if varied else {}
        self.speed, lateral = float(rng.uniform(*SPEEDS)), float(rng.uniform(*LATERAL))
        self.clock = SimulatedClock(START_NS)
        self.board = session.board(create=True)
        surrogate, world = session.manifest.surrogate, load_world(session.world)
        self.twin: Twin = make_twin(spec, world, session.generator("plant"), surrogate, truth)
        self.rig = Rig(
            surrogate.own(spec), self.twin, session.generator("emulators"), delays=surrogate.delays
        )
        ports = self.rig.ports(self.clock)
        drivers = [make_driver(spec, device, ports[device.name]) for device in spec.devices]
        self.guardian = make_guardian(session, drivers, self.board, self.clock)
        self._policies = make_policies(session, self.board, self.clock, background=False)
        pursuit = _pursuit(spec, session.course, self.speed, lateral)
        self.driver = ClumsyDriver(spec, pursuit, every_s, rng)
        self.pilot = Pilot(
            spec,
            session.task(),
            session.contract,
            self._policies,
            self.board,
            self.clock,
            session.generator("pilot"),
            demonstrator=self.driver,
            demonstration_laps=ENDLESS,
        )
        self.operator = SimulatedOperator(self.board.operator, self.twin.place)
        self._courier: Record = np.zeros(1, COURIER_DTYPE)
        self.period_ns = round(1e9 / spec.rates.guardian_hz)
        self._due_ns = self.clock.now_ns()
        self._ticks = 0
        self._armed = False
        self.tally = Tally()
        self.tally.units = {limit.name: limit.unit for limit in spec.safety.limits}
        self._least = np.full(len(spec.safety.limits), np.inf)
        self._speed_at = spec.state_layout.index(spec.stop.standstill)
        self._rows = self.board.ticks.newest
        self.guardian.start()

    @property
    def state(self) -> SafetyState:
        return self.guardian.kernel.state

    def run(self, seconds: float) -> Tally:
        """Drive on for so long, from the first moment the robot is free to move [s]."""
        ticks = round(seconds * 1e9) // self.period_ns
        while ticks > 0:
            self.tick()
            ticks -= self._armed
        return self.tally

    def tick(self) -> None:
        """One period of everything."""
        spec, board = self.spec, self.board
        self._ticks += 1
        self._due_ns += self.period_ns
        self.clock.sleep_until(self._due_ns)
        before = self.guardian.kernel.state
        self.guardian.tick(self._due_ns)
        self._count(before)
        if self._ticks % spec.ticks_per_step == 0:
            self.pilot.step(self._due_ns)
        if self._ticks % round(spec.rates.guardian_hz / OPERATOR_HZ) == 0:
            self.operator.step(self._due_ns, board.state.read(), board.pilot.read())
        if self._ticks % round(spec.rates.guardian_hz / COURIER_HZ) == 0:
            self._courier["time_ns"] = self._due_ns
            board.courier.write(self._courier)
            for ring in board.rings.values():
                ring.consume(ring.waiting)

    def close(self) -> None:
        """Count what the pilot knows, stop, and remove the shared memory."""
        tally, pilot = self.tally, self.board.pilot.read()
        if pilot is not None:
            tally.failures, tally.recoveries = int(pilot["failures"][0]), int(pilot["recoveries"][0])
            tally.laps = int(pilot["demonstrated"][0])
        tally.bumps, tally.assists = self.driver.bumps, self.operator.assists
        where = f"{self.session.manifest.course_name}, seed {self.session.manifest.seed}"
        names = [limit.name for limit in self.spec.safety.limits]
        tally.margin = dict(zip(names, self._least.tolist(), strict=True))
        tally.when = dict.fromkeys(names, where)
        self.guardian.close()
        self._policies.close()
        self.session.remove_board()

    def _count(self, before: SafetyState) -> None:
        kernel, tally = self.guardian.kernel, self.tally
        free = kernel.state in AUTHORITY
        if free and not self._armed:
            self._armed, self._pressed = True, self._presses()
        if not self._armed:
            return
        tally.presses = self._presses() - self._pressed
        if free:
            tick = self.board.ticks.newest(1)
            np.fmin(self._least, tick["margin"][0], out=self._least)
            tally.minutes += self.period_ns / 60e9
            tally.metres += abs(float(tick["state"][0, self._speed_at])) * self.period_ns / 1e9
        if kernel.state == before:
            return
        told = f"{before.name} -> {kernel.state.name}: {kernel.trigger.name.lower()}"
        manifest = self.session.manifest
        told += f" ({manifest.course_name}, seed {manifest.seed}, {self._due_ns / 1e9:.2f} s)"
        if before in AUTHORITY and not free and kernel.trigger not in WISHES:
            tally.stops.append(told)
        elif kernel.state == SafetyState.REDUCED and before == SafetyState.ACTIVE:
            tally.reduced.append(told)

    def _presses(self) -> int:
        record = self.board.operator.read()
        return 0 if record is None else sum(int(record[button][0]) for button in BUTTONS)

    @property
    def calls(self) -> bool:
        """Whether the robot has given up recovering by itself and calls for a person."""
        pilot = self.board.pilot.read()
        return pilot is not None and int(pilot["phase"][0]) == PilotPhase.CALLING


def run(
    robot: str,
    courses: Sequence[str],
    minutes: float,
    session_minutes: float,
    seed: int,
    bumps_per_minute: float = 0.0,
    progress: Callable[[str], None] = print,
) -> dict[str, float]:
    """Drive for ``minutes`` altogether, in sessions of ``session_minutes`` on the courses in turn. Figures in
    one flat dictionary."""
    total = Tally()
    every_s = 60.0 / bumps_per_minute if bumps_per_minute > 0 else math.inf
    number = 0
    with tempfile.TemporaryDirectory(prefix="sandlot-calm-") as folder:
        while total.minutes < minutes - 1e-3:
            course = courses[number % len(courses)]
            calm = CalmSession(make_session(robot, course, seed + number, Path(folder)), every_s)
            try:
                calm.run(60.0 * min(session_minutes, minutes - total.minutes))
            finally:
                calm.close()
            add(total, calm.tally)
            one = calm.tally
            progress(
                f"{course}, seed {seed + number}, up to {calm.speed:.1f} m/s: {one.minutes:.1f} min, "
                f"{one.laps} laps, {one.failures} failures, stops {one.stops or 'none'}, "
                f"reduced {one.reduced or 'never'}"
            )
            number += 1
    return total.figures()


def make_session(robot: str, course: str, seed: int, runs: Path, surrogate: str | None = None) -> Session:
    """A session of a scripted driver on the twin, or on a surrogate for it."""
    return create_session(
        robot,
        course,
        role="practice",
        runs=runs,
        twin=True,
        fast=True,
        seed=seed,
        setup=Setup(update_ratio=0, demonstration_laps=ENDLESS),
        surrogate=surrogate,
    )


def add(total: Tally, one: Tally) -> None:
    """Take one session's tally into the sum."""
    for name in ("minutes", "metres", "bumps", "failures", "recoveries", "laps", "presses", "assists"):
        setattr(total, name, getattr(total, name) + getattr(one, name))
    total.stops += one.stops
    total.reduced += one.reduced
    total.units |= one.units
    for name, least in one.margin.items():
        if least < total.margin.get(name, math.inf):
            total.margin[name], total.when[name] = least, one.when[name]


def _pursuit(spec: RobotSpec, course: Course, speed: float, lateral: float) -> PurePursuit:
    gentle = min(5.0, lateral)
    return PurePursuit(
        spec, course, speed, lateral=lateral, acceleration=gentle, braking=gentle, lookahead_time=0.35
    )
