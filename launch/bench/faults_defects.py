"""Robots that are defective on purpose, to see the campaign catch them. Nothing but the campaign and its
tests uses them, and each is named for what it lacks."""

from __future__ import annotations

from typing import Any

import numpy as np

from launch.bench.faults_drive import Drive
from robot.messages import Cause
from robot.safety.command_gate import CommandGate
from robot.safety.monitors import CLEAR
from robot.safety.state_machine import Request

ENDLESS_NS = 10**18


def replace(owner: Any, name: str, new: Any) -> Any:
    """Replace an attribute that must exist (a defect that is none would be caught by nothing); returns the
    old one."""
    old = getattr(owner, name)
    setattr(owner, name, new)
    return old


def _gate(drive: Drive) -> CommandGate:
    gate: CommandGate = drive.guardian._gate
    return gate


def guardian_without_staleness_check(drive: Drive) -> None:
    """Believes every sensor is fresh."""
    freshness = drive.guardian._senses.monitors.freshness
    update = freshness.update

    def fresh(*args: Any, **kwargs: Any) -> None:
        update(*args, **kwargs)
        freshness.stale[:] = False

    replace(freshness, "update", fresh)


def guardian_without_frozen_check(drive: Drive) -> None:
    """Believes values that never change."""
    freshness = drive.guardian._senses.monitors.freshness
    update = freshness.update

    def alive(*args: Any, **kwargs: Any) -> None:
        update(*args, **kwargs)
        freshness.frozen[:] = False

    replace(freshness, "update", alive)


def guardian_without_command_timeout(drive: Drive) -> None:
    """Goes on with the last command for ever."""
    replace(_gate(drive), "timeout_ns", ENDLESS_NS)


def guardian_without_epoch_check(drive: Drive) -> None:
    """Takes commands of any arming epoch."""
    gate = _gate(drive)
    offer = gate.offer

    def any_epoch(now: int, sequence: int, time_ns: int, epoch: int, *rest: Any) -> Any:
        return offer(now, sequence, time_ns, gate._epoch, *rest)

    replace(gate, "offer", any_epoch)


def guardian_without_command_age(drive: Drive) -> None:
    """Takes every command for one of this moment."""
    gate = _gate(drive)
    offer = gate.offer
    replace(gate, "offer", lambda now, sequence, time_ns, *rest: offer(now, sequence, now, *rest))


def guardian_without_finite_check(drive: Drive) -> None:
    """Takes a command that is not a number for a stop of half a metre per second."""
    gate = _gate(drive)
    offer = gate.offer

    def finite(now: int, sequence: int, time_ns: int, epoch: int, setpoint: Any, *rest: Any) -> Any:
        return offer(now, sequence, time_ns, epoch, np.nan_to_num(setpoint, nan=0.5), *rest)

    replace(gate, "offer", finite)


def guardian_without_projection(drive: Drive) -> None:
    """Sends what it is asked to."""
    replace(drive.guardian._projection, "project", lambda proposed, *rest, **named: np.array(proposed, float))


def guardian_without_port_check(drive: Drive) -> None:
    """Does not mind a lost port."""
    _forgiving(drive, Cause.PORT_LOST)


def guardian_without_drive_fault_check(drive: Drive) -> None:
    """Does not mind a drive that reports a fault, or a driver that fails."""
    _forgiving(drive, Cause.DRIVE_FAULT)


def _forgiving(drive: Drive, cause: Cause) -> None:
    links = drive.guardian._links
    verdict = links.verdict

    def forgiving(now_ns: int) -> Any:
        found = verdict(now_ns)
        return CLEAR if found.cause == cause else found

    replace(links, "verdict", forgiving)


def guardian_without_limits(drive: Drive) -> None:
    """Judges no quantity."""
    limits = drive.guardian._senses.monitors.limits
    update = limits.update
    replace(limits, "update", lambda *args, **named: np.zeros_like(update(*args, **named)))


def guardian_without_overrun_check(drive: Drive) -> None:
    """Does not notice that time has passed."""
    replace(drive.guardian._overrun, "update", lambda now_ns, due_ns: CLEAR)


def guardian_that_keeps_driving(drive: Drive) -> None:
    """Says that it stops, and sends the last command on."""
    guardian, links = drive.guardian, drive.guardian._links
    stop = links.stop

    def drive_on(now_ns: int, torque: bool, sent: Any) -> None:
        if torque:
            links.command(now_ns, guardian._anchor_of_the_defect, sent)  # type: ignore[attr-defined]
        else:
            stop(now_ns, torque, sent)

    guardian._anchor_of_the_defect = guardian._anchor.copy()  # type: ignore[attr-defined]
    replace(links, "stop", drive_on)


