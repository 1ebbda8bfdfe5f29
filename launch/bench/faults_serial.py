"""Faults on the serial lines: lost, corrupt, truncated, late, doubled, swapped, old, frozen, lying, gone."""

from __future__ import annotations

import struct

import numpy as np

from launch.bench import faults_defects as defective
from launch.bench.faults_cell import cell
from launch.bench.faults_judge import AUTHORITY, BRAKE_LAG_S, Expected, Witness
from launch.bench.faults_run import Run
from robot.drivers.vesc_frame import FrameParser, frame
from robot.drivers.vesc_protocol import Command, masked_layout, set_current, set_rpm
from robot.messages import SafetyState
from robot.safety.freshness import FROZEN_NS
from sim.emulators.faults import Fault

REDUCED, HOLD, STOP1 = SafetyState.REDUCED, SafetyState.HOLD, SafetyState.STOP1
STOP0, FAULT = SafetyState.STOP0, SafetyState.FAULT
SPEED_ERROR = 0.5
"""By how much the guardian may be wrong about its own speed while it drives [m/s]."""
DRIVE_CHECK_S = 0.010
"""How often the drive looks at its timeout (firmware: timeout.c)."""


def period(run: Run) -> float:
    return run.drive.period_ns * 1e-9


def stale(run: Run) -> float:
    """How old a sample of the drive may get, and one tick to notice [s]."""
    return max(s.stale_s for s in run.drive.spec.sensors if s.device == "vesc") + period(run)


def drive_timeout(run: Run) -> float:
    """Until the drive brakes by itself [s]."""
    return run.drive.spec.scalar("drive_timeout") + DRIVE_CHECK_S


def braked_by_the_drive(run: Run, states: tuple[SafetyState, ...]) -> Expected:
    """The drive's own timeout must brake, whatever the guardian does or not; then it may be in ``states``."""
    amperes = run.drive.spec.scalar("drive_timeout_brake_current") / 2

    def braked_ns(witness: Witness, begin_ns: int) -> int | None:
        """When the motor began to brake and went on to, down to half the speed."""
        speeds = np.array(witness.speeds)
        slow = np.flatnonzero(speeds < speeds[0] / 2)
        if not len(slow):
            return None
        weak = np.flatnonzero(np.array(witness.braking[: slow[0]]) < amperes)
        first = int(weak[-1]) + 1 if len(weak) else 0
        return witness.times[first] if first < slow[0] else None

    run.response_ns = braked_ns
    within_s = drive_timeout(run) + BRAKE_LAG_S / 2 + period(run)
    return Expected("must", states, within_s, reaction_s=within_s)


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


@cell(
    "drop all",
    defective.guardian_without_staleness_check,
    defective.guardian_that_keeps_driving,
)
def serial_drop_all_replies(run: Run) -> Expected:
    """Nothing comes back from the drive any more."""
    run.line("drop", to="host")
    return Expected("must", (HOLD,), stale(run))


@cell("drop all", defective.guardian_without_staleness_check, defective.drive_without_timeout)
def serial_drop_all_requests(run: Run) -> Expected:
    """Nothing reaches the drive any more: its own timeout brakes."""
    run.line("drop", to="device")
    return Expected("must", (HOLD,), stale(run), reaction_s=drive_timeout(run))


@cell("drop some", defective.guardian_without_staleness_check, defective.guardian_that_keeps_driving)
def serial_drop_some(run: Run) -> Expected:
    """Frames lost at random for a second, either way."""
    run.line("drop", to=direction(run), lasts_s=1.0, probability=run.uniform("probability", 0.05, 0.9))
    return Expected("may", reaction_s=drive_timeout(run))


@cell("flip bits", defective.driver_without_checksum, defective.guardian_without_staleness_check)
def serial_corrupt_all(run: Run) -> Expected:
    """Bits of every frame flipped, either way."""
    run.line("corrupt", to=direction(run))
    return Expected("must", (HOLD,), stale(run) + 3 * period(run), reaction_s=drive_timeout(run) + 0.05)


@cell("flip bits", defective.driver_without_checksum, defective.guardian_that_keeps_driving)
def serial_corrupt_some(run: Run) -> Expected:
    """Bits of some frames flipped for a second, either way."""
    run.line("corrupt", to=direction(run), lasts_s=1.0, probability=run.uniform("probability", 0.1, 0.9))
    return Expected("may", reaction_s=drive_timeout(run))


@cell("truncate", defective.guardian_without_staleness_check)
def serial_truncate_all(run: Run) -> Expected:
    """Every frame ends too soon, either way."""
    run.line("truncate", to=direction(run))
    return Expected("must", (HOLD,), stale(run) + 3 * period(run), reaction_s=drive_timeout(run) + 0.1)


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


@cell("delay", defective.driver_that_dates_samples_on_arrival, defective.guardian_without_staleness_check)
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


@cell("delay", defective.driver_that_dates_samples_on_arrival, defective.driver_that_never_rewords)
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


@cell("jitter", defective.driver_that_dates_samples_on_arrival, defective.driver_that_never_rewords)
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


@cell("reorder", defective.driver_that_expects_an_order)
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


@cell("port unplugged", defective.guardian_without_port_check, defective.drive_that_coasts_on_timeout)
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


@cell("torque ack lies", defective.guardian_without_deadline)
def torque_lie_pushes(run: Run) -> Expected:
    """The drive acknowledges the stop and pushes on: torque off by the deadline (a hardware stop must
    help)."""
    _swap_brakes(run, set_rpm(round(run.drive.speed * run.drive.spec.scalar("erpm_per_speed"))))
    return _stop_and_wait(run)


