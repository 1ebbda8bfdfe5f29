"""What is kept of some episodes tick by tick: the truth, and the record that a guardian would have logged."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from robot.messages import Actor, DeviceFlag, tick_dtype
from robot.safety.state_machine import TORQUE
from robot.spec import RobotSpec
from sim.episode_results import Trajectory
from sim.fleet_guardian import FleetGuardian
from sim.fleet_senses import FleetSenses
from sim.plant import Array

Rows = NDArray[np.void]
EPOCH = 1
"""Of arming: an episode begins armed."""
_TORQUE = [int(state) for state in TORQUE]


class EpisodeTape:
    """Of the fleet's cars in ``rows``. ``offered`` when pilots have spoken, ``record`` at the end of a tick,
    then the ``trajectory`` of each."""

    def __init__(self, spec: RobotSpec, rows: Sequence[int]) -> None:
        self.rows = list(rows)
        self._spec, self._dtype = spec, tick_dtype(spec)
        self._command = np.zeros(len(self.rows), self._dtype["command"])
        self._truth: list[Array] = []
        self._action: list[Array] = []
        self._ticks: list[Rows] = []

    def offered(self, spoken: NDArray[np.bool_], time_ns: NDArray[np.int64], goal: Array) -> None:
        """The pilots' commands that reach the guardians in this tick."""
        rows, command = self.rows, self._command
        if not rows:
            return
        new = spoken[rows]
        command["sequence"][new] += 1
        command["epoch"], command["actor"] = EPOCH, Actor.POLICY
        command["time_ns"][new] = time_ns[rows][new]
        command["setpoint"][new] = goal[rows][new]

    def record(
        self,
        tick: int,
        now_ns: int,
        senses: FleetSenses,
        guardian: FleetGuardian,
        allowed: Array,
        action: Array,
    ) -> None:
        """A tick, after the setpoints went out. ``action``: the newest executed ones [-1, 1]."""
        rows = self.rows
        if not rows:
            return
        made = np.zeros(len(rows), self._dtype)
        # Not from 0: who judges it again must know that it begins in the middle, armed.
        made["tick"] = tick + 1
        for name in ("time_ns", "due_ns", "read_ns"):
            made[name] = now_ns
        driving = guardian.driving[rows]
        state = guardian.state[rows]
        made["epoch"], made["converged"] = EPOCH, True
        made["safety_state"], made["cause"] = state, guardian.cause[rows]
        made["actor"] = np.where(driving, Actor.POLICY, np.where(np.isin(state, _TORQUE), Actor.SAFETY, 0))
        made["altered"] = np.where(driving, guardian.altered[rows], guardian.valid[rows])
        made["request"] = guardian.request[rows]
        made["devices"] = DeviceFlag.OPEN | DeviceFlag.PROVEN
        made["margin"] = guardian.monitors.margin[0, rows]
        made["requested"] = np.where(driving[:, None], guardian.requested[rows], guardian.setpoint[rows])
        made["allowed"] = np.where(driving[:, None], allowed[rows], guardian.sent[rows])
        made["sent"] = guardian.sent[rows]
        made["state"], made["deviation"] = senses.estimate[rows], senses.deviation[rows]
        at = 0
        for k, sensor in enumerate(self._spec.sensors):
            measured = made["measured"][sensor.name]
            measured["time_ns"], measured["sequence"] = senses.times_ns[rows, k], senses.sequences[rows, k]
            measured["values"] = senses.sensors[rows, at : at + sensor.layout.size]
            at += sensor.layout.size
        operator = made["operator"]
        operator["sequence"], operator["time_ns"] = tick + 1, now_ns
        operator["arm"], operator["enable"], operator["pressed_ns"] = 1, 1, now_ns
        made["command"] = self._command
        self._ticks.append(made)
        self._truth.append(senses.truth[rows].copy())
        self._action.append(action[rows].copy())

    def trajectory(self, place: int, number: int, length: int) -> Trajectory:
        """Of the ``place``-th car of ``rows``, which is episode ``number``, its first ``length`` ticks."""
        ticks = np.array([made[place] for made in self._ticks[:length]], self._dtype)
        truth, action = (
            np.array([made[place] for made in tape[:length]], np.float64)
            for tape in (self._truth, self._action)
        )
        seconds = np.asarray((ticks["time_ns"] - ticks["time_ns"][:1]) * 1e-9, np.float64)
        return Trajectory(number, seconds, truth, action, ticks)
