"""Faults in what the pilot says: not numbers, too much, too old, of another arming, or nothing at all."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from launch.bench import faults_defects as defective
from launch.bench.faults_cell import cell
from launch.bench.faults_judge import Expected
from launch.bench.faults_run import Run
from launch.bench.faults_timing import period
from robot.messages import SafetyState
from robot.safety.command_gate import NOT_FINITE_LIMIT
from robot.shared_memory import Record

HOLD, STOP1, STOP0 = SafetyState.HOLD, SafetyState.STOP1, SafetyState.STOP0

SILENT = (defective.guardian_without_command_timeout, defective.guardian_that_keeps_driving)


def step(run: Run) -> float:
    """A policy step [s]."""
    return period(run) * run.drive.spec.ticks_per_step


def timeout(run: Run) -> float:
    """Until a silent pilot must have been stopped: its timeout and one tick [s]."""
    return run.drive.spec.safety.command_timeout_s + period(run)


def spoil(run: Run, change: Callable[[Record], None], most: int = 0) -> None:
    """Change the pilot's records from now on, ``most`` of them (0: all)."""

    def spoiled(record: Record) -> bool:
        if not most or run.hits < most:
            change(record)
            run.hit()
        return True

    run.drive.pilot.spoil = spoiled


def _put(run: Run, values: Callable[[], float]) -> Callable[[Record], None]:
    """Puts a value into one element of the setpoint, or into all of them."""
    which = run.choose("element", "first", "second", "all")
    where = {"first": slice(0, 1), "second": slice(1, 2), "all": slice(None)}[which]

    def put(record: Record) -> None:
        record["setpoint"][0, where] = values()

    return put


@cell("policy NaN", defective.guardian_that_stops_for_anything)
def command_not_a_number_twice(run: Run) -> Expected:
    """One or two commands that are not numbers: rejected, nothing more."""
    most = 1 + int(run.rng.integers(NOT_FINITE_LIMIT - 1))
    run.drawn["commands"] = most
    spoil(run, _put(run, lambda: math.nan), most)
    return Expected("never")


@cell("policy NaN", defective.guardian_without_finite_check, defective.guardian_that_keeps_driving)
def command_not_a_number(run: Run) -> Expected:
    """Commands that are not numbers: the third in a row stops the robot."""
    # Any bit pattern of the 2^53 that are not a number.
    bits = int(run.rng.integers(1, 1 << 51)) | 0x7FF0 << 48 | int(run.rng.integers(2)) << 63
    value = float(np.array([bits], np.uint64).view(np.float64)[0])
    spoil(run, _put(run, lambda: value))
    return Expected("must", (STOP1,), (NOT_FINITE_LIMIT - 1) * step(run) + period(run))


@cell("policy infinite", defective.guardian_without_finite_check)
def command_infinite(run: Run) -> Expected:
    """Infinite commands: the third in a row stops the robot."""
    sign = 1.0 if run.rng.integers(2) else -1.0
    spoil(run, _put(run, lambda: sign * math.inf))
    return Expected("must", (STOP1,), (NOT_FINITE_LIMIT - 1) * step(run) + period(run))


@cell("policy huge", defective.guardian_without_projection)
def command_huge(run: Run) -> Expected:
    """Commands far beyond every limit: what reaches the drive is within them."""
    exponent, sign = run.uniform("exponent", 0.5, 308.0), 1.0 if run.rng.integers(2) else -1.0
    spoil(run, _put(run, lambda: sign * 10.0**exponent))
    return Expected("may", (HOLD, STOP1, STOP0), reaction_s=0.0)


@cell("policy oscillating", defective.guardian_without_projection)
def command_oscillating(run: Run) -> Expected:
    """Commands that jump from one end of the range to the other each step."""
    spec = run.drive.spec
    ends = [np.array([a.lower for a in spec.actuators]), np.array([a.upper for a in spec.actuators])]
    only = run.choose("which", "speed", "steering", "both")

    def jump(record: Record) -> None:
        for i, actuator in enumerate(spec.actuators):
            if only in (actuator.name, "both"):
                record["setpoint"][0, i] = ends[run.hits % 2][i]

    spoil(run, jump)
    return Expected("may", (HOLD, STOP1, STOP0), reaction_s=0.0)


@cell("policy noise", defective.guardian_without_projection)
def command_random_bits(run: Run) -> Expected:
    """Setpoints of random bits."""

    def scramble(record: Record) -> None:
        size = record["setpoint"].size
        record["setpoint"] = np.frombuffer(run.rng.bytes(8 * size), np.float64)

    spoil(run, scramble)
    return Expected("may", (HOLD, STOP1, STOP0), reaction_s=0.0)


