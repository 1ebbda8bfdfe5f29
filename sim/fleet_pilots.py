"""Who drives a fleet: a policy's ONNX file for all cars at once, or one scripted driver per car."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from robot.contract import ActionMap, TaskContract
from robot.policy import Policy, open_session
from robot.spec import RobotSpec
from robot.teleop.device import TeleopDevice
from sim.plant import Array

Observations = NDArray[np.float32]
CHUNK = 32
"""Observations per call of the file. Always as many, the last chunk filled up: a matrix product may add up
otherwise for another number of rows, and an episode must not depend on how many others run beside it."""


class Pilots(Protocol):
    """Executed actions for all cars of a fleet."""

    def act(
        self, now_ns: int, states: Array, observations: Observations, previous: Array, cars: NDArray[np.intp]
    ) -> Array:
        """The actions [-1, 1] of the cars with these numbers, shape (n, n_actions); not finite where one
        cannot tell. ``states``, ``observations`` and ``previous`` actions are those cars', in their order."""


class PolicyFile:
    """A policy's file run on many observations, without noise: what ``robot.policy.Policy`` does, row by row.

    ``noise``: standard normal numbers for a sampled policy come with the call; zeros are the deterministic
    one. Raises PolicyError or ContractMismatchError, as ``Policy`` does.
    """

    def __init__(self, path: Path, contract: TaskContract, calibration_hash: str | None = None) -> None:
        single = Policy(path, contract, calibration_hash)
        self.version, self.noise_size = single.version, single.noise_size
        self._session = open_session(path)
        self._observation = np.zeros((CHUNK, contract.observation_size), np.float32)
        self._noise = np.zeros((CHUNK, single.noise_size), np.float32)
        self._action = np.zeros((CHUNK, contract.action_size), np.float32)
        self._binding = self._session.io_binding()
        for name, array in (("observation", self._observation), ("noise", self._noise)):
            self._binding.bind_input(name, "cpu", 0, np.float32, array.shape, array.ctypes.data)
        out = self._action
        self._binding.bind_output("action", "cpu", 0, np.float32, out.shape, out.ctypes.data)

    def __call__(self, observations: Observations) -> NDArray[np.float32]:
        """Raw actions in [-1, 1], shape (n, n_actions)."""
        n = len(observations)
        raw = np.empty((n, self._action.shape[1]), np.float32)
        for start in range(0, n, CHUNK):
            some = observations[start : start + CHUNK]
            self._observation[: len(some)] = some
            self._observation[len(some) :] = 0.0
            self._session.run_with_iobinding(self._binding)
            raw[start : start + CHUNK] = self._action[: len(some)]
        return raw


class PolicyPilots:
    """Drive by a policy: its raw action addresses what the slew limit lets it reach, as the pilot has it."""

    def __init__(self, policy: Callable[[Observations], NDArray[np.float32]], contract: TaskContract) -> None:
        self._policy = policy
        self._map = ActionMap(contract.actions, contract.policy_hz)

    def act(
        self, now_ns: int, states: Array, observations: Observations, previous: Array, cars: NDArray[np.intp]
    ) -> Array:
        return self._map.reach(self._policy(observations), previous)


class ScriptedPilots:
    """A scripted driver in every car; ``make`` builds one."""

    def __init__(
        self, spec: RobotSpec, contract: TaskContract, make: Callable[[], TeleopDevice], size: int
    ) -> None:
        self._map = ActionMap(contract.actions, contract.policy_hz)
        names = [a.name for a in spec.actuators]
        self._index = [names.index(t.actuator) for t in contract.actions]
        self._drivers = [make() for _ in range(size)]

    def act(
        self, now_ns: int, states: Array, observations: Observations, previous: Array, cars: NDArray[np.intp]
    ) -> Array:
        wanted = np.full((len(cars), len(self._index)), np.nan)
        for row, (car, state) in enumerate(zip(cars.tolist(), states, strict=True)):
            command = self._drivers[car].read(now_ns, state)
            if command is not None:
                wanted[row] = command.setpoint[self._index]
        return self._map.limit(self._map.from_units(wanted), previous)
