"""When may the robot move? One pure function from state and inputs to the next state.

The worst request wins, within the tick it is made. Software may de-escalate REDUCED to ACTIVE and nothing
else: every other way back takes a person pressing a button. Buttons are press counters, so a held button is
one press and no press is lost. Stop categories are those of IEC 60204-1; nothing here is a rated safety
function.

| state   | torque | authority       | leaves by                                                             |
|---------|--------|-----------------|-----------------------------------------------------------------------|
| BOOT    | off    | none            | self-test passed -> STANDBY                                           |
| STANDBY | off    | none            | arm press, enable held and released since reset, no request -> ARMING |
| ARMING  | on     | holds still     | dwell -> ACTIVE; any request or enable released -> STOP1              |
| ACTIVE  | on     | policy          | advisory -> REDUCED; worse -> HOLD, STOP1, STOP0                      |
| REDUCED | on     | policy, derated | clear for the dwell -> ACTIVE; worse -> HOLD, STOP1, STOP0            |
| HOLD    | on     | stops, stays    | resume press, still, enabled, no cause -> REDUCED; not still -> STOP1 |
| STOP1   | on     | brakes          | standstill -> FAULT; deadline -> STOP0                                |
| STOP0   | off    | none            | at once -> FAULT                                                      |
| FAULT   | off    | none            | reset press, cause gone, enable released -> STANDBY                   |
| ESTOP   | off    | none            | e-stop unlatched and reset press -> FAULT                             |
"""

from __future__ import annotations

import enum
from typing import NamedTuple

from robot.messages import Cause, SafetyState
from robot.spec import RobotSpec

BOOT, STANDBY, ARMING, ACTIVE = SafetyState.BOOT, SafetyState.STANDBY, SafetyState.ARMING, SafetyState.ACTIVE
REDUCED, HOLD, STOP1 = SafetyState.REDUCED, SafetyState.HOLD, SafetyState.STOP1
STOP0, FAULT, ESTOP = SafetyState.STOP0, SafetyState.FAULT, SafetyState.ESTOP

TORQUE = frozenset({ARMING, ACTIVE, REDUCED, HOLD, STOP1})
"""States in which the drives may push or brake."""

AUTHORITY = frozenset({ACTIVE, REDUCED})
"""States in which the pilot's command is actuated."""

_COUNTER = 1 << 32
_STATES = frozenset(int(state) for state in SafetyState)
_CAUSES = frozenset(int(cause) for cause in Cause)


class Request(enum.IntEnum):
    """What a monitor asks for, by severity."""

    NONE = 0
    REDUCE = 1
    CATEGORY2 = 2  # stop, keep torque, may be resumed
    CATEGORY1 = 3  # stop, then torque off, latched
    CATEGORY0 = 4  # torque off now, latched


class Timing(NamedTuple):
    """The machine's timers [ns]."""

    arming_ns: int
    reduced_dwell_ns: int
    hold_ns: int
    deadline_ns: int

    @classmethod
    def of(cls, spec: RobotSpec) -> Timing:
        safety, stop = spec.safety, spec.stop
        seconds = (safety.arming_s, safety.reduced_dwell_s, stop.hold_s, stop.deadline_s)
        return cls(*(round(s * 1e9) for s in seconds))


class Inputs(NamedTuple):
    """One tick's facts. ``fresh``: the operator's record is recent enough for its buttons to count."""

    now_ns: int
    request: Request = Request.NONE
    cause: Cause = Cause.NONE
    estop: bool = False
    enable: bool = False
    fresh: bool = False
    arm: int = 0
    reset: int = 0
    resume: int = 0
    stop: int = 0
    still: bool = False
    ready: bool = False


class KernelState(NamedTuple):
    """Everything the machine remembers. ``inverse`` holds the state a second time, complemented, so that a
    state changed by anything but ``step`` is noticed. ``cause`` is the first since normal operation and stays
    until reset or resume; ``trigger`` is why the newest transition happened. ``released``: enable was seen
    released since STANDBY was entered. ``advisory_ns``: when REDUCED was last asked for."""

    state: SafetyState = BOOT
    inverse: int = ~BOOT
    time_ns: int = 0
    since_ns: int = 0
    cause: Cause = Cause.NONE
    cause_ns: int = 0
    trigger: Cause = Cause.NONE
    released: bool = False
    advisory_ns: int = 0
    epoch: int = 0
    arm: int = 0
    reset: int = 0
    resume: int = 0
    stop: int = 0


def boot(now_ns: int, epoch: int = 0) -> KernelState:
    """The state at power-up. ``epoch``: the last arming epoch of an earlier life, so that none is used
    twice."""
    return KernelState(time_ns=now_ns, since_ns=now_ns, cause_ns=now_ns, advisory_ns=now_ns, epoch=epoch)


