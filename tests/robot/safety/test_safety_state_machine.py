"""Every reachable state of the safety state machine, every input, every invariant; and proof by seeded
defects that the check would notice."""

from __future__ import annotations

import inspect
import itertools
import sys
import types
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from robot.messages import Cause, SafetyState
from robot.safety import state_machine as machine
from robot.safety.state_machine import AUTHORITY, TORQUE, Inputs, KernelState, Request, Timing, boot, step

S = SafetyState
TIMING = Timing(arming_ns=2, reduced_dwell_ns=2, hold_ns=2, deadline_ns=3)
OLDEST = 4
"""Longer than every timer: ages beyond it are alike."""

BASE = 1000
RESPONSE = {S.ACTIVE: 0, S.REDUCED: 1, S.HOLD: 2, S.STOP1: 3, S.STOP0: 4, S.FAULT: 4, S.ESTOP: 4}
BUTTONS = ("arm", "reset", "resume", "stop")


class InvariantError(Exception):
    """An invariant does not hold."""


def require(condition: bool, name: str, *facts: object) -> None:
    if not condition:
        raise InvariantError(f"{name}: {facts}")


def canonical(state: KernelState) -> KernelState:
    """The same state at ``BASE`` with ages beyond every timer made equal, counters zero, causes told apart
    only as some or none."""

    def at(time_ns: int) -> int:
        return BASE - min(state.time_ns - time_ns, OLDEST)

    cause = Cause.LIMIT if state.cause else Cause.NONE
    return state._replace(
        time_ns=BASE,
        since_ns=at(state.since_ns),
        advisory_ns=at(state.advisory_ns) if state.state == S.REDUCED else BASE,
        cause=cause,
        cause_ns=BASE,
        trigger=Cause.NONE,
        epoch=0,
        arm=0,
        reset=0,
        resume=0,
        stop=0,
    )


def all_inputs(presses: list[tuple[int, ...]]) -> list[Inputs]:
    """Every combination of facts, one tick after ``BASE``."""
    levels = itertools.product(
        Request, (False, True), (False, True), (False, True), (False, True), (False, True)
    )
    return [
        Inputs(
            now_ns=BASE + 1,
            request=request,
            cause=Cause.LIMIT if request else Cause.NONE,
            estop=estop,
            enable=enable,
            fresh=fresh,
            still=still,
            ready=ready,
            **dict(zip(BUTTONS, press, strict=True)),
        )
        for (request, estop, enable, fresh, still, ready), press in itertools.product(list(levels), presses)
    ]


EVERY_PRESS = list(itertools.product((0, 1), repeat=4))
SINGLE_PRESSES = [(0, 0, 0, 0), (1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1), (1, 1, 1, 0)]


def require_sound(state: KernelState, *facts: object) -> None:
    """What ``step`` returns is never what it would call corrupt."""
    require(state.inverse == ~state.state and state.cause in list(Cause), "a state is sound", *facts)
    times = (state.since_ns, state.cause_ns, state.advisory_ns)
    require(max(times) <= state.time_ns, "nothing happened in the future", *facts)


def expected_trigger(a: SafetyState, b: SafetyState, i: Inputs) -> Cause:
    """Why the machine goes from ``a``, where there is torque, to another state: the worst of all that is
    asked for, what a monitor says before what a person's hands say, and only without any such a timer."""
    asked = [(i.request, i.cause)]
    if i.stop:
        asked.append((Request.CATEGORY1, Cause.OPERATOR_STOP))
    if not i.enable and a in (S.ARMING, S.ACTIVE, S.REDUCED):
        asked.append((Request.CATEGORY2, Cause.ENABLE_RELEASED))
    severity, cause = max(asked, key=lambda pair: pair[0])
    if b == S.ESTOP:
        return Cause.ESTOP_PRESSED
    if a == S.STOP1:
        if b == S.FAULT:
            return Cause.NONE
        return cause if severity == Request.CATEGORY0 else Cause.DEADLINE
    if a == S.HOLD:
        if b == S.REDUCED:
            return Cause.NONE
        return cause if severity >= Request.CATEGORY1 else Cause.NOT_STILL
    return Cause.NONE if b == S.ACTIVE else cause