@cell("torque ack lies", defective.guardian_without_deadline)
def torque_lie_coasts(run: Run) -> Expected:
    """The drive acknowledges the brake and lets the robot roll."""
    _swap_brakes(run, set_current(0.0))
    return _stop_and_wait(run)


def _stop_and_wait(run: Run) -> Expected:
    """A person asks for a stop just when the drive begins to lie."""
    record = run.drive.board.operator.read()
    if record is not None:
        record = record.copy()
        record["stop"] += 1
        run.drive.board.operator.write(record)
    off_s = run.drive.spec.stop.deadline_s + 5 * period(run)
    return Expected(
        "must",
        (STOP1, STOP0),
        3 * period(run),
        reaction_s=None,
        verbatim=False,
        torque_off_s=off_s,
    )


def _swap_brakes(run: Run, instead: bytes) -> None:
    """Whatever brakes becomes ``instead`` on its way to the drive."""

    def swap(data: bytes, to: str, key: object) -> bytes:
        if to != "device":
            return data
        parser = FrameParser(lambda name: None)
        payloads = parser.feed(data)
        return b"".join(instead if p[0] == Command.SET_CURRENT_BRAKE else frame(p) for p in payloads)

    run.drive.lines["vesc"].lie = swap


@cell("drive faults", defective.guardian_without_drive_fault_check)
def drive_reports_fault(run: Run) -> Expected:
    """The motor controller trips: it lets the motor go and says so for half a second."""
    code = int(run.rng.integers(1, 20))
    run.drawn["code"] = code
    run.drive.rig.devices["vesc"].trip(code)  # type: ignore[attr-defined]
    run.hit()
    # The motor is free for half a second; only then does anything brake again.
    return Expected("must", (STOP1, STOP0), 5 * period(run), reaction_s=0.5 + 2 * period(run))


@cell("sensor disagreement", defective.estimator_that_believes_the_wheels)
def drive_lies_about_speed(run: Run) -> Expected:
    """The drive reports a wheel speed that is not the true one, noise and all: what the guardian takes for
    its speed stays right, or it stops."""
    how = run.choose("how", "share", "offset")
    amount = run.uniform("amount", -1.0, 0.5) if how == "share" else run.uniform("amount", 1.0, 4.0)
    offset = amount * run.drive.spec.scalar("erpm_per_speed")

    def lie(data: bytes, to: str, key: object) -> bytes:
        if to != "host" or key != Command.GET_VALUES_SELECTIVE:
            return data
        payload = data[2:-3]
        layout = masked_layout(Command.GET_VALUES_SELECTIVE, int.from_bytes(payload[1:5], "big"))
        values = dict(zip(layout.names, layout.decode(payload), strict=True))
        values["erpm"] = values["erpm"] * amount if how == "share" else values["erpm"] + offset
        return frame(layout.encode(values))

    forward = run.drive.spec.state_layout.index("velocity_body_x")
    wrong: list[float] = []

    def compare(now_ns: int) -> None:
        state = run.drive.board.state.read()
        if state is not None and run.drive.state in AUTHORITY:
            wrong.append(abs(float(state["state"][0, forward]) - run.drive.twin.velocity_body()[0]))

    def right() -> str | None:
        worst = max(wrong, default=0.0)
        return None if worst < SPEED_ERROR else f"drove by a speed {worst:.2f} m/s wrong"

    run.drive.lines["vesc"].lie = lie
    run.on_seen.append(compare)
    run.checks.append(right)
    run.watch_s = 2.0
    return Expected("may", (HOLD, STOP1, STOP0), reaction_s=0.0, true_age=False, genuine=False)


@cell("actuator feedback", defective.guardian_without_limits)
def drive_runs_away(run: Run) -> Expected:
    """The drive obeys with up to twice the speed it was told: stopped if that is beyond the limit."""
    share = run.uniform("factor", 1.2, 2.0)

    def faster(data: bytes, to: str, key: object) -> bytes:
        if to != "device":
            return data
        out = b""
        for payload in FrameParser(lambda name: None).feed(data):
            if payload[0] == Command.SET_RPM:
                payload = struct.pack(
                    ">Bi", Command.SET_RPM, round(struct.unpack(">i", payload[1:])[0] * share)
                )
            out += frame(payload)
        return out

    run.drive.lines["vesc"].lie = faster
    run.watch_s = 1.5
    limits = [limit for limit in run.drive.spec.safety.limits if limit.element == "speed_excess"]
    allowed = max((limit.upper or 0.0 for limit in limits), default=0.0)
    debounce_s = max((limit.debounce_s for limit in limits), default=0.0)
    slowest = min(run.drive.pilot.speed_ahead(), run.drive.speed)
    if slowest * (share - 1.0) > allowed + SPEED_ERROR:
        # The motor takes a while to get there: the limit counts from then.
        return Expected("must", (HOLD, STOP1, STOP0), debounce_s + 0.6, verbatim=False)
    return Expected("may", (HOLD, STOP1, STOP0), reaction_s=0.0, verbatim=False)


@cell("actuator feedback", defective.drive_without_timeout, defective.drive_that_coasts_on_timeout)
def drive_is_deaf(run: Run) -> Expected:
    """The drive answers every question and obeys no command: its own timeout brakes."""

    def deaf(data: bytes, to: str, key: object) -> bytes | None:
        if to != "device":
            return data
        asking = (Command.GET_VALUES_SELECTIVE, Command.GET_IMU_DATA, Command.GET_VALUES, Command.FW_VERSION)
        payloads = FrameParser(lambda name: None).feed(data)
        return b"".join(frame(p) for p in payloads if p[0] in asking) or None

    run.drive.lines["vesc"].lie = deaf
    return braked_by_the_drive(run, (HOLD, STOP1, STOP0))
