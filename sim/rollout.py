"""Closed-loop episodes of the twin, many at once: physics, firmware, estimate, safety kernel and policy.

A tick is a guardian's: senses, the pilots' newest commands, the kernel's judgement, setpoints to the drives.
Every policy step the pilots see the estimate (late, if the episode has it so), and the truth is judged:
reward, failures, the kernel's limits. Episodes end on their own and are not stepped any more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robot.contract import ActionMap, TaskContract
from robot.practice.course import Course
from robot.spec import RobotSpec
from robot.task import Task
from sim.episode_results import Ending, EpisodeResults
from sim.episode_tally import EpisodeTally
from sim.episode_tape import EpisodeTape
from sim.estimate_errors import EstimateErrors, load_errors
from sim.fleet import CarFleet
from sim.fleet_drive import FleetDrive, period_ms
from sim.fleet_guardian import FleetGuardian
from sim.fleet_judge import FleetJudge
from sim.fleet_pilots import Pilots
from sim.fleet_senses import FleetSenses
from sim.fleet_tasks import fleet_tasks
from sim.lateness import Lateness
from sim.plant import Array
from sim.randomisation import Draws
from sim.world import World

START_NS = 1_000_000_000
"""When episodes begin on their clock [ns]."""
TIMESTEP = 0.002
"""Of the physics [s]; docs/VALIDATION.md shows that it gives what 1 ms gives."""
SETTLE_STEPS = 200
"""In which a car comes to rest on its tyres: they swing at 22 Hz, well damped."""

Progress = Callable[[float, int], None]
"""Told now and then: the share of the longest episode's time that has passed, and how many still drive."""


@dataclass(frozen=True)
class Setting:
    """Where episodes take place. ``make_task`` gives a fresh task; ``seconds``: how long an episode may last
    (None: as the task's success says); ``endless``: nor does success end it; ``threads``: 0 takes all
    processors."""

    spec: RobotSpec
    contract: TaskContract
    course: Course
    world: World
    make_task: Callable[[], Task]
    errors: EstimateErrors | None = None
    seconds: float | None = None
    timestep: float = TIMESTEP
    threads: int = 0
    endless: bool = False


def rollout(
    setting: Setting,
    pilots: Pilots,
    draws: Draws,
    record: Sequence[int] = (),
    progress: Progress | None = None,
) -> EpisodeResults:
    """Drive all episodes of ``draws`` to their ends. ``record``: numbers of those whose trajectory is kept.
    The same for any number of threads, and for any one episode whatever others run beside it."""
    return Rollout(setting, pilots, draws, record).run(progress)


