"""Everything that watches, and the worst of what it asks for."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from robot.messages import Cause
from robot.safety.elements import ElementLayout
from robot.safety.fence import Fence
from robot.safety.freshness import Counts, Freshness, Times
from robot.safety.limits import Limits
from robot.safety.signals import Signals
from robot.safety.state_machine import Request
from robot.spec import RobotSpec

Array = NDArray[np.float64]

OVERRUNS_PER_SECOND = 3
"""So many missed deadlines within a second derate the robot; fewer are only counted."""


class Verdict(NamedTuple):
    """A request, its cause, and the name of what it is about (a limit, a sensor, a port)."""

    request: Request = Request.NONE
    cause: Cause = Cause.NONE
    detail: str = ""


CLEAR = Verdict()


def worse(a: Verdict, b: Verdict) -> Verdict:
    """The more severe of two verdicts; the first where they are equal."""
    return b if b.request > a.request else a


class Monitors:
    """Freshness of the required sensors, then the spec's limits on everything it names. One robot; the parts
    are batch-first. Write ``state`` and the other views into ``elements``, then ``update``."""

    def __init__(self, spec: RobotSpec) -> None:
        layout = self.layout = ElementLayout(spec)
        self.elements: Array = np.full(layout.size, np.nan)
        self.state = self.elements[layout.state]
        self.sensors = self.elements[layout.sensors]
        self.deviation = self.elements[layout.deviation]
        self.sent = self.elements[layout.sent]
        self.silence = self.elements[layout.heartbeats]
        self.novelty = self.elements[layout.novelty : layout.novelty + 1]
        self.deviation.fill(np.inf)
        self.sent[:] = [a.rest for a in spec.actuators]
        self.silence.fill(0.0)
        self.novelty.fill(0.0)
        self.freshness = Freshness(spec)
        self.fence = None if spec.safety.fence is None else Fence(spec, spec.safety.fence)
        self._signals = Signals(spec, layout)
        self.limits = Limits(spec, layout)
        self._names = tuple(s.name for s in spec.sensors)
        self._limits = spec.safety.limits

    @property
    def dependable(self) -> bool:
        """Whether every required sensor is fresh and finite: a standstill seen by others proves nothing."""
        fresh = self.freshness
        return not bool((fresh.required & (fresh.stale | ~fresh.finite)).any())

    def update(self, now_ns: int, times_ns: Times, sequences: Counts, moving: bool) -> Verdict:
        """The worst of what is seen now. ``times_ns`` and ``sequences``: of the newest samples, shape
        (n_sensors,). ``moving``: a sensor whose values stand still is then a dead one."""
        fresh = self.freshness
        fresh.update(now_ns, times_ns, sequences, self.sensors)
        dead = fresh.stale | fresh.frozen if moving else fresh.stale
        bad = fresh.required & (dead | ~fresh.finite)
        verdict = self._sensor_verdict(bad) if bad.any() else CLEAR
        if self.fence is not None:
            self.elements[self.layout.fence] = self.fence.margin(self.state, self.deviation)
        self._signals.update(now_ns, self.elements)
        requests = self.limits.update(now_ns, self.elements, fresh.stale)
        if requests.any():
            worst = int(requests.argmax())
            limit = self._limits[worst]
            verdict = worse(verdict, Verdict(Request(int(requests[worst])), Cause.LIMIT, limit.name))
        return verdict

    def _sensor_verdict(self, bad: NDArray[np.bool_]) -> Verdict:
        fresh = self.freshness
        which = int(bad.argmax())
        name = self._names[which]
        if fresh.stale[which]:
            return Verdict(Request.CATEGORY2, Cause.SENSOR_STALE, name)
        if not fresh.finite[which]:
            return Verdict(Request.CATEGORY2, Cause.SENSOR_NOT_FINITE, name)
        return Verdict(Request.CATEGORY2, Cause.SENSOR_STALE, f"{name} frozen")


class OverrunMonitor:
    """Lateness of the loop itself, measured from the deadline and from the previous tick, so that time lost
    inside a tick shows in the next one even though its missed deadlines were skipped."""

    def __init__(self, period_ns: int, overrun_s: float) -> None:
        self._period_ns = period_ns
        self._overrun_ns = round(overrun_s * 1e9)
        self._last_ns: int | None = None
        self._recent: deque[int] = deque(maxlen=OVERRUNS_PER_SECOND)
        self.count = 0
        """Ticks that came more than one period late."""

    def update(self, now_ns: int, due_ns: int) -> Verdict:
        late = now_ns - due_ns
        if self._last_ns is not None:
            late = max(late, now_ns - self._last_ns - self._period_ns)
        self._last_ns = now_ns
        if late > self._period_ns:
            self.count += 1
            self._recent.append(now_ns)
        if late > self._overrun_ns:
            return Verdict(Request.CATEGORY1, Cause.OVERRUN, f"{late / 1e6:.0f} ms late")
        if len(self._recent) == OVERRUNS_PER_SECOND and now_ns - self._recent[0] < 1_000_000_000:
            return Verdict(Request.REDUCE, Cause.OVERRUN, f"{OVERRUNS_PER_SECOND} in a second")
        return CLEAR
