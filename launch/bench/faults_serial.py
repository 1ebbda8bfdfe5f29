"""Faults on the serial lines: lost, corrupt, truncated, late, doubled, swapped, old, frozen, lying, gone."""

from __future__ import annotations

from launch.bench import faults_defective_devices as broken
from launch.bench import faults_defects as defective
from launch.bench.faults_cell import cell
from launch.bench.faults_judge import Expected
from launch.bench.faults_run import Run
from launch.bench.faults_timing import drive_timeout, period, stale
from robot.drivers.vesc_protocol import Command
from robot.messages import SafetyState
from robot.safety.freshness import FROZEN_NS
from sim.emulators.faults import Fault

HOLD, STOP1, STOP0 = SafetyState.HOLD, SafetyState.STOP1, SafetyState.STOP0


def direction(run: Run) -> str:
    return run.choose("to", "host", "device")


@cell("drop 1", defective.guardian_that_stops_for_anything)
def serial_drop_1(run: Run) -> Expected:
    """One frame lost, either way: nothing happens."""
    run.line("drop", to=direction(run), most=1)
    return Expected("never")


@cell("drop 3", defective.guardian_that_keeps_driving, defective.guardian_that_resumes_by_itself)
def serial_drop_3(run: Run) -> Expected:
    """Three frames in a row lost, either way: derated or stopped."""
    run.line("drop", to=direction(run), most=3)
    return Expected("may", reaction_s=0.0)


def _damaged(run: Run, to: str) -> Expected:
    """Every write to the drive is damaged somewhere, so now and then a request in it comes through whole: it
    is the age of the answers that counts. Of the replies none is whole."""
    if to == "device":
        return Expected("may", reaction_s=drive_timeout(run))
    return Expected("must", (HOLD,), stale(run))


@cell(
    "drop all",
    defective.guardian_without_staleness_check,
    defective.guardian_that_keeps_driving,
)
def serial_drop_all_replies(run: Run) -> Expected:
    """Nothing comes back from the drive any more."""
    run.line("drop", to="host")
    return Expected("must", (HOLD,), stale(run))


@cell("drop all", defective.guardian_without_staleness_check, broken.drive_without_timeout)
def serial_drop_all_requests(run: Run) -> Expected:
    """Nothing reaches the drive any more: its own timeout brakes."""
    run.line("drop", to="device")
    return Expected("must", (HOLD,), stale(run), reaction_s=drive_timeout(run))


@cell("drop some", defective.guardian_without_staleness_check, defective.guardian_that_keeps_driving)
def serial_drop_some(run: Run) -> Expected:
    """Frames lost at random for a second, either way."""
    run.line("drop", to=direction(run), lasts_s=1.0, probability=run.uniform("probability", 0.05, 0.9))
    return Expected("may", reaction_s=drive_timeout(run))


@cell("flip bits", broken.driver_without_checksum, defective.guardian_without_staleness_check)
def serial_corrupt_all(run: Run) -> Expected:
    """Bits of every frame flipped, either way."""
    to = direction(run)
    run.line("corrupt", to=to)
    return _damaged(run, to)


@cell("flip bits", broken.driver_without_checksum, defective.guardian_that_keeps_driving)
def serial_corrupt_some(run: Run) -> Expected:
    """Bits of some frames flipped for a second, either way."""
    run.line("corrupt", to=direction(run), lasts_s=1.0, probability=run.uniform("probability", 0.1, 0.9))
    return Expected("may", reaction_s=drive_timeout(run))


@cell("truncate", defective.guardian_without_staleness_check)
def serial_truncate_all(run: Run) -> Expected:
    """Every frame ends too soon, either way."""
    to = direction(run)
    run.line("truncate", to=to)
    return _damaged(run, to)


@cell("truncate", defective.guardian_that_keeps_driving)
def serial_truncate_some(run: Run) -> Expected:
    """Some frames end too soon, either way, for a second."""
    run.line("truncate", to=direction(run), lasts_s=1.0, probability=run.uniform("probability", 0.1, 0.9))
    return Expected("may", reaction_s=drive_timeout(run))


@cell("noise", defective.guardian_without_staleness_check)
def serial_noise(run: Run) -> Expected:
    """Random bytes between the frames, either way, for a second."""
    run.line("noise", to=direction(run), lasts_s=1.0, probability=run.uniform("probability", 0.1, 1.0))
    return Expected("may", reaction_s=drive_timeout(run))


@cell("delay", broken.driver_that_dates_samples_on_arrival, defective.guardian_without_staleness_check)
def serial_delay(run: Run) -> Expected:
    """Every frame half a period to ten periods late, either way: judged by age, not by count."""
    delay_s = run.uniform("delay_s", 0.5 * period(run), 10 * period(run))
    to = direction(run)
    run.line("delay", to=to, delay_s=delay_s)
    # Even commands take effect later by the delay, those that brake included.
    reaction_s = stale(run) + (delay_s if to == "device" else 0.0)
    if delay_s > stale(run):
        return Expected("must", (HOLD,), stale(run), reaction_s=reaction_s)
    if delay_s < 1.2 * period(run):
        return Expected("never")
    return Expected("may", reaction_s=reaction_s)


