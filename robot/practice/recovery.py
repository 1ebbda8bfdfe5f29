"""The recovery ladder: what the robot tries, rung by rung, to get out of trouble by itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import numpy as np

from robot.errors import SpecError, nearest
from robot.spec import RobotSpec
from robot.task import Array

FOLLOW_ADVICE = 0.8
"""Share of draws that take the sign a task advises; the rest keep the ladder from repeating a mistake."""


@runtime_checkable
class Orienting(Protocol):
    """A task that knows which way the robot should face; recovery uses it if the task has it."""

    def oriented(self, state: Array) -> bool:
        """Whether the robot may go on from here."""

    def recovery_signs(self, state: Array, command: Mapping[str, float]) -> dict[str, float]:
        """For some actuators, the sign (+1 or -1) of the setpoint that turns the robot the right way."""


class RecoveryLadder:
    """Setpoints for each rung. ``rung`` counts up over all cycles; ``rungs`` is how many there are before a
    person is called."""

    def __init__(self, spec: RobotSpec, rng: np.random.Generator) -> None:
        self._steps = spec.practice.recovery
        self._rng = rng
        self._index = {a.name: i for i, a in enumerate(spec.actuators)}
        self._rest = np.array([a.rest for a in spec.actuators])
        self._lower = np.array([a.lower for a in spec.actuators])
        self._upper = np.array([a.upper for a in spec.actuators])
        self.rungs = len(self._steps) * spec.practice.cycles
        for step in self._steps:
            for name in (*step.command, *step.random):
                if name not in self._index:
                    raise SpecError(
                        f"{spec.name}: practice.recovery commands {name!r}; {nearest(name, self._index)}"
                    )

    def command(self, rung: int, state: Array, task: object = None) -> Array:
        """Draw the setpoints [actuator units] that ``rung`` holds from here; actuators not named rest.

        A ``random`` element is uniform over [-value, value]. If the task advises a sign, the larger half of
        that side is drawn most of the time: turning the right way needs lock.
        """
        step = self._steps[rung % len(self._steps)]
        advice = task.recovery_signs(state, step.command) if isinstance(task, Orienting) else {}
        setpoint = self._rest.copy()
        for name, value in step.command.items():
            if name in step.random:
                blind, follow = self._rng.uniform(-1.0, 1.0), self._rng.random() < FOLLOW_ADVICE
                sign = advice.get(name)
                value *= blind if sign is None or not follow else sign * (1.0 + abs(blind)) / 2.0
            setpoint[self._index[name]] = value
        return np.asarray(np.clip(setpoint, self._lower, self._upper), np.float64)
