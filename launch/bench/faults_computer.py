"""Faults of the computer: the guardian stands still, time jumps, the disk is full, software fails."""

from __future__ import annotations

import math
import time
from typing import Any
from unittest import mock

import numpy as np

from launch.bench import faults_defective_devices as broken
from launch.bench import faults_defects as defective
from launch.bench.faults_cell import cell
from launch.bench.faults_judge import Expected
from launch.bench.faults_run import Run
from launch.bench.faults_timing import braked_by_the_drive, drive_timeout, period
from robot.messages import SafetyState

HOLD, STOP1, STOP0, FAULT = SafetyState.HOLD, SafetyState.STOP1, SafetyState.STOP0, SafetyState.FAULT

YEAR_S = 365.25 * 86_400


@cell(
    "safetyd SIGSTOP/SIGKILL",
    broken.drive_without_timeout,
    broken.drive_that_coasts_on_timeout,
    broken.drive_with_the_factory_timeout,
)
def guardian_silent(run: Run) -> Expected:
    """The guardian's process stands still: only the drive's own timeout stops the robot."""
    run.drive.frozen = True
    run.hit()
    return braked_by_the_drive(run, ())


@cell("safetyd SIGSTOP", defective.guardian_without_overrun_check, defective.guardian_without_latch)
def guardian_pauses(run: Run) -> Expected:
    """The guardian's process stands still for 0.02 to 1 s and goes on: it stops the robot at once."""
    pause_s = run.uniform("pause_s", 0.02, 1.0)
    end_ns = run.drive.now_ns + round(pause_s * 1e9)
    run.drive.frozen = True
    run.hit()

    def wake(now_ns: int) -> None:
        run.drive.frozen = now_ns < end_ns

    run.on_tick.append(wake)
    run.watch_s = pause_s + 1.5
    overrun_s = run.drive.spec.safety.overrun_s
    reaction_s = min(pause_s + period(run), drive_timeout(run) + 0.02)
    # The tick before the pause counts as its beginning: one period more than the pause itself.
    if pause_s > overrun_s + 2 * period(run):
        return Expected("must", (STOP1, STOP0), pause_s + period(run), reaction_s=reaction_s)
    return Expected("may", (HOLD, STOP1, STOP0), reaction_s=0.0)


@cell("suspend/resume", defective.guardian_without_overrun_check)
def computer_suspends(run: Run) -> Expected:
    """The whole computer sleeps for 0.2 to 5 s: a fault on waking, latched."""
    asleep_s = run.uniform("asleep_s", 0.2, 5.0)

    def sleep(now_ns: int) -> None:
        if not run.hits:
            run.hit(now_ns)
            run.drive.skip(asleep_s)
            # Whoever feeds the emergency stop woke first: what remains is that time has passed.
            run.drive.loop.step(run.drive.now_ns)

    run.on_tick.append(sleep)
    run.watch_s = asleep_s + 0.5
    return Expected(
        "must",
        (STOP1, STOP0, FAULT),
        asleep_s + period(run),
        reaction_s=min(asleep_s, drive_timeout(run) + 0.02),
        torque_off_s=asleep_s + run.drive.spec.stop.deadline_s,
    )


@cell("wall clock", defective.guardian_on_the_wall_clock, compare=True)
def wall_clock_jumps(run: Run) -> Expected:
    """The calendar jumps by up to a year, either way: not one bit of the drive changes."""
    jump_s = run.uniform("jump_s", -YEAR_S, YEAR_S)
    now, now_ns = time.time, time.time_ns
    before = now()
    mock.patch.object(time, "time", lambda: now() + jump_s).start()
    mock.patch.object(time, "time_ns", lambda: now_ns() + round(jump_s * 1e9)).start()
    if abs(time.time() - before - jump_s) < 1.0:
        run.hit()
    return Expected("never")


