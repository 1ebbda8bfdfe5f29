"""From a policy's or a person's wish to the executed action of the contract, and to setpoints."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from robot.contract import ActionMap, TaskContract
from robot.policy import Policy
from robot.spec import RobotSpec
from robot.task import Array
from robot.teleop.device import TeleopCommand

TELEOP_STALE_NS = 300_000_000
"""A device silent for longer [ns] while it has the robot holds it at rest; the policy does not get it."""

REPRESENTED = 1e-6
"""A setpoint this close [actuator units] to what the contract's action can express is expressed by it."""


class Acting:
    """Keeps the previous action and the exploration noise of an episode.

    ``noise_correlation`` in [0, 1): of the noise from one step to the next; its variance stays 1.
    """

    def __init__(
        self, spec: RobotSpec, contract: TaskContract, rng: np.random.Generator, noise_correlation: float
    ) -> None:
        self._map = ActionMap(contract.actions, contract.policy_hz)
        names = [a.name for a in spec.actuators]
        self._index = np.array([names.index(t.actuator) for t in contract.actions])
        self._rest = np.array([a.rest for a in spec.actuators])
        self._rng = rng
        self._kept, self._fresh = noise_correlation, float(np.sqrt(1.0 - noise_correlation**2))
        self._noise = np.zeros(contract.action_size, np.float32)
        self.action: Array = np.zeros(contract.action_size)
        """The newest executed action, [-1, 1]."""
        self.inexact = False
        """Whether the newest setpoints are others than the action says."""

    def start(self, allowed: Array) -> None:
        """An episode begins with these setpoints [actuator units] in force."""
        self._take(self._map.from_units(allowed[self._index]))
        self._noise[:] = self._draw()

    def by_policy(self, policy: Policy, observation: NDArray[np.float32], explore: bool) -> Array | None:
        """Setpoints for what the policy does, None if that is not finite."""
        if policy.noise_size != len(self._noise):
            self._noise = np.zeros(policy.noise_size, np.float32)
            self._noise[:] = self._draw()
        if explore:
            self._noise *= self._kept
            self._noise += self._fresh * self._draw()
        else:
            self._noise[:] = 0.0
        raw = policy.act(observation, self._noise)
        if not np.isfinite(raw).all():
            return None
        self._take(self._map.reach(raw, self.action))
        self.inexact = False
        return self._in_units()

    def by_device(self, command: TeleopCommand | None, now_ns: int) -> Array | None:
        """Setpoints for what a person or a script wants, None without a fresh and finite wish.

        What the contract's action can express goes through it, slew and all; what it cannot (a stop, reverse)
        passes unchanged and is ``inexact``.
        """
        if command is None or now_ns - command.time_ns > TELEOP_STALE_NS:
            return None
        if not np.isfinite(command.setpoint).all():
            return None
        wanted = command.setpoint[self._index]
        self._take(self._map.limit(self._map.from_units(wanted), self.action))
        within = (wanted >= self._map.lower - REPRESENTED) & (wanted <= self._map.upper + REPRESENTED)
        self.inexact = not bool(within.all())
        return command.setpoint if self.inexact else self._in_units()

    def _take(self, action: Array) -> None:
        """At a row's precision, so that the next observation repeats exactly what is stored."""
        self.action = action.astype(np.float32).astype(np.float64)

    def _in_units(self) -> Array:
        setpoint = self._rest.copy()
        setpoint[self._index] = self._map.to_units(self.action)
        return setpoint

    def _draw(self) -> NDArray[np.float32]:
        return self._rng.standard_normal(len(self._noise), dtype=np.float32)