class Rollout:
    """Episodes about to be driven; ``run`` drives them, once."""

    def __init__(self, setting: Setting, pilots: Pilots, draws: Draws, record: Sequence[int] = ()) -> None:
        spec, n = setting.spec, len(draws)
        self._setting, self._spec, self._draws, self._pilots = setting, spec, draws, pilots
        self._errors = setting.errors or load_errors(spec)
        self._period_ns = round(1e9 / spec.rates.guardian_hz)
        self._period_ms = period_ms(spec)
        self._per_step = spec.ticks_per_step
        self._generators = draws.generators()
        self.fleet = CarFleet(
            spec, setting.world, draws.truths(), setting.timestep, setting.threads, SETTLE_STEPS
        )
        self._drive = FleetDrive(spec, self.fleet)
        self._senses = FleetSenses(
            spec, self.fleet, self._drive, self._errors, self._generators, draws.column("estimate_error")
        )
        self._lateness = Lateness(spec, draws, self._generators)
        self._guardian = FleetGuardian(spec, n, views=2)
        deviation = self._senses.deviation
        self._deviations = np.stack((deviation, np.zeros_like(deviation)))
        """Of what the robots believe, and of what is true."""
        names = [a.name for a in spec.actuators]
        self._map = ActionMap(setting.contract.actions, setting.contract.policy_hz)
        self._index = np.array([names.index(t.actuator) for t in setting.contract.actions])
        self._rest = np.array([a.rest for a in spec.actuators])

        self._tasks = fleet_tasks(spec, setting.course, setting.make_task, setting.contract, n)
        self._tally = EpisodeTally(spec, draws, setting.course.length)
        success = setting.make_task().success
        self._seconds = setting.seconds or success.seconds
        goal = np.inf if setting.endless else success.cycles
        self._judge = FleetJudge(spec, self._tasks, self._tally, goal)

        self._action: Array = np.zeros((n, setting.contract.action_size))
        """The newest executed action [-1, 1]."""
        self._command: Array = np.tile(self._rest, (n, 1))
        self._spoken: NDArray[np.bool_] = np.zeros(n, bool)
        self._spoken_ns: NDArray[np.int64] = np.zeros(n, np.int64)
        self._driving: NDArray[np.intp] = np.arange(n)
        """Numbers of the episodes that have not ended."""
        wanted = {int(number) for number in record}
        self._tape = EpisodeTape(
            spec, [row for row, number in enumerate(draws.numbers.tolist()) if number in wanted]
        )

    def run(self, progress: Progress | None = None) -> EpisodeResults:
        """Drive all to their ends."""
        self._start()
        last = round(self._seconds * 1e9) // self._period_ns
        for tick in range(last + 1):
            self._tick(tick)
            if tick % self._per_step == 0:
                self._step(tick)
                if progress is not None:
                    progress(tick / last, len(self._driving))
            if not len(self._driving):
                break
            everyone = None if len(self._driving) == len(self._draws) else self._driving
            for _ in range(self._period_ms):
                self._drive.step(everyone)
                self._senses.step()
        for car in self._driving:
            self._end(int(car), Ending.TIME)
        return self._results()

    def _start(self) -> None:
        """Set the cars down and let them roll."""
        draws, course = self._draws, self._setting.course
        at, speeds = draws.column("start_distance"), draws.column("start_speed")
        points = course.points(at)
        headings = np.array([course.heading(s) for s in at.tolist()])
        aside = draws.column("start_offset")
        poses = np.stack(
            (
                points.real - aside * np.sin(headings),
                points.imag + aside * np.cos(headings),
                headings + draws.column("start_heading"),
            ),
            axis=-1,
        )
        everyone = np.arange(len(draws))
        self.fleet.place(everyone, poses, speeds)
        self._drive.start(everyone, speeds)
        self._senses.start()
        setpoint = np.tile(self._rest, (len(draws), 1))
        setpoint[:, [a.name for a in self._spec.actuators].index("speed")] = speeds
        self._guardian.start(START_NS, setpoint)
        now = np.full(len(draws), START_NS)
        self._guardian.offer(START_NS, np.ones(len(draws), bool), now, setpoint)
        self._action[:] = self._precise(self._map.from_units(setpoint[:, self._index]))

    def _tick(self, tick: int) -> None:
        now = START_NS + tick * self._period_ns
        senses, guardian, driving = self._senses, self._guardian, self._driving
        senses.tick(now)
        self._lateness.remember(tick, senses.estimate)
        if tick % self._per_step == 0:
            self._lateness.throw()
        guardian.offer(now, self._spoken, self._spoken_ns, self._command)
        self._tape.offered(self._spoken, self._spoken_ns, self._command)
        self._spoken[:] = False
        states = np.stack((senses.estimate, senses.truth))
        allowed, brakes = guardian.tick(
            now, states, self._deviations, senses.sensors, senses.times_ns, senses.sequences
        )
        sent = self._drive.command(allowed, self._lateness.on_the_wire_ms(), brakes)
        guardian.went(sent)
        self._tally.ticked(driving, guardian, senses, guardian.requests[1], guardian.monitors.margin[1])
        senses.touched[:] = False
        self._tape.record(tick, now, senses, guardian, allowed, self._action)
        for car in driving[self.fleet.diverged[driving]].tolist():
            self._end(car, Ending.DIVERGED)
        stopped = ~guardian.authority[self._driving]
        for car in self._driving[stopped].tolist():
            self._tally.stopped(car, int(guardian.cause[car]), int(guardian.limit[car]))
            # What the kernel stopped may have been a crash already.
            failure = self._judge.failure(car, now, senses.truth)
            self._end(car, Ending.STOPPED if failure is None else failure)

    def _step(self, tick: int) -> None:
        """A policy step: judge what came of the last one, then look and act."""
        now, cars, senses = START_NS + tick * self._period_ns, self._driving, self._senses
        if tick == 0:
            self._judge.begin(cars, now, senses.truth, senses.estimate)
        else:
            for car, ending in self._judge.step(cars, now, self._action, senses.truth):
                self._end(car, ending)
        self._act(tick)

    def _act(self, tick: int) -> None:
        """Let the pilots see and act: late, not at all, or on what they saw before, as the episode has it."""
        now = START_NS + tick * self._period_ns
        cars, states = self._lateness.seen(tick, self._driving)
        if not len(cars):
            return
        previous = self._action[cars]
        observations = self._tasks.observe(cars, states, previous)
        action = self._pilots.act(now, states, observations, previous, cars)
        finite = np.isfinite(action).all(axis=1)
        for car in cars[~finite].tolist():
            self._end(car, Ending.NOT_FINITE)
        cars, action, previous = cars[finite], self._precise(action[finite]), previous[finite]
        self._tally.acted(cars, action, previous)
        self._action[cars] = action
        self._command[cars] = self._rest
        self._command[cars[:, None], self._index] = self._map.to_units(action)
        delivered = self._lateness.delivered(cars)
        self._spoken[delivered], self._spoken_ns[delivered] = True, now

    def _precise(self, action: Array) -> Array:
        """At a row's precision, as the pilot takes it."""
        return action.astype(np.float32).astype(np.float64)

    def _end(self, car: int, ending: Ending) -> None:
        self._tally.end(car, ending)
        self._driving = self._driving[self._driving != car]

    def _results(self) -> EpisodeResults:
        rows, tally = self._tally.rows, self._tally
        trajectories = [
            self._tape.trajectory(place, int(rows["number"][car]), int(tally.ticks[car]))
            for place, car in enumerate(self._tape.rows)
        ]
        limits = tuple(limit.name for limit in self._spec.safety.limits)
        return EpisodeResults(rows, self._draws.names, limits, self._draws.seed, tuple(trajectories))