@cell("wall clock", defective.guardian_on_the_wall_clock)
def wall_clock_jumps_while_pilot_silent(run: Run) -> Expected:
    """The calendar jumps and the pilot falls silent: stopped no later than at any other time."""
    wall_clock_jumps(run)
    run.drive.pilot.alive = False
    within_s = run.drive.spec.safety.command_timeout_s + period(run)
    return Expected("must", (HOLD,), within_s)


@cell("disk full, log stall", defective.guardian_that_waits_for_the_log, compare=True)
def log_stalls(run: Run) -> Expected:
    """Nobody empties the guardian's rings: what does not fit is counted, and not one bit of the drive
    changes."""
    board = run.drive.board
    for ring in (board.ticks, board.guardian_events, board.steps, board.pilot_events):
        ring._region._written[0] += ring._slots - ring.waiting
    before, ticks = board.ticks.dropped, run.drive.ticks

    def count() -> str | None:
        lost, made = board.ticks.dropped - before, run.drive.ticks - ticks
        return None if lost == made else f"{made} ticks found the ring full, {lost} were counted"

    if board.ticks.waiting >= board.ticks._slots:
        run.hit()
    run.checks.append(count)
    return Expected("never")


@cell("driver fails", defective.guardian_without_drive_fault_check)
def driver_raises(run: Run) -> Expected:
    """A driver's code raises in poll, or returns nonsense from command."""
    driver: Any = run.drive.drivers["vesc"]
    how = run.choose("how", "poll raises", "command raises", "wrong shape")

    def failing(now_ns: int, *rest: object) -> object:
        run.hit(now_ns)
        if how == "wrong shape":
            return np.zeros(7)
        raise ZeroDivisionError("a fault, injected")

    driver.__dict__["poll" if how == "poll raises" else "command"] = failing
    return Expected("must", (STOP1, STOP0), 2 * period(run), reaction_s=drive_timeout(run))


@cell("estimator fails", defective.guardian_that_keeps_driving)
def estimator_fails(run: Run) -> Expected:
    """The estimator raises, or says what is not a number."""
    estimator: Any = run.drive.guardian._senses.estimator
    update = estimator.update
    how = run.choose("how", "raises", "not a number")

    def failing(now_ns: int, *rest: object) -> object:
        run.hit(now_ns)
        if how == "raises":
            raise np.linalg.LinAlgError("a fault, injected")
        estimate = update(now_ns, *rest)
        estimate.values[int(run.rng.integers(len(estimate.values)))] = math.nan
        return estimate

    estimator.update = failing
    return Expected("must", (STOP1, STOP0), period(run), torque_off_s=run.drive.spec.stop.deadline_s + 0.05)


@cell("pose feeder lies", defective.guardian_that_believes_every_pose, compare=True)
def pose_garbage(run: Run) -> Expected:
    """An external pose that cannot be one (not a number, no variance, from another time) is turned away, and
    not one bit of the drive changes."""
    from robot.messages import POSE_DTYPE

    record = np.zeros(1, POSE_DTYPE)
    how = run.choose("how", "not a number", "infinite", "no variance", "old", "future")

    def feed(now_ns: int) -> None:
        state = run.drive.board.state.read()
        record["time_ns"] = now_ns if state is None else state["time_ns"]
        # Otherwise plausible, so that nothing but what is wrong with it can turn it away.
        record["pose"] = np.array(run.drive.twin.pose()) + run.rng.normal(0.0, 0.1, 3)
        record["covariance"] = 0.01
        if how == "not a number":
            record["pose"][0, int(run.rng.integers(3))] = math.nan
        elif how == "infinite":
            record["covariance"][0, int(run.rng.integers(3))] = math.inf
        elif how == "no variance":
            record["covariance"][0, int(run.rng.integers(3))] = -float(run.rng.random())
        elif how == "old":
            record["time_ns"] -= round(run.rng.uniform(2.0, 1e6) * 1e9)
        else:
            record["time_ns"] += round(run.rng.uniform(1.0, 1e6) * 1e9)
        run.drive.board.pose.write(record)
        run.hit(now_ns)

    run.on_tick.append(feed)
    return Expected("never")
