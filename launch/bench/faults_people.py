"""Faults in what people do: contacts that bounce, buttons that stick, permission that ends."""

from __future__ import annotations

from collections.abc import Callable

from launch.bench import faults_defects as defective
from launch.bench.faults_cell import cell
from launch.bench.faults_drive import LOOP
from launch.bench.faults_judge import Expected
from launch.bench.faults_run import Run
from launch.bench.faults_timing import drive_timeout, period
from robot.messages import EstopState, SafetyState
from robot.shared_memory import Record

HOLD, STOP1, STOP0 = SafetyState.HOLD, SafetyState.STOP1, SafetyState.STOP0

ESTOP = SafetyState.ESTOP
ESTOP_LEVELS = (EstopState.OPEN, EstopState.CLOSED)


def press(run: Run, change: Callable[[Record], None]) -> None:
    """Write the person's record, changed, now."""
    mailbox, state = run.drive.board.operator, run.drive.board.state.read()
    record = mailbox.read()
    if record is None or state is None:
        return
    record = record.copy()
    record["time_ns"] = state["time_ns"]
    change(record)
    mailbox.write(record)


def _bounce(run: Run, name: str, first: int, settled: int) -> None:
    """A contact that bounces: random for a while, beginning with ``first``, then ``settled``."""
    end_ns = run.drive.now_ns + round(run.uniform("bounce_s", 0.02, 0.3) * 1e9)

    def bounce(now_ns: int) -> None:
        if now_ns < end_ns:
            level = first if not run.hits else int(run.rng.integers(2))
            run.hit(now_ns)
        else:
            level = settled
        press(run, lambda record: record.__setitem__(name, level))

    run.on_tick.append(bounce)
    run.drive.person.step = lambda now_ns: None  # type: ignore[method-assign]
    run.watch_s = 1.0


def _cut(run: Run) -> Expected:
    """ESTOP in the next tick, from then on silence, and the drive's own timeout brakes."""
    reaction_s = period(run) + drive_timeout(run)
    return Expected("must", (ESTOP,), period(run), reaction_s=reaction_s, torque_off_s=period(run))


@cell("e-stop bounce", defective.guardian_without_latch, defective.guardian_that_lets_the_car_roll)
def estop_bounces(run: Run) -> Expected:
    """The emergency stop is hit and its contact bounces: one stop, nothing more is sent in the same tick,
    latched; the drive's own timeout brakes."""
    _bounce(run, "estop", 1, int(run.rng.integers(2)))
    _stays(run, ESTOP)
    return _cut(run)


@cell("e-stop bounce", defective.guardian_without_estop_inputs, defective.guardian_without_latch)
def estop_loop_opens(run: Run) -> Expected:
    """The hard-wired loop opens and bounces, and may close again: one stop, latched."""
    loop = run.drive.loop
    end_ns = run.drive.now_ns + round(run.uniform("bounce_s", 0.02, 0.3) * 1e9)
    settled = ESTOP_LEVELS[int(run.rng.integers(2))]

    def bounce(now_ns: int) -> None:
        bouncing = now_ns < end_ns
        level = ESTOP_LEVELS[int(run.rng.integers(2))] if bouncing else settled
        loop.record["state"] = EstopState.OPEN if not run.hits else level
        if bouncing:
            run.hit(now_ns)
        loop.step(now_ns)

    run.on_tick.append(bounce)
    _stays(run, ESTOP)
    run.watch_s = 1.0
    return _cut(run)


@cell("e-stop bounce", defective.guardian_without_estop_inputs)
def estop_tapped(run: Run) -> Expected:
    """An emergency stop pressed and let go of between two looks: only its counter tells."""

    def tap(now_ns: int) -> None:
        run.drive.loop.record["presses"] += not run.hits
        run.hit(now_ns)
        run.drive.loop.step(now_ns)

    run.on_tick.append(tap)
    _stays(run, ESTOP)
    return _cut(run)


