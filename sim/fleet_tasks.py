"""The task of every episode: what its pilot observes of the estimate, and what the truth earns it.

``LapTask`` is computed for all cars at once; any other task runs as one object per car and role.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from robot.contract import TaskContract
from robot.observer import Observer
from robot.practice.course import Course
from robot.practice.lap_task import LARGEST_FORCE, PREVIEW_METRES, LapTask
from robot.spec import RobotSpec
from robot.task import Task, reward
from sim.fleet_course import FleetCourse
from sim.plant import Array

Cars = NDArray[np.intp]
Flags = NDArray[np.bool_]
Observations = NDArray[np.float32]


class FleetTasks(Protocol):
    """Everything is of the cars with these numbers, in their order."""

    def begin(self, cars: Cars, truths: Array, estimates: Array) -> Array:
        """Episodes start from here; their progress [cycles], shape (n,)."""

    def observe(self, cars: Cars, estimates: Array, previous: Array) -> Observations:
        """What pilots see, shape (n, observation_size); ``previous``: their newest actions."""

    def outcome(
        self, cars: Cars, before: Array, actions: Array, truths: Array, failed: Flags
    ) -> tuple[Array, Array, Flags]:
        """Rewards of the step between two truths, progress [cycles], and for whom the task itself calls it a
        failure (whose reward then says so), shape (n,) each."""


class SeparateTasks:
    """A task of its own for every car's pilot and for every car's judge."""

    def __init__(self, make_task: Callable[[], Task], contract: TaskContract, size: int) -> None:
        self._observers = [Observer(make_task(), contract) for _ in range(size)]
        self._judges = [make_task() for _ in range(size)]
        self._previous: dict[int, Array] = {}

    def begin(self, cars: Cars, truths: Array, estimates: Array) -> Array:
        progress = []
        for car, truth, estimate in zip(cars.tolist(), truths, estimates, strict=True):
            self._observers[car].reset(estimate)
            judge = self._judges[car]
            judge.reset(truth)
            progress.append(judge.outcome(truth, np.zeros(1), truth, False).progress)
        return np.array(progress)

    def observe(self, cars: Cars, estimates: Array, previous: Array) -> Observations:
        rows = zip(cars.tolist(), estimates, previous, strict=True)
        self._previous |= dict(zip(cars.tolist(), previous, strict=True))
        return np.array([self._observers[car].observe(state, action) for car, state, action in rows])

    def outcome(
        self, cars: Cars, before: Array, actions: Array, truths: Array, failed: Flags
    ) -> tuple[Array, Array, Flags]:
        rewards, progress, trouble = np.zeros(len(cars)), np.zeros(len(cars)), np.zeros(len(cars), bool)
        for row, car in enumerate(cars.tolist()):
            judge = self._judges[car]
            if car in self._previous:
                judge.observe(before[row], self._previous[car])
            outcome = judge.outcome(before[row], actions[row], truths[row], bool(failed[row]))
            if outcome.trouble and not failed[row]:
                trouble[row] = True
                outcome = judge.outcome(before[row], actions[row], truths[row], True)
            rewards[row], progress[row] = reward(judge, outcome), outcome.progress
        return rewards, progress, trouble


@dataclass
class _Places:
    """Arc lengths and lateral offsets [m] of all cars, and arc lengths unwrapped since the start [m]."""

    s: Array
    lateral: Array
    total: Array


class LapTasks:
    """``LapTask`` for all cars at once, with its numbers to rounding."""

    def __init__(self, spec: RobotSpec, course: Course, size: int) -> None:
        task = LapTask(spec, course)
        self._options, self._weights = task.options, task.reward_weights
        self._course = FleetCourse(course)
        layout = spec.state_layout
        self._position, self._heading = layout["position_world"], layout.index("heading")
        self._velocity, self._yaw_rate = layout["velocity_body"], layout["yaw_rate"]
        force = layout["specific_force"]
        self._force = slice(force.start, force.start + 2)
        self._corridor = self._options.corridor_metres or np.inf
        self._per_metre = spec.rates.policy_hz / self._options.top_speed
        self._seen, self._true = (_Places(np.zeros(size), np.zeros(size), np.zeros(size)) for _ in range(2))
        self._origin: Array = np.zeros(size)
        self._furthest: Array = np.zeros(size)
        self._previous: Array = np.full((size, len(spec.actions)), np.nan)

    def begin(self, cars: Cars, truths: Array, estimates: Array) -> Array:
        for places, states in ((self._seen, estimates), (self._true, truths)):
            x, y = states[:, self._position].T
            places.s[cars], places.lateral[cars] = self._course.project(x, y)
            places.total[cars] = places.s[cars]
        start = self._true.s[cars]
        self._origin[cars] = np.where(start <= self._options.line_metres, start, self._course.length)
        self._furthest[cars] = start
        self._previous[cars] = np.nan
        return np.asarray((start - self._origin[cars]) / self._course.length)

    def _locate(self, places: _Places, cars: Cars, states: Array) -> None:
        x, y = states[:, self._position].T
        before = places.s[cars]
        s, lateral = self._course.project(x, y, before)
        places.total[cars] += self._course.advance(before, s)
        places.s[cars], places.lateral[cars] = s, lateral

    def observe(self, cars: Cars, estimates: Array, previous: Array) -> Observations:
        self._locate(self._seen, cars, estimates)
        self._previous[cars] = previous
        s, heading = self._seen.s[cars], estimates[:, self._heading]
        turned = heading - self._course.heading(s)
        x, y = estimates[:, self._position].T
        return np.concatenate(
            (
                estimates[:, self._velocity],
                estimates[:, self._yaw_rate],
                np.minimum(LARGEST_FORCE, np.maximum(-LARGEST_FORCE, estimates[:, self._force])),
                previous,
                self._seen.lateral[cars, None],
                np.sin(turned)[:, None],
                np.cos(turned)[:, None],
                self._course.preview(s, PREVIEW_METRES, x, y, heading),
            ),
            axis=1,
        ).astype(np.float32)

    def outcome(
        self, cars: Cars, before: Array, actions: Array, truths: Array, failed: Flags
    ) -> tuple[Array, Array, Flags]:
        from_here = self._true.total[cars].copy()
        self._locate(self._true, cars, truths)
        total = self._true.total[cars]
        self._furthest[cars] = np.maximum(self._furthest[cars], total)
        previous = np.where(np.isfinite(self._previous[cars]), self._previous[cars], actions)
        outside = np.maximum(0.0, np.abs(self._true.lateral[cars]) - self._corridor)
        trouble = (self._furthest[cars] - total > self._options.wrong_way_metres) & ~failed
        terms = (
            (total - from_here) * self._per_metre,
            (failed | trouble).astype(float),
            np.square(actions - previous).sum(axis=1),
            outside,
        )
        rewards = sum(weight * term for weight, term in zip(self._weights.tolist(), terms, strict=True))
        return np.asarray(rewards), (total - self._origin[cars]) / self._course.length, trouble


def fleet_tasks(
    spec: RobotSpec, course: Course, make_task: Callable[[], Task], contract: TaskContract, size: int
) -> FleetTasks:
    """All cars' tasks, at once where the task allows it."""
    if type(make_task()) is LapTask:
        return LapTasks(spec, course, size)
    return SeparateTasks(make_task, contract, size)