def guardian_that_resumes_by_itself(drive: Drive) -> None:
    """Presses its own resume button once it stands."""
    operator = drive.guardian._operator
    update = operator.update

    def pressing(*args: Any) -> None:
        update(*args)
        operator.resume = drive.ticks

    replace(operator, "update", pressing)


def guardian_that_reads_buttons_as_levels(drive: Drive) -> None:
    """Takes every record of the operator for fresh presses of all that was ever pressed."""
    operator = drive.guardian._operator
    update = operator.update

    def levels(*args: Any) -> None:
        update(*args)
        operator.arm = operator.resume = drive.ticks

    replace(operator, "update", levels)


def guardian_without_latch(drive: Drive) -> None:
    """Leaves an emergency stop and a fault as soon as their cause has gone."""
    operator = drive.guardian._operator
    update = operator.update

    def released(*args: Any) -> None:
        update(*args)
        operator.reset = operator.arm = drive.ticks
        operator.enable = operator.enable and drive.ticks % 3 != 0

    replace(operator, "update", released)


def guardian_without_enable(drive: Drive) -> None:
    """Drives whether anybody permits it or not."""
    operator = drive.guardian._operator
    update = operator.update

    def permitted(*args: Any) -> None:
        update(*args)
        operator.enable = operator.fresh = True

    replace(operator, "update", permitted)


def guardian_without_estop_inputs(drive: Drive) -> None:
    """Looks at no emergency stop but the operator's key."""
    replace(drive.guardian._estops, "update", lambda clock: CLEAR)


def guardian_that_lets_the_car_roll(drive: Drive) -> None:
    """Releases the drive when torque goes off, whatever the speed."""
    replace(drive.guardian, "_silent", False)


def guardian_without_deadline(drive: Drive) -> None:
    """Brakes for as long as it takes."""
    guardian = drive.guardian
    replace(guardian, "_timing", guardian._timing._replace(deadline_ns=ENDLESS_NS, hold_ns=ENDLESS_NS))


def guardian_that_stops_for_anything(drive: Drive) -> None:
    """Stops for the first thing that any driver or mailbox counts as an error."""
    links = drive.guardian._links
    verdict = links.verdict
    before = sum(sum(d.health.errors.values()) for d in drive.drivers.values())
    gate = _gate(drive)
    rejected = sum(gate.rejected.values())

    def nervous(now_ns: int) -> Any:
        errors = sum(sum(d.health.errors.values()) for d in drive.drivers.values())
        if errors > before or sum(gate.rejected.values()) > rejected:
            return CLEAR._replace(request=Request.CATEGORY2, cause=Cause.PORT_LOST)
        return verdict(now_ns)

    replace(links, "verdict", nervous)


def guardian_that_minds_novelty(drive: Drive) -> None:
    """Stops for whatever the policy thinks of itself."""
    gate = _gate(drive)
    request = gate.request
    last = drive.pilot.record

    def minding(now: int, timed: bool) -> Any:
        novel = not abs(float(last["novelty"][0])) <= 1.0
        return (Request.CATEGORY1, Cause.LIMIT) if timed and novel else request(now, timed)

    replace(gate, "request", minding)


def guardian_on_the_wall_clock(drive: Drive) -> None:
    """Judges the age of commands by the calendar."""
    import time

    gate = _gate(drive)
    request, offset = gate.request, drive.now_ns - time.time_ns()
    replace(gate, "request", lambda now, timed: request(time.time_ns() + offset, timed))


def guardian_that_believes_every_pose(drive: Drive) -> None:
    """Takes any external pose as it comes."""
    inbox = drive.guardian._senses.pose
    update = inbox.update

    estimator: Any = drive.guardian._senses.estimator

    def believing(*args: Any) -> bool:
        before = inbox._inbox._seen
        update(*args)
        return bool(inbox._inbox._seen != before)

    def pose(time_ns: int, pose: Any, variance: Any) -> None:
        sure = np.abs(np.nan_to_num(variance, posinf=0.01)) + 1e-6
        estimator._poses.append((drive.now_ns, tuple(np.nan_to_num(pose)), tuple(sure)))

    replace(inbox, "update", believing)
    replace(estimator, "pose", pose)


def guardian_that_waits_for_the_log(drive: Drive) -> None:
    """Does not tick while its ring is full."""
    guardian, ring = drive.guardian, drive.board.ticks
    tick = guardian.tick

    def blocked(due_ns: int) -> None:
        if ring.waiting < ring._slots:
            tick(due_ns)

    replace(guardian, "tick", blocked)


def guardian_that_minds_the_learner(drive: Drive) -> None:
    """Stops when the courier has no learner, has a full disk, or has heard anything at all."""
    gate = _gate(drive)
    request = gate.request

    def minding(now: int, timed: bool) -> Any:
        record = drive.board.courier.read()
        if timed and record is not None:
            return Request.CATEGORY2, Cause.PORT_LOST
        return request(now, timed)

    replace(gate, "request", minding)