@cell("delay", broken.driver_that_dates_samples_on_arrival, broken.driver_that_never_rewords)
def serial_delay_creeps(run: Run) -> Expected:
    """The delay grows from nothing to ten periods, so slowly that no sample is missed: judged by true age."""
    line, begin_ns = run.drive.lines["vesc"], run.drive.now_ns
    most_s = run.uniform("delay_s", 6 * period(run), 10 * period(run))
    over_s = run.uniform("over_s", 0.5, 2.0)
    to = direction(run)

    def creep(now_ns: int) -> None:
        share = min((now_ns - begin_ns) * 1e-9 / over_s, 1.0)
        line.set([Fault(kind="delay", to=to, delay_s=share * most_s)])  # type: ignore[arg-type]

    run.on_tick.append(creep)
    run.watch_s = over_s + 0.5
    # From the first effect on the whole creep passes; then it is like any other delay.
    late_s = over_s + stale(run) + (most_s if to == "device" else 0.0)
    return Expected("must", (HOLD,), late_s, reaction_s=late_s)


@cell("jitter", broken.driver_that_dates_samples_on_arrival, broken.driver_that_never_rewords)
def serial_jitter(run: Run) -> Expected:
    """Some frames up to ten periods late, either way, for a second."""
    delay_s = run.uniform("delay_s", 0.5 * period(run), 10 * period(run))
    share = run.uniform("probability", 0.1, 0.9)
    run.line("delay", to=direction(run), delay_s=delay_s, probability=share, lasts_s=1.0)
    return Expected("may", reaction_s=stale(run) + delay_s)


@cell("duplicate", defective.guardian_that_stops_for_anything)
def serial_duplicate(run: Run) -> Expected:
    """Every frame twice, either way: nothing happens."""
    run.line("duplicate", to=direction(run))
    return Expected("never")


@cell("reorder", broken.driver_that_expects_an_order)
def serial_reorder(run: Run) -> Expected:
    """Neighbouring frames swapped, either way: nothing happens."""
    run.line("reorder", to=direction(run), probability=run.uniform("probability", 0.1, 1.0))
    return Expected("never")


@cell("replay", defective.guardian_that_stops_for_anything)
def serial_replay(run: Run) -> Expected:
    """Old replies of the drive come again just before new ones, which nothing on the wire tells apart: noise
    to the estimator, within every limit."""
    run.line("replay", to="host", probability=run.uniform("probability", 0.05, 1.0), lasts_s=1.5)
    run.watch_s = 1.5
    return Expected("never", true_age=False)


@cell("frozen sensor", defective.guardian_without_frozen_check)
def serial_frozen(run: Run) -> Expected:
    """A sensor hangs: fresh counters, the same values."""
    which = run.choose("sensor", "both", "drive", "imu")
    key = {"both": None, "drive": int(Command.GET_VALUES_SELECTIVE), "imu": int(Command.GET_IMU_DATA)}[which]
    run.line("freeze", key=key)
    return Expected("must", (HOLD, STOP1), FROZEN_NS * 1e-9 + 3 * period(run), true_age=False)


@cell("port unplugged", defective.guardian_without_port_check, broken.drive_that_coasts_on_timeout)
def serial_unplugged(run: Run) -> Expected:
    """The drive's port vanishes: torque off by the stop's deadline, braked by the drive's own timeout."""
    run.line("unplug")
    deadline_s = run.drive.spec.stop.deadline_s
    return Expected(
        "must",
        (STOP1, STOP0),
        2 * period(run),
        reaction_s=drive_timeout(run),
        torque_off_s=deadline_s + 3 * period(run),
    )


@cell("port unplugged", defective.guardian_without_port_check, defective.guardian_without_latch)
def serial_replugged(run: Run) -> Expected:
    """The drive's port vanishes and comes back: it stays stopped."""
    run.line("unplug", lasts_s=run.uniform("gone_s", 2 * period(run), 1.0))
    run.watch_s = 2.0
    return Expected("must", (STOP1, STOP0), 2 * period(run), reaction_s=drive_timeout(run))


@cell("EIO", defective.guardian_without_port_check)
def serial_eio(run: Run) -> Expected:
    """Reading or writing fails once: the port is lost, and opened again later."""
    run.line("error", most=1)
    run.watch_s = 1.0
    return Expected("must", (STOP1, STOP0), 2 * period(run), reaction_s=drive_timeout(run))


@cell("EIO", defective.guardian_without_port_check)
def serial_eio_for_good(run: Run) -> Expected:
    """Reading or writing fails each time the port has been opened again."""
    run.line("error")
    return Expected("must", (STOP1, STOP0), 2 * period(run), reaction_s=drive_timeout(run))


@cell("satellites", defective.guardian_that_stops_for_anything)
def satellites_lost(run: Run) -> Expected:
    """The GNSS receiver's line drops, garbles, freezes or vanishes: the estimator's to judge, no stop."""
    run.line(run.choose("kind", "drop", "corrupt", "truncate", "freeze", "unplug"), "gnss")  # type: ignore[arg-type]
    return Expected("never")
