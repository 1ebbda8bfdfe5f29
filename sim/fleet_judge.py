"""What the truth says of cars that drive: rewards, laps, failures, and whether the task is done."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from robot.practice.failures import Failure
from robot.practice.lap_timer import LapTimer
from robot.spec import RobotSpec
from sim.episode_results import Ending
from sim.episode_tally import EpisodeTally
from sim.fleet_failures import FleetFailures
from sim.fleet_tasks import FleetTasks
from sim.plant import Array

Cars = NDArray[np.intp]
_ENDINGS = {
    Failure.CRASH: Ending.CRASH,
    Failure.FLIP: Ending.FLIP,
    Failure.STUCK: Ending.STUCK,
    Failure.TASK: Ending.TASK,
}


class FleetJudge:
    """``begin`` once, then ``step`` after each policy step, for the cars that drive. Tells the tally of
    rewards, cycles and laps. ``goal``: who has driven so many cycles has done the task."""

    def __init__(self, spec: RobotSpec, tasks: FleetTasks, tally: EpisodeTally, goal: float) -> None:
        self._tasks, self._tally, self._goal = tasks, tally, goal
        n = len(tally.rows)
        self._failures = FleetFailures(spec, n)
        self._timers = [LapTimer() for _ in range(n)]
        self._before: Array = np.zeros((n, spec.state_layout.size))
        """The truth one policy step ago."""

    def begin(self, cars: Cars, time_ns: int, truth: Array, estimate: Array) -> None:
        """``truth`` and ``estimate``: of all cars, shape (n, n_state)."""
        self._failures.begin(cars, time_ns, truth[cars])
        cycles = self._tasks.begin(cars, truth[cars], estimate[cars])
        self._tally.begin(cars, cycles)
        for car, at in zip(cars.tolist(), cycles.tolist(), strict=True):
            self._timers[car].reset(time_ns, at)
        self._before[:] = truth

    def step(self, cars: Cars, time_ns: int, actions: Array, truth: Array) -> list[tuple[int, Ending]]:
        """Judge what came of ``actions``, shape (n, n_actions): which cars' episodes are over, and how."""
        if not len(cars):
            return []
        truths = truth[cars]
        failures = self._failures.update(cars, time_ns, truths)
        failed = np.array([f is not None for f in failures])
        rewards, progress, trouble = self._tasks.outcome(
            cars, self._before[cars], actions[cars], truths, failed
        )
        self._tally.judged(cars, rewards, progress)
        over = []
        for row, (car, cycles) in enumerate(zip(cars.tolist(), progress.tolist(), strict=True)):
            lap, _ = self._timers[car].update(time_ns, cycles)
            if lap is not None:
                self._tally.lapped(car, lap)
            failure = Failure.TASK if trouble[row] else failures[row]
            if failure is not None:
                over.append((car, _ENDINGS[failure]))
            elif cycles - self._tally.start_cycles[car] >= self._goal:
                over.append((car, Ending.FINISHED))
        self._before[:] = truth
        return over

    def failure(self, car: int, time_ns: int, truth: Array) -> Ending | None:
        """What a failure of this one car, between two steps, makes of its episode."""
        alone = np.array([car])
        (failure,) = self._failures.update(alone, time_ns, truth[alone])
        return None if failure is None else _ENDINGS[failure]
