"""The safety kernel for many robots at once: the parts of ``robot.safety`` in the order in which
``robot.guardian`` uses them, and the same verdicts.

What is not here, because a fleet has none of it: ports and drives (lost, unproven, faulty), mailboxes
(replayed, of another epoch, from the future), people (enable, buttons, emergency stops), overruns, and the
way up from power-on: a robot begins active, armed and moving.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from robot.messages import Cause, SafetyState
from robot.safety.barrier import Barrier
from robot.safety.command_gate import NOT_FINITE_LIMIT
from robot.safety.elements import ElementLayout
from robot.safety.fence import Fence
from robot.safety.freshness import Counts, Freshness, Times
from robot.safety.limits import Limits
from robot.safety.projection import Projection
from robot.safety.signals import Signals
from robot.safety.standstill import STILL_NS
from robot.safety.state_machine import Inputs, KernelState, Request, Timing, step
from robot.spec import RobotSpec
from sim.fleet_hold import FleetHold
from sim.plant import Array

Flags = NDArray[np.bool_]
_TIMED = (SafetyState.ACTIVE, SafetyState.REDUCED, SafetyState.HOLD)
# Plain numbers: numpy takes ten times as long to compare with an enumeration's member.
_ACTIVE, _REDUCED = int(SafetyState.ACTIVE), int(SafetyState.REDUCED)
_NONE, _NO_CAUSE = int(Request.NONE), int(Cause.NONE)
_NEVER = np.iinfo(np.int64).max


class FleetMonitors:
    """``robot.safety.monitors.Monitors`` for ``size`` robots: freshness of the required sensors, then the
    spec's limits. ``views``: of how many states of each robot they are asked, such as what it believes and
    what is true. ``margin``: to each limit, shape (views, size, n_limits)."""

    def __init__(self, spec: RobotSpec, size: int, views: int = 1) -> None:
        layout = self.layout = ElementLayout(spec)
        self.elements: Array = np.full((views, size, layout.size), np.nan)
        self.elements[..., layout.heartbeats] = 0.0
        self.elements[..., layout.novelty] = 0.0
        self.freshness = Freshness(spec, (size,))
        stale = self.freshness.stale  # filled anew in place
        self._stale = np.broadcast_to(stale, (views, *stale.shape))
        self.fence = None if spec.safety.fence is None else Fence(spec, spec.safety.fence)
        self._signals = Signals(spec, layout, (views, size))
        self.limits = Limits(spec, layout, (views, size))

    @property
    def margin(self) -> Array:
        return self.limits.margin

    @property
    def dependable(self) -> Flags:
        """Whether every required sensor is fresh and finite, shape (size,)."""
        fresh = self.freshness
        return np.asarray(~(fresh.required & (fresh.stale | ~fresh.finite)).any(axis=1))

    def update(
        self,
        now_ns: int,
        states: Array,
        deviations: Array,
        sensors: Array,
        sent: Array,
        times_ns: Times,
        sequences: Counts,
        moving: Flags,
    ) -> tuple[NDArray[np.int64], Flags]:
        """What each limit requests, shape (views, size, n_limits), and which sensors are of no use, shape
        (size, n_sensors). ``states``, ``deviations``: shape (views, size, n_state)."""
        layout, elements, fresh = self.layout, self.elements, self.freshness
        elements[..., layout.state], elements[..., layout.deviation] = states, deviations
        elements[..., layout.sensors], elements[..., layout.sent] = sensors, sent
        with np.errstate(invalid="ignore", over="ignore"):  # of a robot whose physics has diverged
            fresh.update(now_ns, times_ns, sequences, sensors)
            dead = fresh.stale | (fresh.frozen & moving[:, None])
            bad = fresh.required & (dead | ~fresh.finite)
            if self.fence is not None and layout.fence is not None:
                elements[..., layout.fence] = self.fence.margin(states, deviations)
            self._signals.update(now_ns, elements)
            requests = self.limits.update(now_ns, elements, self._stale)
        return requests, bad


class FleetGuardian:
    """Guards ``size`` robots. Once a tick: ``offer`` the pilots' commands, ``tick``, send what it allows, and
    tell it with ``went`` what was sent. It acts on the first of ``views`` states of each robot; what the
    limits say of the others is there to be read: ``requests``, shape (views, size, n_limits).

    ``state``, ``cause``: of each robot's kernel (``SafetyState``, ``Cause`` values), ``limit``: which limit
    asked for the worst (its number, -1: none), shape (size,). ``altered``: whether the newest command was.
    """

    def __init__(self, spec: RobotSpec, size: int, views: int = 1) -> None:
        self.monitors = FleetMonitors(spec, size, views)
        self._spec = spec
        self._timing = Timing.of(spec)
        self._barrier = Barrier(spec, self.monitors.fence)
        self._projection = Projection(spec.actuators, spec.rates.guardian_hz)
        self.hold = FleetHold(spec, size)
        self._standstill = spec.state_layout.index(spec.stop.standstill)
        self._slow_below = spec.stop.standstill_below
        self._slow_since: NDArray[np.int64] = np.full(size, _NEVER, np.int64)
        self._timeout_ns = round(spec.safety.command_timeout_s * 1e9)
        self.setpoint: Array = np.full((size, len(spec.actuators)), np.nan)
        """The newest accepted commands [actuator units]."""
        self.valid: Flags = np.zeros(size, bool)
        self._time_ns: NDArray[np.int64] = np.zeros(size, np.int64)
        self._not_finite: NDArray[np.int64] = np.zeros(size, np.int64)
        self._why: NDArray[np.int64] = np.full(size, Cause.COMMAND_STALE, np.int64)
        rest = np.array([a.rest for a in spec.actuators])
        self._anchor: Array = np.tile(rest, (size, 1))
        self._before, self.sent = self._anchor.copy(), self._anchor.copy()
        """``sent``: the setpoints that went out last."""
        self._allowed = self._anchor.copy()
        self.driving: Flags = np.zeros(size, bool)
        """Whose pilot's command was actuated in the newest tick."""
        self.kernels: list[KernelState] = [KernelState()] * size
        self.state: NDArray[np.int64] = np.zeros(size, np.int64)
        self.cause: NDArray[np.int64] = np.zeros(size, np.int64)
        self.limit: NDArray[np.int64] = np.full(size, -1, np.int64)
        self.request: NDArray[np.int64] = np.zeros(size, np.int64)
        """The worst that was asked for in the newest tick (``Request`` values)."""
        self.requests: NDArray[np.int64] = np.zeros(self.monitors.margin.shape, np.int64)
        self.altered: Flags = np.zeros(size, bool)
        self.requested: Array = self._anchor.copy()
        """What was asked of the drives in the newest tick, on the way to the command [actuator units]."""
        self.still: Flags = np.zeros(size, bool)

    @property
    def authority(self) -> Flags:
        """Whose pilot's commands are actuated, if there are any, shape (size,)."""
        return np.asarray((self.state == _ACTIVE) | (self.state == _REDUCED))

    def start(self, now_ns: int, setpoint: Array) -> None:
        """All robots are active from now on, with these setpoints in force, shape (size, n_actuators)."""
        state = SafetyState.ACTIVE
        kernel = KernelState(state, ~state, now_ns, now_ns, Cause.NONE, now_ns, advisory_ns=now_ns, epoch=1)
        self.kernels = [kernel] * len(self.kernels)
        self.state[:], self.cause[:], self.limit[:] = state, Cause.NONE, -1
        self._time_ns[:] = now_ns
        for values in (self._anchor, self._before, self.sent):
            values[:] = setpoint

    def offer(self, now_ns: int, spoken: Flags, time_ns: NDArray[np.int64], setpoint: Array) -> None:
        """New commands of the robots in ``spoken``: when they were written [ns], and what they ask for."""
        if not np.count_nonzero(spoken):
            return
        late = spoken & ((now_ns - time_ns > self._timeout_ns) | (self.valid & (time_ns < self._time_ns)))
        finite = np.isfinite(setpoint).all(axis=1)
        broken = spoken & ~late & ~finite
        accepted = spoken & ~late & finite
        self._why[late] = Cause.COMMAND_STALE
        self._why[broken] = Cause.COMMAND_NOT_FINITE
        self._not_finite[broken] += 1
        self._why[accepted] = Cause.COMMAND_STALE
        self._not_finite[accepted] = 0
        self.setpoint[accepted] = setpoint[accepted]
        self._time_ns[accepted] = time_ns[accepted]
        self.valid |= accepted
        self.hold.take(accepted, self.setpoint, self._anchor)

    def tick(
        self,
        now_ns: int,
        states: Array,
        deviations: Array,
        sensors: Array,
        times_ns: Times,
        sequences: Counts,
    ) -> tuple[Array, Flags]:
        """Judge, and say what goes to the drives: setpoints, shape (size, n_actuators), and who brakes
        instead, shape (size,). ``states``, ``deviations``: shape (views, size, n_state)."""
        state = states[0]
        slow = np.abs(state[:, self._standstill]) < self._slow_below
        self.requests, bad = self.monitors.update(
            now_ns, states, deviations, sensors, self.sent, times_ns, sequences, ~slow
        )
        self._stand(now_ns, slow & self.monitors.dependable)
        self._judge(now_ns, state, self.requests[0], bad)
        return self._act(state, deviations[0])

    def went(self, sent: Array) -> None:
        """What the drives were sent in this tick, after quantisation; NaN where nothing went out."""
        sent_at_all = np.isfinite(sent)
        driving = self.driving[:, None]
        np.copyto(self._before, self._anchor, where=driving)
        np.copyto(self._anchor, np.where(driving, self._allowed, sent), where=sent_at_all)
        np.copyto(self._before, self._anchor, where=~driving)
        np.copyto(self.sent, sent, where=sent_at_all)
        self.hold.advance()

    def _stand(self, now_ns: int, slow: Flags) -> None:
        self._slow_since[~slow] = _NEVER
        self._slow_since[slow] = np.minimum(self._slow_since[slow], now_ns)
        self.still = slow & (now_ns - self._slow_since >= STILL_NS)

    def _judge(self, now_ns: int, state: Array, requests: NDArray[np.int64], bad: Flags) -> None:
        """The worst of what is asked for, the first of equals, and a step of the state machines concerned."""
        request = np.full(len(state), _NONE, np.int64)
        cause = np.full(len(state), _NO_CAUSE, np.int64)
        limit = np.full(len(state), -1, np.int64)
        finite = np.isfinite(state)
        if np.count_nonzero(finite) < finite.size:
            lost = ~finite.all(axis=1)
            request[lost], cause[lost] = Request.CATEGORY1, Cause.ESTIMATOR
        if np.count_nonzero(bad):
            first = bad.argmax(axis=1)
            rows = np.arange(len(bad))
            fresh = self.monitors.freshness
            infinite = ~fresh.stale[rows, first] & ~fresh.finite[rows, first]
            why = np.where(infinite, Cause.SENSOR_NOT_FINITE, Cause.SENSOR_STALE)
            worse = bad.any(axis=1) & (request < Request.CATEGORY2)
            request[worse], cause[worse] = Request.CATEGORY2, why[worse]
        if np.count_nonzero(requests):
            first = requests.argmax(axis=1)
            asked = requests[np.arange(len(requests)), first]
            worse = asked > request
            request[worse], cause[worse], limit[worse] = asked[worse], Cause.LIMIT, first[worse]
        silent = now_ns - self._time_ns > self._timeout_ns
        if np.count_nonzero(silent) or np.count_nonzero(self._not_finite):
            broken = self._not_finite >= NOT_FINITE_LIMIT
            silent &= np.isin(self.state, _TIMED) & ~broken
            for mask, asked_for, why in (
                (broken, Request.CATEGORY1, np.full(len(request), Cause.COMMAND_NOT_FINITE)),
                (silent, Request.CATEGORY2, self._why),
            ):
                worse = mask & (request < asked_for)
                request[worse], cause[worse], limit[worse] = asked_for, why[worse], -1
        self.request = request
        for robot in np.flatnonzero((request != _NONE) | (self.state != _ACTIVE)).tolist():
            before = self.kernels[robot]
            after = step(
                before,
                Inputs(
                    now_ns=now_ns,
                    request=Request(int(request[robot])),
                    cause=Cause(int(cause[robot])),
                    enable=True,
                    still=bool(self.still[robot]),
                    ready=bool(request[robot] < Request.CATEGORY2),
                ),
                self._timing,
            )
            self.kernels[robot] = after
            if after.state is not before.state:
                self.limit[robot] = limit[robot]
            self.state[robot], self.cause[robot] = after.state, after.cause

    def _act(self, state: Array, deviation: Array) -> tuple[Array, Flags]:
        self.driving = self.authority & self.valid
        requested = self.requested = self.hold.target()
        with np.errstate(invalid="ignore"):
            safe = self._barrier.filter(requested, self._anchor, state, deviation)
        allowed = self._projection.project(safe, self._anchor, 1.0, self._before)
        reduced = self.state == _REDUCED
        if np.count_nonzero(reduced):
            scale = self._spec.safety.reduced_scale
            anchor, before = self._anchor[reduced], self._before[reduced]
            allowed[reduced] = self._projection.project(safe[reduced], anchor, scale, before)
        self._allowed = allowed
        self.altered = self.driving & self.hold.altered(allowed, self._projection.step)
        return allowed, ~self.driving
