"""The practice state machine: who drives and what happens after a failure, as one pure function.

What belongs to practising (a bump, getting stuck, a missed gate) is recovered here. What threatens people or
hardware is the guardian's; all this machine sees of it is that the robot is not ``able``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from robot.messages import PilotPhase
from robot.practice.failures import Failure
from robot.spec import PracticeConfig

DRIVING = frozenset({PilotPhase.DEMONSTRATING, PilotPhase.PRACTISING, PilotPhase.TELEOPERATED})
"""Phases in which somebody's actions become experience."""

NEAR, FAR = 2.0, 8.0
"""In units of ``recovered_metres``: a failure nearer than NEAR to the last one, without having been
further from it than FAR in between, is the same trouble again and goes on up the ladder; others start at its
foot."""

CALM_NS = 1_000_000_000
"""After a call for help the robot must have stood upright and still for this long before it drives again."""

NOWHERE = (math.inf, math.inf)


@dataclass(frozen=True)
class Practice:
    """The machine's memory. ``rung``: of the recovery ladder, counting on over its cycles. ``place``: where
    the rung or the call began, ``failed_at``: where the last failure was, x, y [m]; ``strayed``: how far [m]
    it has been from there since. ``troubled``: it failed and has not recovered yet."""

    phase: PilotPhase = PilotPhase.WAITING
    since_ns: int = 0
    rung: int = 0
    place: tuple[float, float] = NOWHERE
    failed_at: tuple[float, float] = NOWHERE
    strayed: float = 0.0
    troubled: bool = False
    helped: bool = False
    calm_since_ns: int | None = None


@dataclass(frozen=True)
class Situation:
    """What the machine decides on.

    ``able``: the state is fresh and converged and the guardian lets the robot move. ``oriented``: the task
    would go on from here. ``calm``: upright and standing still. ``rearmed``: somebody armed the robot anew
    since the last step.
    """

    time_ns: int
    position: tuple[float, float]
    able: bool
    policy: bool = False
    demonstration: bool = False
    human: bool = False
    finished: bool = False
    failure: Failure | None = None
    flipped: bool = False
    oriented: bool = True
    calm: bool = False
    rearmed: bool = False


def advance(practice: Practice, now: Situation, config: PracticeConfig) -> Practice:
    """The machine's next state. Every path out of a driving phase ends the episode; the caller compares."""
    if practice.phase in DRIVING and practice.failed_at is not NOWHERE:
        strayed = _distance(now.position, practice.failed_at)
        if strayed > practice.strayed:
            practice = replace(practice, strayed=strayed)
    phase = practice.phase
    if now.finished or phase is PilotPhase.FINISHED:
        return _enter(practice, PilotPhase.FINISHED, now)
    if phase is PilotPhase.CALLING:
        return _called(practice, now, config)
    if now.flipped and not (phase is PilotPhase.TELEOPERATED and now.able):
        return _call(practice, now)
    if not now.able:
        failed = phase in DRIVING and now.failure is not None
        return _enter(_failed(practice, now, config) if failed else practice, PilotPhase.WAITING, now)
    if now.human:
        taken = _enter(practice, PilotPhase.TELEOPERATED, now)
        return replace(taken, rung=0, troubled=False) if taken is not practice else taken
    if phase in (PilotPhase.DEMONSTRATING, PilotPhase.PRACTISING) and now.failure is not None:
        return _enter(_failed(practice, now, config), PilotPhase.SETTLING, now)
    if phase is PilotPhase.SETTLING:
        settled = now.time_ns - practice.since_ns >= round(config.settle_seconds * 1e9)
        return _climb(practice, now, config) if settled else practice
    if phase is PilotPhase.RECOVERING:
        return _recovering(practice, now, config)
    if phase is PilotPhase.WAITING and practice.troubled:
        moved = _distance(now.position, practice.failed_at) >= config.recovered_metres
        if not (moved and now.oriented):  # else whoever armed it again also put it in a better place
            return _enter(practice, PilotPhase.SETTLING, now)
    entered = _enter(practice, ready(now), now)
    return replace(entered, troubled=False) if practice.troubled else entered


def ready(now: Situation) -> PilotPhase:
    """Who drives an able robot that is not in trouble. Without a policy nobody does: never a random one."""
    if now.demonstration:
        return PilotPhase.DEMONSTRATING
    return PilotPhase.PRACTISING if now.policy else PilotPhase.WAITING


def _enter(practice: Practice, phase: PilotPhase, now: Situation) -> Practice:
    return practice if phase is practice.phase else replace(practice, phase=phase, since_ns=now.time_ns)


def _failed(practice: Practice, now: Situation, config: PracticeConfig) -> Practice:
    near, far = NEAR * config.recovered_metres, FAR * config.recovered_metres
    again = _distance(now.position, practice.failed_at) < near and practice.strayed < far
    return replace(
        practice, rung=practice.rung if again else 0, failed_at=now.position, strayed=0.0, troubled=True
    )


def _climb(practice: Practice, now: Situation, config: PracticeConfig) -> Practice:
    """Start the rung in ``practice.rung``, or call a person if the ladder is exhausted."""
    if practice.rung >= len(config.recovery) * config.cycles:
        return _call(practice, now)
    return replace(practice, phase=PilotPhase.RECOVERING, since_ns=now.time_ns, place=now.position)


def _recovering(practice: Practice, now: Situation, config: PracticeConfig) -> Practice:
    step = config.recovery[practice.rung % len(config.recovery)]
    if now.time_ns - practice.since_ns < round(step.seconds * 1e9):
        return practice
    moved = _distance(now.position, practice.place)
    practice = replace(practice, rung=practice.rung + 1)
    if moved >= config.recovered_metres and now.oriented:
        return replace(_enter(practice, ready(now), now), troubled=False)
    return _climb(practice, now, config)


def _call(practice: Practice, now: Situation) -> Practice:
    entered = _enter(practice, PilotPhase.CALLING, now)
    return replace(entered, place=now.position, troubled=True, helped=False, calm_since_ns=None)


def _called(practice: Practice, now: Situation, config: PracticeConfig) -> Practice:
    """Help is a hand that moved the robot (it stands still by itself) or armed it anew, or a human driver;
    then it must be calm for a while."""
    moved = _distance(now.position, practice.place) >= config.recovered_metres
    helped = practice.helped or now.rearmed or moved
    calm_since = None
    if now.able and now.calm:
        calm_since = now.time_ns if practice.calm_since_ns is None else practice.calm_since_ns
    practice = replace(practice, helped=helped, calm_since_ns=calm_since)
    fresh = replace(practice, rung=0, failed_at=NOWHERE, strayed=0.0, troubled=False)
    if now.able and now.human:
        return _enter(fresh, PilotPhase.TELEOPERATED, now)
    if helped and calm_since is not None and now.time_ns - calm_since >= CALM_NS:
        return _enter(fresh, ready(now), now)
    return practice


def _distance(a: tuple[float, float], b: tuple[float, float]) -> float:
    return math.hypot(a[0] - b[0], a[1] - b[1])