@cell("policy wrong shape", *SILENT)
def command_wrong_shape(run: Run) -> Expected:
    """Whatever else the pilot's memory holds, of any length: never taken for a command."""
    mailbox = run.drive.board.command
    region = mailbox._region

    def garbage(record: Record) -> bool:
        number = int(region._written[0]) + 1
        data = run.rng.bytes(int(run.rng.integers(1, region.stride)))
        place = region.slot(number & 1)
        region.memory[place : place + len(data)] = data
        region._written[0] = number
        run.hit()
        return False

    run.drive.pilot.spoil = garbage
    return Expected("must", (HOLD,), timeout(run))


@cell("replay old epoch", defective.guardian_without_epoch_check)
def command_of_another_arming(run: Run) -> Expected:
    """Commands of another arming epoch."""
    other = int(run.rng.integers(1, 1 << 32))

    def change(record: Record) -> None:
        record["epoch"] += np.uint32(other)

    spoil(run, change)
    return Expected("must", (HOLD,), timeout(run))


@cell("replay", defective.guardian_without_command_age)
def command_replayed(run: Run) -> Expected:
    """A command that was good once, written again and again."""
    first: list[Record] = []

    def replay(record: Record) -> None:
        if not first:
            first.append(record.copy())
        for name in ("time_ns", "setpoint", "epoch"):
            record[name] = first[0][name]

    spoil(run, replay)
    # The first of them is new; its age counts.
    return Expected("must", (HOLD,), timeout(run))


@cell("delay", defective.guardian_without_command_age)
def command_late(run: Run) -> Expected:
    """Commands as old as they say, 0 to 1 s: by age."""
    late_s = run.uniform("late_s", 0.0, 1.0)

    def delay(record: Record) -> None:
        record["time_ns"] -= round(late_s * 1e9)

    spoil(run, delay)
    limit_s = run.drive.spec.safety.command_timeout_s
    if late_s < limit_s - step(run) - 2 * period(run):
        # One that is older than the one before it is turned away; those that follow are not.
        return Expected("may", (HOLD,), reaction_s=0.0)
    if late_s > limit_s:
        return Expected("must", (HOLD,), timeout(run))
    return Expected("may", (HOLD,), reaction_s=0.0)


@cell("clock", defective.guardian_without_command_age)
def command_from_the_future(run: Run) -> Expected:
    """Commands dated ahead: they would outlive their timeout."""
    ahead_s = run.uniform("ahead_s", 0.05, 1e6)

    def date(record: Record) -> None:
        record["time_ns"] += round(ahead_s * 1e9)

    spoil(run, date)
    return Expected("must", (HOLD,), timeout(run))


@cell("out of distribution", defective.guardian_that_minds_novelty)
def command_novelty_lies(run: Run) -> Expected:
    """The policy's own score of novelty is anything at all: it may derate, never stop."""
    specials = [math.nan, math.inf, -math.inf, 1e30, -1e30, 1.5, 0.0]

    def lie(record: Record) -> None:
        record["novelty"] = specials[int(run.rng.integers(len(specials)))]

    spoil(run, lie)
    return Expected("never")


@cell("flood", defective.guardian_without_projection)
def command_flood(run: Run) -> Expected:
    """Hundreds of different commands a tick."""
    record = run.drive.pilot.record.copy()
    spec = run.drive.spec

    def flood(now_ns: int) -> None:
        state = run.drive.board.state.read()
        record["epoch"] = 0 if state is None else state["epoch"]
        for _ in range(int(run.rng.integers(100, 300))):
            record["time_ns"] = now_ns
            record["setpoint"] = [run.rng.uniform(a.lower, a.upper) for a in spec.actuators]
            run.drive.board.command.write(record)
        run.hit(now_ns)

    run.on_tick.append(flood)
    return Expected("may", (HOLD, STOP1, STOP0), reaction_s=0.0)


@cell("policy SIGSTOP/SIGKILL/GIL hang/OOM", *SILENT)
def pilot_silent(run: Run) -> Expected:
    """The pilot says nothing any more: stopped, killed, hung or out of memory."""
    run.drive.pilot.alive = False
    run.hit()
    run.watch_s = 1.5
    return Expected("must", (HOLD,), timeout(run))


@cell("policy SIGSTOP/SIGKILL/GIL hang/OOM", *SILENT, defective.guardian_that_resumes_by_itself)
def pilot_hangs_and_returns(run: Run) -> Expected:
    """The pilot is silent for a while and then goes on."""
    silent_s = run.uniform("silent_s", 0.0, 1.0)
    end_ns = run.drive.now_ns + round(silent_s * 1e9)
    run.drive.pilot.alive = False
    run.hit()

    def wake(now_ns: int) -> None:
        run.drive.pilot.alive = now_ns >= end_ns

    run.on_tick.append(wake)
    run.watch_s = 2.0
    if silent_s > timeout(run) + step(run):
        return Expected("must", (HOLD,), timeout(run))
    if silent_s < run.drive.spec.safety.command_timeout_s - 2 * step(run):
        return Expected("never")
    return Expected("may", (HOLD,), reaction_s=0.0)
