"""``robot.practice.failures.FailureDetector`` for many robots at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from robot.gravity import STANDARD_GRAVITY
from robot.practice.failures import Failure, element
from robot.spec import RobotSpec
from sim.plant import Array

Cars = NDArray[np.intp]
_FLIP, _CRASH, _STUCK = 1, 2, 3
FAILURES = {_FLIP: Failure.FLIP, _CRASH: Failure.CRASH, _STUCK: Failure.STUCK}


class FleetFailures:
    """Watches ``size`` episodes; ``begin``, then ``update`` each policy step, for the cars that drive."""

    def __init__(self, spec: RobotSpec, size: int) -> None:
        layout, practice = spec.state_layout, spec.practice
        self._position = layout["position_world"]
        self._impact, self._upright = element(layout, "impact"), element(layout, "upright")
        self._crash, self._flip_cosine = practice.crash_g * STANDARD_GRAVITY, practice.flip_cosine
        self._seconds_ns = round(practice.stuck_seconds * 1e9)
        self._metres_squared = practice.stuck_metres**2
        self._anchor: Array = np.zeros((size, 2))
        self._since_ns: NDArray[np.int64] = np.zeros(size, np.int64)
        self._quiet: NDArray[np.bool_] = np.zeros(size, bool)

    def begin(self, cars: Cars, time_ns: int, states: Array) -> None:
        """Watch episodes that start from ``states``, shape (n, n_state)."""
        self._anchor[cars], self._since_ns[cars] = states[:, self._position], time_ns
        self._quiet[cars] = True if self._impact is None else states[:, self._impact] < self._crash

    def update(self, cars: Cars, time_ns: int, states: Array) -> list[Failure | None]:
        """What failure each of these cars' states shows, if any."""
        code = np.zeros(len(cars), np.int64)
        moved = np.square(states[:, self._position] - self._anchor[cars]).sum(axis=1)
        moves = moved >= self._metres_squared
        going = cars[moves]
        self._anchor[going], self._since_ns[going] = states[moves][:, self._position], time_ns
        code[~moves & (time_ns - self._since_ns[cars] >= self._seconds_ns)] = _STUCK
        if self._impact is not None:
            calm = states[:, self._impact] < self._crash
            code[~calm & self._quiet[cars]] = _CRASH
            self._quiet[cars] |= calm
        if self._upright is not None:
            code[states[:, self._upright] < self._flip_cosine] = _FLIP
        return [FAILURES.get(c) for c in code.tolist()]