def require_no_harder(a: SafetyState, b: SafetyState, i: Inputs, elapsed: int, *facts: object) -> None:
    """A stop is as hard as the worst that asks for it, and becomes harder by its own deadline only: to let go
    of a robot that was to be braked is no safer."""
    severity = max(
        int(i.request),
        Request.CATEGORY1 if i.stop else 0,
        Request.CATEGORY2 if not i.enable and a in (S.ARMING, S.ACTIVE, S.REDUCED) else 0,
    )
    if i.estop or a not in TORQUE or b not in RESPONSE:
        return
    if a in (S.ACTIVE, S.REDUCED):
        require(RESPONSE[b] <= max(severity, RESPONSE[a]), "I16 no harder than asked", *facts)
    elif b == S.STOP0:
        late = a == S.STOP1 and elapsed >= TIMING.deadline_ns
        require(severity == Request.CATEGORY0 or late, "I16 let go only when asked, or late", *facts)
    elif a == S.HOLD and b == S.STOP1:
        late = elapsed >= TIMING.hold_ns and not i.still
        require(severity >= Request.CATEGORY1 or late, "I16 HOLD ends when asked, or late", *facts)
    elif a == S.ARMING and b == S.STOP1:
        require(severity > Request.NONE, "I16 arming ends when asked", *facts)