def step(state: KernelState, inputs: Inputs, timing: Timing) -> KernelState:
    """The state after one tick."""
    now = inputs.now_ns
    intact = _intact(state, now)
    if inputs.estop:
        if intact and state.state == ESTOP:
            return _stay(state, inputs)
        return _enter(state if intact else boot(now, state.epoch), inputs, ESTOP, Cause.ESTOP_PRESSED)
    if not intact:
        return _enter(boot(now, state.epoch), inputs, STOP0, Cause.STATE_CORRUPT)

    arm = inputs.fresh and _pressed(state.arm, inputs.arm)
    reset = inputs.fresh and _pressed(state.reset, inputs.reset)
    resume = inputs.fresh and _pressed(state.resume, inputs.resume)
    here, elapsed = state.state, now - state.since_ns
    request, cause = inputs.request, inputs.cause
    if _pressed(state.stop, inputs.stop) and request < Request.CATEGORY1:
        request, cause = Request.CATEGORY1, Cause.OPERATOR_STOP
    if not inputs.enable and request < Request.CATEGORY2 and (here in AUTHORITY or here == ARMING):
        request, cause = Request.CATEGORY2, Cause.ENABLE_RELEASED

    if here in TORQUE and request == Request.CATEGORY0:
        return _enter(state, inputs, STOP0, cause)
    if here in TORQUE and here != STOP1 and request == Request.CATEGORY1:
        return _enter(state, inputs, STOP1, cause)

    if here == BOOT:
        return _enter(state, inputs, STANDBY) if inputs.ready else _stay(state, inputs)
    if here == STANDBY:
        if arm and inputs.enable and state.released and request == Request.NONE:
            return _enter(state, inputs, ARMING)
        return _stay(state, inputs)
    if here == ARMING:
        if request != Request.NONE:
            return _enter(state, inputs, STOP1, cause)
        return _enter(state, inputs, ACTIVE) if elapsed >= timing.arming_ns else _stay(state, inputs)
    if here in AUTHORITY:
        if request == Request.CATEGORY2:
            return _enter(state, inputs, HOLD, cause)
        if request == Request.REDUCE:
            return (
                _enter(state, inputs, REDUCED, cause)
                if here == ACTIVE
                else _stay(state, inputs, advised=True)
            )
        if here == REDUCED and now - state.advisory_ns >= timing.reduced_dwell_ns:
            return _enter(state, inputs, ACTIVE)
        return _stay(state, inputs)
    if here == HOLD:
        if not inputs.still and elapsed >= timing.hold_ns:
            return _enter(state, inputs, STOP1, Cause.NOT_STILL)
        if resume and inputs.still and inputs.enable and request < Request.CATEGORY2:
            return _enter(state, inputs, REDUCED)
        return _stay(state, inputs)
    if here == STOP1:
        if inputs.still:
            return _enter(state, inputs, FAULT)
        if elapsed >= timing.deadline_ns:
            return _enter(state, inputs, STOP0, Cause.DEADLINE)
        return _stay(state, inputs)
    if here == STOP0:
        return _enter(state, inputs, FAULT)
    if here == FAULT:
        clear = request < Request.CATEGORY2 and not inputs.enable
        return _enter(state, inputs, STANDBY) if reset and clear else _stay(state, inputs)
    return _enter(state, inputs, FAULT) if reset else _stay(state, inputs)


def _enter(state: KernelState, inputs: Inputs, to: SafetyState, trigger: Cause = Cause.NONE) -> KernelState:
    now = inputs.now_ns
    first, first_ns = state.cause, state.cause_ns
    if to in (STANDBY, ARMING, ACTIVE):
        first, first_ns = Cause.NONE, now
    elif to == REDUCED or state.state == REDUCED or first == Cause.NONE:
        # A stop that follows an advisory has its own first cause.
        first, first_ns = trigger, now
    return KernelState(
        state=to,
        inverse=~to,
        time_ns=now,
        since_ns=now,
        cause=first,
        cause_ns=first_ns,
        trigger=trigger,
        released=to == STANDBY and not inputs.enable,
        advisory_ns=now,
        epoch=(state.epoch + 1) % _COUNTER if to == ARMING else state.epoch,
        arm=inputs.arm,
        reset=inputs.reset,
        resume=inputs.resume,
        stop=inputs.stop,
    )


def _stay(state: KernelState, inputs: Inputs, advised: bool = False) -> KernelState:
    return state._replace(
        time_ns=inputs.now_ns,
        released=state.state == STANDBY and (state.released or not inputs.enable),
        advisory_ns=inputs.now_ns if advised else state.advisory_ns,
        arm=inputs.arm,
        reset=inputs.reset,
        resume=inputs.resume,
        stop=inputs.stop,
    )


def _pressed(before: int, after: int) -> bool:
    """Whether a press counter moved forward. A counter that moved back belongs to a restarted operator: it is
    taken over without counting as a press."""
    return 0 < (after - before) % _COUNTER < _COUNTER // 2


def _intact(state: KernelState, now_ns: int) -> bool:
    """Whether the remembered state can be what ``step`` returned, and time has not run backwards since."""
    return (
        state.state in _STATES
        and state.inverse == ~state.state
        and state.cause in _CAUSES
        and max(state.since_ns, state.cause_ns, state.advisory_ns) <= state.time_ns <= now_ns
    )