@cell("e-stop silent", defective.guardian_without_estop_inputs)
def estop_loop_silent(run: Run) -> Expected:
    """The feeder of an emergency stop dies, or no longer knows: braked, for a robot needs a stop that
    works."""
    how = run.choose("how", "dies", "does not know")
    run.hit()
    if how == "dies":
        run.drive.loop.alive = False
        return Expected("must", (STOP1,), LOOP.timeout_s + period(run))
    run.drive.loop.record["state"] = EstopState.UNKNOWN
    return Expected("must", (STOP1,), period(run))


def _stays(run: Run, state: SafetyState) -> None:
    """It must not leave ``state`` again, not even for a tick."""
    seen: list[SafetyState] = []

    def once() -> str | None:
        first = seen.index(state) if state in seen else len(seen)
        others = {s.name for s in seen[first:]} - {state.name}
        return f"left {state.name} for {', '.join(others)}" if others else None

    run.on_seen.append(lambda now_ns: seen.append(run.drive.state))
    run.checks.append(once)


@cell("enable bounce", defective.guardian_without_enable, defective.guardian_that_resumes_by_itself)
def enable_bounces(run: Run) -> Expected:
    """The enabling contact bounces and is held again: one stop, and no way back without a press."""
    _bounce(run, "enable", 0, 1)
    return Expected("must", (HOLD, STOP1), period(run))


@cell("enable released", defective.guardian_without_enable, defective.guardian_that_keeps_driving)
def enable_released(run: Run) -> Expected:
    """The permission is withdrawn."""

    def release(now_ns: int) -> None:
        press(run, lambda record: record.__setitem__("enable", 0))
        run.hit(now_ns)

    run.on_tick.append(release)
    run.drive.person.step = lambda now_ns: None  # type: ignore[method-assign]
    return Expected("must", (HOLD, STOP1), period(run))


@cell("operator dies", defective.guardian_without_enable)
def operator_silent(run: Run) -> Expected:
    """Whoever renews the permission dies."""
    run.drive.person.step = lambda now_ns: None  # type: ignore[method-assign]
    run.hit()
    return Expected("must", (HOLD, STOP1), run.drive.spec.enable.timeout_s + period(run))


@cell("stuck reset", defective.guardian_that_reads_buttons_as_levels, defective.guardian_without_latch)
def reset_stuck(run: Run) -> Expected:
    """A stop is asked for while the reset button repeats for ever and the permission comes and goes: it never
    arms."""
    stop_pressed = False

    def repeat(now_ns: int) -> None:
        nonlocal stop_pressed

        def change(record: Record) -> None:
            record["reset"] += 1
            record["stop"] += not stop_pressed
            record["enable"] = int(run.rng.integers(2)) if stop_pressed else 1

        press(run, change)
        stop_pressed = True
        run.hit(now_ns)

    run.on_tick.append(repeat)
    run.drive.person.step = lambda now_ns: None  # type: ignore[method-assign]
    run.watch_s = 2.0
    return Expected("must", (STOP1, STOP0), period(run))


@cell("stuck arm", defective.guardian_that_reads_buttons_as_levels)
def arm_stuck(run: Run) -> Expected:
    """The arm button is held down from before a stop until after its reset: held is not pressed."""
    begin_ns = run.drive.now_ns
    pressed: set[str] = set()

    def once(record: Record, button: str) -> None:
        if button not in pressed:
            pressed.add(button)
            record[button] += 1

    def go_through(now_ns: int) -> None:
        elapsed_s = (now_ns - begin_ns) * 1e-9
        standing = run.drive.state == SafetyState.FAULT

        def change(record: Record) -> None:
            once(record, "stop")
            if standing and elapsed_s > 1.5:
                record["enable"] = 0
                once(record, "reset")
            elif run.drive.state == SafetyState.STANDBY:
                record["enable"] = 1 if elapsed_s > 2.0 else 0

        press(run, change)
        run.hit(now_ns)

    run.on_tick.append(go_through)
    run.drive.person.step = lambda now_ns: None  # type: ignore[method-assign]
    run.watch_s = 2.5

    def came_to_standby() -> str | None:
        return None if run.drive.state == SafetyState.STANDBY else f"ended in {run.drive.state.name}"

    run.checks.append(came_to_standby)
    return Expected("must", (STOP1, STOP0), period(run))