def check_transition(code: Any, before: KernelState, i: Inputs, seen_released: bool) -> KernelState:
    """One tick of ``code.step`` against every invariant that speaks of one transition."""
    after: KernelState = code.step(before, i, TIMING)
    a, b = before.state, after.state
    elapsed = i.now_ns - before.since_ns
    arm, reset, resume = (i.fresh and bool(getattr(i, name)) for name in ("arm", "reset", "resume"))
    facts = (before, i, after)

    require(not i.estop or b == S.ESTOP, "I1 an e-stop is torque off in the same tick", *facts)
    require(
        b not in AUTHORITY or (i.enable and i.request < Request.CATEGORY2 and not i.stop),
        "I2 authority needs enable held and no category-2 cause",
        *facts,
    )
    require(
        b not in TORQUE or a in TORQUE or (a == S.STANDBY and b == S.ARMING and arm),
        "I3 torque comes on only from STANDBY, on an arm press",
        *facts,
    )
    if a in (S.FAULT, S.ESTOP) and b not in (a, S.ESTOP):
        target = S.STANDBY if a == S.FAULT else S.FAULT
        require(reset and b == target, "I4 latches leave only by a reset press", *facts)
        require(
            a == S.ESTOP or (i.request < Request.CATEGORY2 and not i.enable and not i.stop),
            "I4 a fault is reset only with its cause gone and enable released",
            *facts,
        )
    if a in RESPONSE and b in RESPONSE and RESPONSE[b] < RESPONSE[a]:
        resumed = a == S.HOLD and b == S.REDUCED and resume and i.still
        cleared = a == S.REDUCED and b == S.ACTIVE
        require(resumed or cleared, "I5 escalate only", *facts)
    if a in TORQUE:
        request = Request.CATEGORY1 if i.stop and i.request < Request.CATEGORY1 else i.request
        require(RESPONSE.get(b, 0) >= request, "I6 the response is no less than the request, at once", *facts)
        require(b != S.STANDBY, "I6 torque ends in a latched state", *facts)
    require(
        b != S.STOP1 or a != S.STOP1 or (elapsed < TIMING.deadline_ns and after.since_ns == before.since_ns),
        "I7 STOP1 ends by its deadline",
        *facts,
    )
    require(
        b != S.HOLD
        or a != S.HOLD
        or (after.since_ns == before.since_ns and (i.still or elapsed < TIMING.hold_ns)),
        "I7 HOLD stands still by its deadline or is no longer HOLD",
        *facts,
    )
    require(a != S.STOP0 or b in (S.FAULT, S.ESTOP), "I7 STOP0 lasts one tick", *facts)
    if b in AUTHORITY and a not in AUTHORITY:
        armed = a == S.ARMING and elapsed >= TIMING.arming_ns and b == S.ACTIVE
        resumed = a == S.HOLD and resume and i.still and b == S.REDUCED
        require(armed or resumed, "I8 no authority without arming, or resuming from a standstill", *facts)
    if a == S.REDUCED and b == S.ACTIVE:
        clear = i.now_ns - before.advisory_ns >= TIMING.reduced_dwell_ns and i.request == Request.NONE
        require(clear, "I8 REDUCED ends after a clear dwell", *facts)
    if a == S.REDUCED and b == S.REDUCED and i.request == Request.REDUCE:
        require(after.advisory_ns == i.now_ns, "I8 an advisory starts the dwell anew", *facts)
    if a == S.STANDBY and b == S.ARMING:
        require(i.request == Request.NONE and not i.stop, "I12 no arming under violation", *facts)
        require(i.enable and seen_released, "I12 enable was released since the reset", *facts)
        require(after.epoch == before.epoch + 1, "I14 each arming has a new epoch", *facts)
    else:
        require(after.epoch == before.epoch, "I14 the epoch changes at arming only", *facts)
    if b in (S.HOLD, S.STOP1, S.STOP0, S.FAULT, S.ESTOP):
        require(after.cause != Cause.NONE, "I13 a stop has a cause", *facts)
        if a in (S.HOLD, S.STOP1, S.STOP0, S.FAULT, S.ESTOP):
            require(after.cause_ns == before.cause_ns, "I13 the first cause stays", *facts)
    if b in (S.STANDBY, S.ARMING, S.ACTIVE):
        require(after.cause == Cause.NONE, "I13 the cause ends with the stop", *facts)
    require(
        a != S.BOOT or b in (S.BOOT, S.ESTOP) or (b == S.STANDBY and i.ready), "BOOT tests itself", *facts
    )
    require_sound(after, *facts)
    if a == b:
        same = (before.since_ns, before.trigger, before.cause, before.cause_ns)
        kept = (after.since_ns, after.trigger, after.cause, after.cause_ns)
        require(kept == same, "time in a state counts from entering it, and so does its cause", *facts)
    else:
        require(after.since_ns == i.now_ns, "a state begins when it is entered", *facts)
    if a in TORQUE and a != b:
        require(after.trigger == expected_trigger(a, b, i), "I13 the trigger is the worst that asked", *facts)
    if a == S.HOLD and b == S.REDUCED:
        require(
            (after.cause, after.cause_ns) == (Cause.NONE, i.now_ns), "I13 what was resumed is over", *facts
        )
    require_no_harder(a, b, i, elapsed, *facts)
    calm = not i.estop and not i.stop and i.request == Request.NONE
    bearable = not i.estop and not i.stop and i.request < Request.CATEGORY2
    if bearable:
        resumes = a == S.HOLD and resume and i.enable and i.still
        require(not resumes or b == S.REDUCED, "I15 an advisory keeps nobody from resuming", *facts)
        resets = a == S.FAULT and reset and not i.enable
        require(not resets or b == S.STANDBY, "I15 nor from resetting", *facts)
    if calm and i.enable and a == S.ARMING:
        require(
            (b == S.ACTIVE) == (elapsed >= TIMING.arming_ns), "I15 the dwell is over when it is over", *facts
        )
    if calm and i.enable and a == S.REDUCED:
        over = i.now_ns - before.advisory_ns >= TIMING.reduced_dwell_ns
        require((b == S.ACTIVE) == over, "I15 and so is that of REDUCED", *facts)
    if calm and (
        (a == S.STANDBY and arm and i.enable and seen_released)
        or (a == S.FAULT and reset and not i.enable)
        or (a == S.ESTOP and reset)
        or (a == S.HOLD and resume and i.enable and i.still)
        or (a == S.BOOT and i.ready)
    ):
        require(b != a, "I15 a button pressed as it should be works", *facts)
    require(
        (after.time_ns, after.arm, after.reset, after.resume, after.stop)
        == (i.now_ns, i.arm, i.reset, i.resume, i.stop),
        "every press is seen once",
        *facts,
    )
    heard = b == S.STANDBY and (not i.enable or (a == S.STANDBY and seen_released))
    require(after.released == heard, "a release counts while STANDBY lasts, and nowhere else", *facts)
    return after


def corruptions(state: KernelState) -> Iterator[KernelState]:
    """Ways in which memory may no longer be what ``step`` left there."""
    for other in (*SafetyState, 10, 255, -1):
        if other != state.state:
            yield state._replace(state=other)  # type: ignore[arg-type]
            yield state._replace(inverse=~int(other))
    yield state._replace(state=99, inverse=~99)  # type: ignore[arg-type]
    yield state._replace(cause=99)  # type: ignore[arg-type]
    for name in ("since_ns", "cause_ns", "advisory_ns", "time_ns"):
        yield state._replace(**{name: BASE + 10})


