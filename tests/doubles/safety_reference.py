"""What a guardian may do, told a second time: from the written requirements (states, authority, latching,
edges, timeouts), not from its code.

The reference never says what the guardian *will* do. From what is known to be wrong with the robot it derives
the least and the most that may be asked for in a tick, from that the set of states the guardian may be in
after it, and from what the pilot and the operator said it derives who may move the drive. Where the
requirements leave a few milliseconds open, both answers are allowed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product

from robot.messages import SafetyState
from robot.spec import RobotSpec

S = SafetyState
NOTHING, REDUCE, CATEGORY2, CATEGORY1, CATEGORY0 = range(5)
PUSHES = {S.ARMING, S.ACTIVE, S.REDUCED, S.HOLD, S.STOP1}
DRIVES = {S.ACTIVE, S.REDUCED}
LATCHED = {S.HOLD, S.STOP1, S.STOP0, S.FAULT, S.ESTOP}
MS = 1_000_000
BUTTONS = ("arm", "reset", "resume", "stop")


@dataclass
class Hazard:
    """Something wrong with the robot. From ``sure_ns`` until ``end_ns`` at least ``category`` must be asked
    for, from ``start_ns`` until ``over_ns`` it may be, and then for ``ticks`` more. ``moving``: it can only
    be seen on a robot that moves, so that ``sure_ns`` counts from when it last stood."""

    category: int
    start_ns: int
    sure_ns: float
    end_ns: int
    over_ns: int
    ticks: int = 8
    moving: bool = False
    blinds: bool = False
    """The robot's own idea of its motion is not to be relied on meanwhile and for ``confuses_ns`` after."""
    confuses_ns: int = 1000 * MS
    mends: bool = True
    """Whether putting things right ends it; otherwise only time does."""


@dataclass
class Said:
    """The newest record of an operator as the guardian finds it. ``presses``: counters by button."""

    time_ns: int
    enable: bool
    estop: bool
    presses: dict[str, int]


@dataclass
class Order:
    """The newest record of a pilot. ``intact``: it was published as every record is, not smuggled in."""

    number: int
    time_ns: int
    epoch: int
    setpoint: tuple[float, ...]
    intact: bool = True


@dataclass
class Facts:
    """What is true in one tick, as the world knows it."""

    now_ns: int
    late_ns: int
    speed: float
    said: Said | None
    order: Order | None


