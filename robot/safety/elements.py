"""Everything a limit may watch, end to end in one vector.

| part                | names                                      | written by                              |
|---------------------|--------------------------------------------|-----------------------------------------|
| state               | ``velocity_body_x``                        | the guardian, from the estimator        |
| sensors             | ``drive.motor_current``                    | the guardian, from the newest samples   |
| deviation           | ``deviation.heading``                      | the guardian, from the estimator        |
| sent                | ``sent.speed``                             | the guardian, what left one tick ago    |
| heartbeats          | ``heartbeat.courier``                      | ``robot.safety.heartbeats``             |
| novelty             | ``command.novelty``                        | the pilot's out-of-distribution score   |
| fence               | ``fence``, where ``[safety.fence]`` is     | ``robot.safety.fence``                  |
| signals             | as declared in ``[[safety.signals]]``      | ``robot.safety.signals``                |
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from robot.errors import SpecError, nearest
from robot.spec import RobotSpec

Array = NDArray[np.float64]

HEARTBEATS = ("pilot", "courier")
"""Processes whose silence a limit may watch; the operator's is the enable timeout's."""
NOVELTY = "command.novelty"
FENCE = "fence"


class ElementLayout:
    """Names, units and places of all elements of a robot."""

    def __init__(self, spec: RobotSpec) -> None:
        state = spec.state_layout
        state_units = [f.unit for f in spec.estimator.state for _ in f.elements]
        names, units = list(state.names), list(state_units)
        self.sensors = slice(state.size, state.size + sum(s.layout.size for s in spec.sensors))
        for sensor in spec.sensors:
            names += [f"{sensor.name}.{name}" for name in sensor.layout.names]
            units += [f.unit for f in sensor.fields for _ in f.elements]
        self.state = slice(0, state.size)
        self.deviation = slice(len(names), len(names) + state.size)
        names += [f"deviation.{name}" for name in state.names]
        units += state_units
        self.sent = slice(len(names), len(names) + len(spec.actuators))
        names += [f"sent.{actuator.name}" for actuator in spec.actuators]
        units += [actuator.unit for actuator in spec.actuators]
        self.heartbeats = slice(len(names), len(names) + len(HEARTBEATS))
        names += [f"heartbeat.{process}" for process in HEARTBEATS]
        units += ["s"] * len(HEARTBEATS)
        self.novelty = len(names)
        names.append(NOVELTY)
        units.append("1")
        self.fence: int | None = None
        if spec.safety.fence is not None:
            self.fence = len(names)
            names.append(FENCE)
            units.append("m")
        self.signals = slice(len(names), len(names) + len(spec.safety.signals))
        names += [signal.name for signal in spec.safety.signals]
        units += [signal.unit for signal in spec.safety.signals]
        if len(set(names)) != len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise SpecError(f"{spec.name}: {twice!r} names two things a limit may watch; rename the signal")
        self.names = tuple(names)
        self.units = tuple(units)
        self.size = len(names)
        self._robot = spec.name
        self.depends = self._dependence(spec)
        """Which sensors' samples an element is made of directly, shape (size, n_sensors). The estimated state
        is the estimator's to judge."""

    def index(self, name: str, where: str) -> int:
        """The place of an element. Raises SpecError that names the nearest ones; ``where`` says who asked."""
        try:
            return self.names.index(name)
        except ValueError:
            raise SpecError(f"{self._robot}: {where} watches {name!r}; {nearest(name, self.names)}") from None

    def _dependence(self, spec: RobotSpec) -> NDArray[np.bool_]:
        depends = np.zeros((self.size, len(spec.sensors)), bool)
        start = self.sensors.start
        for i, sensor in enumerate(spec.sensors):
            depends[start : start + sensor.layout.size, i] = True
            start += sensor.layout.size
        for i, signal in enumerate(spec.safety.signals, self.signals.start):
            for name in signal.of:
                depends[i] |= depends[self.index(name, f"signal {signal.name!r}")]
        return depends