def check_corruption(code: Any, state: KernelState) -> None:
    """The invariants that speak of what ``step`` never returned, and of time, which may stand still."""
    again = code.step(state, Inputs(now_ns=BASE, enable=True), TIMING)
    require(again.trigger != Cause.STATE_CORRUPT, "I11 time that stands still is not corrupt", state, again)
    for corrupt in corruptions(state._replace(epoch=3)):
        after = code.step(corrupt, Inputs(now_ns=BASE + 1, enable=True, still=True, ready=True), TIMING)
        require(after.state == S.STOP0, "I11 a corrupt state lets go", corrupt, after)
        require(after.cause == Cause.STATE_CORRUPT, "I11 and says so", corrupt, after)
        pressed = code.step(corrupt, Inputs(now_ns=BASE + 1, estop=True), TIMING)
        require(pressed.state == S.ESTOP, "I1 also when corrupt", corrupt, pressed)
        require_sound(after, corrupt)
        require_sound(pressed, corrupt)
        kept = after.epoch == pressed.epoch == corrupt.epoch
        require(kept, "I14 an epoch never comes twice, not even after a corrupt state", corrupt, after)
        require(pressed.cause == Cause.ESTOP_PRESSED, "I13 nothing of a corrupt state stays", corrupt)


def explore(code: Any, presses: list[tuple[int, ...]]) -> tuple[dict[Any, set[Any]], int]:
    """Through every reachable state. The checker keeps its own account of whether enable was
    released since STANDBY began. Returns successors of each node and the number of transitions."""
    inputs = all_inputs(presses)
    start = (canonical(code.boot(BASE)), False)
    graph: dict[Any, set[Any]] = {}
    frontier, transitions = [start], 0
    while frontier:
        node = frontier.pop()
        if node in graph:
            continue
        before, seen = node
        check_corruption(code, before)
        successors = graph[node] = set()
        for i in inputs:
            after = check_transition(code, before, i, seen)
            transitions += 1
            standing = after.state == S.STANDBY
            successors.add(
                (canonical(after), standing and (not i.enable or (seen and before.state == S.STANDBY)))
            )
        frontier.extend(successors - graph.keys())
    return graph, transitions


def check_graph(graph: dict[Any, set[Any]]) -> None:
    """The invariants that speak of the whole machine."""
    reached = {node[0].state for node in graph}
    require(reached == set(SafetyState), "I10 every state is reachable", set(SafetyState) - reached)
    back: dict[Any, set[Any]] = {node: set() for node in graph}
    for node, successors in graph.items():
        for successor in successors:
            back[successor].add(node)
    frontier = [node for node in graph if node[0].state == S.STANDBY]
    found = set(frontier)
    while frontier:
        for node in back[frontier.pop()] - found:
            found.add(node)
            frontier.append(node)
    require(found == set(graph), "I9 STANDBY can always be reached again", set(graph) - found)


def check(code: Any, presses: list[tuple[int, ...]]) -> tuple[int, int]:
    graph, transitions = explore(code, presses)
    check_graph(graph)
    return len(graph), transitions


@pytest.mark.slow
def test_every_reachable_transition_keeps_every_invariant() -> None:
    states, transitions = check(machine, EVERY_PRESS)
    assert states >= 30
    assert transitions == states * len(Request) * 2**5 * 2**4


