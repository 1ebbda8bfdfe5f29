"""What the guardian knows of its robot: samples, estimate, and what the monitors make of them."""

from __future__ import annotations

import math

import numpy as np

from robot.board import Board
from robot.clock import Clock
from robot.event_log import EventLog
from robot.inbox import PoseInbox
from robot.interface import Array, Estimate, Estimator, Measurements
from robot.messages import Cause
from robot.safety.elements import HEARTBEATS
from robot.safety.heartbeats import Heartbeats
from robot.safety.monitors import CLEAR, Monitors, Verdict, worse
from robot.safety.standstill import Standstill
from robot.safety.state_machine import Request
from robot.spec import RobotSpec


class Senses:
    """Fill ``measurements``, then ``update``, once a tick. ``state`` and ``deviation``: of the estimate, in
    the spec's state layout, live views; ``converged``: they may be relied on; ``still``: the robot has been
    seen to stand for a while. No estimator makes ``update`` raise."""

    def __init__(
        self, spec: RobotSpec, estimator: Estimator, clock: Clock, board: Board, events: EventLog
    ) -> None:
        self.measurements = Measurements(spec)
        self.monitors = Monitors(spec)
        self.estimator = estimator
        self.pose = PoseInbox(board.pose)
        self.state, self.deviation = self.monitors.state, self.monitors.deviation
        self.converged = self.still = False
        self._clock, self._events = clock, events
        self._heartbeats = Heartbeats(len(HEARTBEATS))
        self._speakers = tuple(getattr(board, process) for process in HEARTBEATS)
        record = self.measurements.record
        self._times = np.zeros(len(spec.sensors), np.int64)
        self._sequences = np.zeros(len(spec.sensors), np.uint64)
        self._time_views = [record[s.name]["time_ns"] for s in spec.sensors]
        self._sequence_views = [record[s.name]["sequence"] for s in spec.sensors]
        self._value_views = [record[s.name]["values"][0] for s in spec.sensors]
        self._standstill = spec.state_layout.index(spec.stop.standstill)
        self._standstill_below = spec.stop.standstill_below
        self._standing = Standstill()

    def update(self, now: int, sent: Array) -> Verdict:
        """The worst that is seen now. ``sent``: the setpoints that went out last, shape (n_actuators,)."""
        verdict = worse(self._estimate(now, sent), self._watch(now, sent))
        self.still = self._standing.update(now, self.monitors.dependable and self._slow())
        return verdict

    def _estimate(self, now: int, sent: Array) -> Verdict:
        """State and deviation from the measurements; an estimator that fails is a reason to stop."""
        try:
            if self.pose.update(self._clock):
                self.estimator.pose(self.pose.time_ns, self.pose.pose, self.pose.variance)
            estimate: Estimate = self.estimator.update(now, self.measurements, sent)
            self.state[:] = estimate.values
            self.deviation[:] = estimate.deviation
            self.converged = bool(estimate.converged)
        except Exception as error:  # noqa: BLE001  (whatever an estimator does, the robot must be stopped)
            self.converged = False
            self.state.fill(np.nan)
            text = f"{type(error).__name__}: {error}"
            self._events.at_most_once_a_second(now, "estimator", 0.0, text)
            return Verdict(Request.CATEGORY1, Cause.ESTIMATOR, text)
        if not all(map(math.isfinite, self.state.tolist())):
            return Verdict(Request.CATEGORY1, Cause.ESTIMATOR, "the state is not finite")
        return CLEAR

    def _watch(self, now: int, sent: Array) -> Verdict:
        np.concatenate(self._time_views, out=self._times)
        np.concatenate(self._sequence_views, out=self._sequences)
        monitors = self.monitors
        np.concatenate(self._value_views, out=monitors.sensors)
        self._heartbeats.update(now, [speaker.sequence for speaker in self._speakers])
        monitors.silence[:] = self._heartbeats.silence
        monitors.sent[:] = sent
        return monitors.update(now, self._times, self._sequences, not self._slow())

    def _slow(self) -> bool:
        # Written so that a speed that is not a number is not slow.
        return abs(float(self.state[self._standstill])) < self._standstill_below