@dataclass
class Reference:
    """Call ``tick`` once for each tick of the guardian with what is true, then the ``check``s."""

    spec: RobotSpec
    state: SafetyState = S.BOOT
    since_ns: int = 0
    now_ns: int = -1
    epoch: int = 0
    hazards: list[Hazard] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.period_ns = round(1e9 / self.spec.rates.guardian_hz)
        self.released = False
        self.counters = dict.fromkeys(BUTTONS, 0)
        self.pressed: set[str] = set()
        self.enabled = self.estop = False
        self.late: list[int] = []
        self.still_since_ns: int | None = None
        self.blind_until_ns = 0
        self.seen_order = 0
        self.goal: tuple[float, ...] | None = None
        self.spoke_ns = 0
        self.not_finite = 0
        self.advised_sure_ns = self.advised_maybe_ns = 0
        self.least = self.most = NOTHING
        self.grave_since_ns: int | None = None
        self.backwards = False
        self.once = NOTHING
        """What must be asked for in the coming tick, and in no other."""
        self._speed = 0.0
        self.stops_by_itself = True
        """Whether the drive's own timeout would stop it, which arming must find out."""
        self._undisturbed = True
        self.may: set[SafetyState] = set()

    # One tick.

    def tick(self, facts: Facts) -> None:
        """Work out what may be asked for and where it may lead."""
        self.backwards = facts.now_ns < self.now_ns
        self.now_ns = facts.now_ns
        if self.backwards:
            self.late, self.grave_since_ns = [], None
        self._hear_operator(facts.said)
        self._hear_pilot(facts.order)
        self._watch_motion(facts.speed)
        self.least, self.most = self._requests(facts)
        if self.least >= CATEGORY1 and self.grave_since_ns is None:
            self.grave_since_ns = facts.now_ns
        elif self.most < CATEGORY1:
            self.grave_since_ns = None
        self.may = set(self._successors())

    def observe(self, state: SafetyState, epoch: int) -> None:
        """Check the state the guardian is in after the tick, and go on from it."""
        now, before = self.now_ns, self.state
        if self.backwards:
            assert state not in PUSHES, f"time ran backwards and it is {state.name}"
        else:
            assert state in self.may, (
                f"{before.name} -> {state.name}; allowed: {sorted(s.name for s in self.may)}; asked for "
                f"between {self.least} and {self.most}, enable {self.enabled}, pressed {self.pressed}"
            )
        if state == S.ARMING and before != S.ARMING:
            assert epoch == (self.epoch + 1) % (1 << 32), "each arming has an epoch of its own"
            self.epoch, self.goal, self.not_finite = epoch, None, 0
        assert epoch == self.epoch, "an epoch changed without arming"
        self.epoch = epoch
        if state != before:
            self.since_ns = now
            if state == S.ACTIVE and self.goal is None:
                self.spoke_ns = now
            if state == S.REDUCED:
                self.advised_sure_ns = self.advised_maybe_ns = now
        if state == S.STANDBY:
            self.released = (self.released and before == S.STANDBY) or not self.enabled
        if self.least == REDUCE:
            self.advised_sure_ns = now
        if self.most >= REDUCE:
            self.advised_maybe_ns = now
        self.state = state
        self._check_bounded(now)

    def add(self, hazard: Hazard) -> None:
        self.hazards.append(hazard)

    @property
    def calm(self) -> bool:
        """Nothing is wrong, and nothing was a moment ago."""
        return not self.hazards and self.most == NOTHING and self.now_ns >= self.blind_until_ns

    @property
    def may_drive(self) -> bool:
        """Whether anything but a stop may reach the drive in this tick."""
        return (
            self.state in DRIVES
            and self.enabled
            and not self.estop
            and self.least < CATEGORY2
            and self.goal is not None
            and self.now_ns - self.spoke_ns <= self._ns(self.spec.safety.command_timeout_s) + self.period_ns
        )

    # What is known.

    def _hear_operator(self, said: Said | None) -> None:
        self.pressed = set()
        if said is None:
            self.enabled = self.estop = False
            return
        age = self.now_ns - said.time_ns
        fresh = 0 <= age <= self._ns(self.spec.enable.timeout_s)
        self.enabled, self.estop = fresh and said.enable, said.estop
        for button in BUTTONS:
            change = (said.presses[button] - self.counters[button]) & 0xFFFFFFFF
            if 0 < change < 1 << 31 and (fresh or button == "stop"):
                self.pressed.add(button)
            self.counters[button] = said.presses[button]

    def _hear_pilot(self, order: Order | None) -> None:
        if order is None or order.number == self.seen_order:
            return
        self.seen_order = order.number
        age = self.now_ns - order.time_ns
        timely = 0 <= age <= self._ns(self.spec.safety.command_timeout_s)
        if not (order.intact and order.epoch == self.epoch and timely):
            return
        if self.goal is not None and order.time_ns < self.spoke_ns:
            return
        if all(map(math.isfinite, order.setpoint)):
            self.goal, self.spoke_ns, self.not_finite = order.setpoint, order.time_ns, 0
        else:
            self.not_finite += 1

    def _watch_motion(self, speed: float) -> None:
        now = self.now_ns
        if abs(speed) > 0.02 or self.backwards:
            self.still_since_ns = None
        elif self.still_since_ns is None:
            self.still_since_ns = now
        for hazard in self.hazards:
            if hazard.moving and abs(speed) < 0.5:
                hazard.sure_ns = max(hazard.sure_ns, now + 1500 * MS)
        self._speed = speed

    def _still(self) -> tuple[bool, ...]:
        """What may be believed of standing still."""
        if self.now_ns < self.blind_until_ns or any(h.blinds for h in self.hazards):
            return (True, False)
        if abs(self._speed) > 0.5:
            return (False,)
        if self.still_since_ns is not None and self.now_ns - self.still_since_ns > 600 * MS:
            return (True,)
        return (True, False)

    def _requests(self, facts: Facts) -> tuple[int, int]:
        now, period = facts.now_ns, self.period_ns
        least = most = self.once
        self.once = NOTHING
        for hazard in list(self.hazards):
            if hazard.start_ns <= now:
                most = max(most, hazard.category)
            if hazard.sure_ns <= now < hazard.end_ns:
                least = max(least, hazard.category)
            if hazard.blinds:
                self.blind_until_ns = max(self.blind_until_ns, now + hazard.confuses_ns)
                most = CATEGORY0 if hazard.start_ns <= now else most
            if now >= hazard.over_ns:
                hazard.ticks -= 1
                if hazard.ticks < 0:
                    self.hazards.remove(hazard)
        # The loop's own lateness: 3 in a second derate, one by 50 ms stops.
        overrun = self._ns(self.spec.safety.overrun_s)
        if facts.late_ns > period:
            self.late = [*self.late[-2:], now]
        if facts.late_ns > overrun:
            least, most = max(least, CATEGORY1), max(most, CATEGORY1)
        if len(self.late) == 3 and now - self.late[0] <= 1000 * MS:
            most = max(most, REDUCE)
            least = max(least, REDUCE) if now - self.late[0] < 1000 * MS else least
        # The pilot: silent for longer than its timeout, or three times not finite.
        silent = now - self.spoke_ns - self._ns(self.spec.safety.command_timeout_s)
        if self.state == S.ARMING:
            # The proof that the drive stops by itself takes its time, and samples on time.
            self._undisturbed = self._undisturbed and facts.late_ns == 0 and most < CATEGORY1
            if not (self._undisturbed and self.stops_by_itself):
                most = max(most, CATEGORY1)
        else:
            self._undisturbed = True
        if self.state in DRIVES | {S.HOLD} and silent > 0:
            most = max(most, CATEGORY2)
            least = max(least, CATEGORY2) if silent > period else least
        if self.not_finite >= 3:
            most = max(most, CATEGORY1)
            least = max(least, CATEGORY1) if self.state in PUSHES else least
        return least, max(most, least)

    # Where it may lead.

    def _successors(self) -> Iterator[SafetyState]:
        if self.estop:
            yield S.ESTOP
            return
        if "stop" in self.pressed and self.state in PUSHES:
            self.least, self.most = max(self.least, CATEGORY1), max(self.most, CATEGORY1)
        for request, still in product(range(self.least, self.most + 1), self._still()):
            yield from self._after(request, still)

    def _after(self, request: int, still: bool) -> Iterator[SafetyState]:
        here, waited, safety, stop = self.state, self.now_ns - self.since_ns, self.spec.safety, self.spec.stop
        if here in PUSHES and request == CATEGORY0:
            yield S.STOP0
        elif here in PUSHES - {S.STOP1} and request == CATEGORY1:
            yield S.STOP1
        elif here == S.BOOT:
            yield from (S.STANDBY,) if request < CATEGORY2 else (S.BOOT,)
        elif here == S.STANDBY:
            asked = "arm" in self.pressed and self.enabled and self.released
            yield S.ARMING if asked and request == NOTHING else S.STANDBY
        elif here == S.ARMING:
            if request != NOTHING or not self.enabled:
                yield S.STOP1
            else:
                over = waited >= self._ns(safety.arming_s)
                if not over:
                    yield S.ARMING
                elif self.stops_by_itself:
                    yield S.ACTIVE
        elif here in DRIVES:
            dwell = self._ns(safety.reduced_dwell_s)
            if request == CATEGORY2 or not self.enabled:
                yield S.HOLD
            elif request == REDUCE or here == S.ACTIVE:
                yield S.REDUCED if request == REDUCE else S.ACTIVE
            else:
                if self.now_ns - self.advised_maybe_ns < dwell:
                    yield S.REDUCED
                if self.now_ns - self.advised_sure_ns >= dwell:
                    yield S.ACTIVE
        elif here == S.HOLD:
            if not still and waited >= self._ns(stop.hold_s):
                yield S.STOP1
            elif "resume" in self.pressed and still and self.enabled and request < CATEGORY2:
                yield S.REDUCED
            else:
                yield S.HOLD
        elif here == S.STOP1:
            if still:
                yield S.FAULT
            else:
                yield S.STOP0 if waited >= self._ns(stop.deadline_s) else S.STOP1
        elif here == S.STOP0:
            yield S.FAULT
        elif here == S.FAULT:
            clear = request < CATEGORY2 and not self.enabled
            yield S.STANDBY if "reset" in self.pressed and clear else S.FAULT
        elif here == S.ESTOP:
            yield S.FAULT if "reset" in self.pressed else S.ESTOP

    def _check_bounded(self, now_ns: int) -> None:
        """However it got there: what is grave has taken the torque off within the deadline."""
        if self.grave_since_ns is None or self.state not in PUSHES:
            return
        limit = self._ns(self.spec.stop.deadline_s) + 3 * self.period_ns
        waited = now_ns - self.grave_since_ns
        assert waited <= limit + 200 * MS, f"{self.state.name} {waited / 1e9:.2f} s after a grave fault"

    @staticmethod
    def _ns(seconds: float) -> int:
        return round(seconds * 1e9)