DEFECTS = {
    "e-stop ignored while corrupt": (
        "return _enter(state if intact else boot(now, state.epoch), inputs, ESTOP, Cause.ESTOP_PRESSED)",
        "return _enter(boot(now), inputs, ESTOP if intact else STOP0, Cause.ESTOP_PRESSED)",
    ),
    "e-stop only counts under torque": ("if inputs.estop:", "if inputs.estop and state.state in TORQUE:"),
    "e-stop unlatches by itself": (
        "return _enter(state, inputs, FAULT) if reset else _stay(state, inputs)",
        "return _enter(state, inputs, FAULT)",
    ),
    "corrupt state goes on": ("if not intact:", "if False:"),
    "corrupt state forgets its epoch": (
        "return _enter(boot(now, state.epoch), inputs, STOP0",
        "return _enter(boot(now), inputs, STOP0",
    ),
    "state held only once": ("state.inverse == ~state.state", "True"),
    "any number is a state": ("state.state in _STATES", "True"),
    "time has to pass": ("<= now_ns", "< now_ns"),
    "clock may run back": ("<= state.time_ns <= now_ns", "<= state.time_ns"),
    "timers may lie in the future": (
        "max(state.since_ns, state.cause_ns, state.advisory_ns)",
        "state.cause_ns",
    ),
    "cause not checked": ("state.cause in _CAUSES", "True"),
    "stale operator may arm": ("arm = inputs.fresh and _pressed", "arm = _pressed"),
    "stale operator may reset": ("reset = inputs.fresh and _pressed", "reset = _pressed"),
    "stale operator may resume": ("resume = inputs.fresh and _pressed", "resume = _pressed"),
    "stop button ignored": ("if _pressed(state.stop, inputs.stop) and", "if False and"),
    "stop button weak": ("request, cause = Request.CATEGORY1, Cause.OPERATOR_STOP", "pass"),
    "released enable ignored": ("if not inputs.enable and request", "if False and request"),
    "released enable counts in ACTIVE only": ("(here in AUTHORITY or here == ARMING)", "here == ACTIVE"),
    "enable ignored while arming": ("(here in AUTHORITY or here == ARMING)", "here in AUTHORITY"),
    "category 0 is category 1": (
        "return _enter(state, inputs, STOP0, cause)",
        "return _enter(state, inputs, STOP1, cause)",
    ),
    "category 0 waits for STOP1": (
        "if here in TORQUE and request ==",
        "if here in TORQUE - {STOP1} and request ==",
    ),
    "category 1 only in ACTIVE": ("if here in TORQUE and here != STOP1 and", "if here == ACTIVE and"),
    "category 1 renews STOP1": (
        "if here in TORQUE and here != STOP1 and request == Request.CATEGORY1",
        "if here in TORQUE and request == Request.CATEGORY1",
    ),
    "boots without self-test": ("if inputs.ready else", "if True else"),
    "arms by level": ("if arm and inputs.enable", "if inputs.enable"),
    "arms without enable": ("if arm and inputs.enable and", "if arm and"),
    "arms on an enable held since reset": ("and state.released and", "and"),
    "arms under an advisory": ("state.released and request == Request.NONE", "state.released"),
    "advisory does not abort arming": (
        "if request != Request.NONE:\n            return _enter(state, inputs, STOP1, cause)",
        "if request > Request.REDUCE:\n            return _enter(state, inputs, STOP1, cause)",
    ),
    "arms at once": ("if elapsed >= timing.arming_ns", "if True"),
    "category 2 ignored": ("return _enter(state, inputs, HOLD, cause)", "return _stay(state, inputs)"),
    "advisory ignored": ("if request == Request.REDUCE:", "if False:"),
    "advisory does not restart the dwell": ("_stay(state, inputs, advised=True)", "_stay(state, inputs)"),
    "REDUCED outlasts its dwell": (
        "now - state.advisory_ns >= timing.reduced_dwell_ns",
        "now - state.advisory_ns > timing.reduced_dwell_ns",
    ),
    "REDUCED ends at once": ("now - state.advisory_ns >= timing.reduced_dwell_ns", "True"),
    "HOLD may roll on": ("if not inputs.still and elapsed >= timing.hold_ns:", "if False:"),
    "HOLD may roll once it is old": (
        "if not inputs.still and elapsed >= timing.hold_ns:",
        "if not inputs.still and elapsed == timing.hold_ns:",
    ),
    "resumes by level": ("if resume and inputs.still", "if inputs.still"),
    "resumes while moving": ("if resume and inputs.still and", "if resume and"),
    "resumes without enable": (
        "inputs.still and inputs.enable and request < Request.CATEGORY2",
        "inputs.still and request < Request.CATEGORY2",
    ),
    "resumes under violation": (
        "inputs.still and inputs.enable and request < Request.CATEGORY2",
        "inputs.still and inputs.enable",
    ),
    "resumes to full authority": (
        "return _enter(state, inputs, REDUCED)\n",
        "return _enter(state, inputs, ACTIVE)\n",
    ),
    "STOP1 without deadline": ("if elapsed >= timing.deadline_ns:", "if False:"),
    "STOP1 goes to STANDBY": (
        "if inputs.still:\n            return _enter(state, inputs, FAULT)",
        "if inputs.still:\n            return _enter(state, inputs, STANDBY)",
    ),
    "STOP0 stays": (
        "if here == STOP0:\n        return _enter(state, inputs, FAULT)",
        "if here == STOP0:\n        return _stay(state, inputs)",
    ),
    "reset by level": ("if reset and clear else", "if clear else"),
    "reset starts motion": (
        "return _enter(state, inputs, STANDBY) if reset and clear",
        "return _enter(state, inputs, ARMING) if reset and clear",
    ),
    "reset with the cause present": ("clear = request < Request.CATEGORY2 and", "clear ="),
    "reset with enable held": ("and not inputs.enable\n        return", "\n        return"),
    "reset impossible": ("if reset and clear else", "if False else"),
    "cause lost in FAULT": (
        "if to in (STANDBY, ARMING, ACTIVE):",
        "if to in (STANDBY, ARMING, ACTIVE, FAULT):",
    ),
    "last cause instead of first": ("or first == Cause.NONE:", "or True:"),
    "cause kept after reset": ("if to in (STANDBY, ARMING, ACTIVE):", "if to in (ARMING, ACTIVE):"),
    "epoch reused": ("(state.epoch + 1) % _COUNTER if to == ARMING else state.epoch", "state.epoch"),
    "timer restarts every tick": (
        "    return state._replace(\n        time_ns=inputs.now_ns,",
        "    return state._replace(\n        time_ns=inputs.now_ns, since_ns=inputs.now_ns,",
    ),
    "release remembered for ever": ("released=to == STANDBY and not inputs.enable", "released=True"),
    "release remembered beyond STANDBY": ("released=state.state == STANDBY and (", "released=("),
    "release forgotten": ("(state.released or not inputs.enable)", "(not inputs.enable)"),
    "press seen every tick": (
        "        advisory_ns=inputs.now_ns if advised else state.advisory_ns,\n        arm=inputs.arm,",
        "        advisory_ns=inputs.now_ns if advised else state.advisory_ns,\n        arm=state.arm,",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("defect", DEFECTS)
def test_seeded_defect_is_caught(defect: str) -> None:
    correct, wrong = DEFECTS[defect]
    source = inspect.getsource(machine)
    assert source.count(correct) == 1, f"the defect's place is not unique in the source: {correct!r}"
    mutant = types.ModuleType("mutant_state_machine")
    sys.modules[mutant.__name__] = mutant
    try:
        exec(compile(source.replace(correct, wrong), "mutant", "exec"), mutant.__dict__)
        with pytest.raises(InvariantError):
            check(mutant, SINGLE_PRESSES)
    finally:
        del sys.modules[mutant.__name__]


def test_facts_that_are_not_given_are_the_harmless_ones() -> None:
    """Nothing is asked for, nobody presses or enables anything, and the robot neither stands nor is ready."""
    assert Inputs(now_ns=5)._asdict() == {
        "now_ns": 5,
        "request": Request.NONE,
        "cause": Cause.NONE,
        "estop": False,
        "enable": False,
        "fresh": False,
        "arm": 0,
        "reset": 0,
        "resume": 0,
        "stop": 0,
        "still": False,
        "ready": False,
    }


@pytest.mark.parametrize("epoch", [0, 7])
def test_the_state_at_power_up(epoch: int) -> None:
    state = boot(5, epoch)
    assert state._asdict() == {
        "state": S.BOOT,
        "inverse": ~S.BOOT,
        "time_ns": 5,
        "since_ns": 5,
        "cause": Cause.NONE,
        "cause_ns": 5,
        "trigger": Cause.NONE,
        "released": False,
        "advisory_ns": 5,
        "epoch": epoch,
        "arm": 0,
        "reset": 0,
        "resume": 0,
        "stop": 0,
    }
    assert boot(0) == KernelState() == boot(0, 0)


def test_active_for_an_hour_is_active_since_it_began() -> None:
    state = boot(0)._replace(state=S.ACTIVE, inverse=~S.ACTIVE)
    for now in (1, 2, 1000, 3600 * 10**9):
        state = step(state, Inputs(now_ns=now, enable=True), TIMING)
        assert (state.state, state.since_ns, state.cause_ns) == (S.ACTIVE, 0, 0)


def test_timers_are_the_specs_in_nanoseconds() -> None:
    """1.001e9 and its like are no whole numbers in floating point: a timer must be rounded, not cut."""
    spec: Any = types.SimpleNamespace(
        safety=types.SimpleNamespace(arming_s=1.001, reduced_dwell_s=1.003),
        stop=types.SimpleNamespace(hold_s=1.005, deadline_s=1.007),
    )
    timing = Timing.of(spec)
    assert timing == (1_001_000_000, 1_003_000_000, 1_005_000_000, 1_007_000_000)
    assert all(type(timer) is int for timer in timing)


def test_counter_going_back_is_a_restarted_operator_and_no_press() -> None:
    standby = boot(0)._replace(state=S.STANDBY, inverse=~S.STANDBY, released=True, arm=7)
    facts = {"enable": True, "fresh": True, "still": True}
    back = step(standby, Inputs(now_ns=1, arm=2, **facts), TIMING)
    assert (back.state, back.arm) == (S.STANDBY, 2)
    assert step(back, Inputs(now_ns=2, arm=3, **facts), TIMING).state == S.ARMING
    wrapped = standby._replace(arm=2**32 - 1)
    assert step(wrapped, Inputs(now_ns=1, arm=0, **facts), TIMING).state == S.ARMING


HALF = 2**31
"""Half the range of a press counter."""


@given(st.integers(0, 2 * HALF - 1), st.integers(0, 2 * HALF - 1))
@example(5, HALF - 1)
@example(5, HALF)
@example(HALF + 5, HALF)
def test_a_press_is_a_positive_difference_of_counters_of_32_bits(before: int, moved: int) -> None:
    """Serial number arithmetic (RFC 1982): up to half-way round is forward, from there on it is back."""
    after = (before + moved) % (2 * HALF)
    forward = int(np.array(after - before).astype(np.int32)) > 0
    standby = boot(0)._replace(state=S.STANDBY, inverse=~S.STANDBY, released=True, arm=before)
    armed = step(standby, Inputs(now_ns=1, arm=after, enable=True, fresh=True), TIMING).state == S.ARMING
    assert armed == forward == (0 < moved < HALF)


def test_press_while_boot_or_fault_does_nothing_later() -> None:
    state = boot(0)
    state = step(state, Inputs(now_ns=1, arm=3, reset=3, resume=3, fresh=True, ready=True), TIMING)
    for now in range(2, 10):
        state = step(state, Inputs(now_ns=now, arm=3, reset=3, resume=3, fresh=True, enable=now > 4), TIMING)
    assert state.state == S.STANDBY


def test_causes_are_named() -> None:
    """First cause, and the trigger of each step after it."""
    active = boot(0)._replace(state=S.ACTIVE, inverse=~S.ACTIVE)
    hold = step(active, Inputs(now_ns=1, enable=False), TIMING)
    assert (hold.state, hold.cause, hold.cause_ns) == (S.HOLD, Cause.ENABLE_RELEASED, 1)
    stop1 = step(hold, Inputs(now_ns=3), TIMING)
    assert (stop1.state, stop1.cause, stop1.trigger) == (S.STOP1, Cause.ENABLE_RELEASED, Cause.NOT_STILL)
    stop0 = step(stop1, Inputs(now_ns=6), TIMING)
    assert (stop0.state, stop0.cause, stop0.trigger) == (S.STOP0, Cause.ENABLE_RELEASED, Cause.DEADLINE)
    pressed = step(active, Inputs(now_ns=1, enable=True, stop=1), TIMING)
    assert (pressed.state, pressed.cause) == (S.STOP1, Cause.OPERATOR_STOP)
    reduced = step(active, Inputs(now_ns=1, enable=True, request=Request.REDUCE, cause=Cause.LIMIT), TIMING)
    stale = Inputs(now_ns=2, enable=True, request=Request.CATEGORY2, cause=Cause.SENSOR_STALE)
    assert step(reduced, stale, TIMING).cause == Cause.SENSOR_STALE, (
        "an advisory is not the cause of the stop"
    )
