"""Faults on the serial lines: lost, corrupt, truncated, late, doubled, swapped, old, frozen, lying, gone."""

from __future__ import annotations

import struct

from launch.bench import faults_defects as defective
from launch.bench.faults_cell import cell
from launch.bench.faults_judge import Expected
from launch.bench.faults_run import Run
from robot.drivers.vesc_frame import FrameParser, frame
from robot.drivers.vesc_protocol import Command, masked_layout, set_current, set_rpm
from robot.messages import SafetyState
from robot.safety.freshness import FROZEN_NS

REDUCED, HOLD, STOP1 = SafetyState.REDUCED, SafetyState.HOLD, SafetyState.STOP1
STOP0, FAULT = SafetyState.STOP0, SafetyState.FAULT
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
    defective.guardian_that_resumes_by_itself,
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


@cell("noise", defective.driver_without_checksum)
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


@cell("jitter", defective.driver_that_dates_samples_on_arrival)
def serial_jitter(run: Run) -> Expected:
    """Some frames up to ten periods late, either way, for a second."""
    delay_s = run.uniform("delay_s", 0.5 * period(run), 10 * period(run))
    share = run.uniform("probability", 0.1, 0.9)
    run.line("delay", to=direction(run), delay_s=delay_s, probability=share, lasts_s=1.0)
    return Expected("may", reaction_s=stale(run) + delay_s)


@cell("duplicate", defective.guardian_that_stops_for_anything)
def serial_duplicate(run: Run) -> Expected:
    """Every frame twice, either way."""
    run.line("duplicate", to=direction(run))
    return Expected("may", (HOLD, REDUCED), reaction_s=stale(run))


@cell("reorder", defective.guardian_that_keeps_driving)
def serial_reorder(run: Run) -> Expected:
    """Neighbouring frames swapped, either way."""
    run.line("reorder", to=direction(run), probability=run.uniform("probability", 0.1, 1.0))
    return Expected("may", reaction_s=drive_timeout(run))


@cell("replay", defective.driver_that_dates_samples_on_arrival)
def serial_replay(run: Run) -> Expected:
    """Old replies of the drive come again just before new ones."""
    run.line("replay", to="host", probability=run.uniform("probability", 0.05, 1.0), lasts_s=1.5)
    run.watch_s = 1.5
    return Expected("may", reaction_s=stale(run))


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


@cell("sensor disagreement")
def drive_lies_about_speed(run: Run) -> Expected:
    """The drive reports a fraction of the true wheel speed, noise and all."""
    share = run.uniform("share", 0.0, 0.5)

    def lie(data: bytes, to: str, key: object) -> bytes:
        if to != "host" or key != Command.GET_VALUES_SELECTIVE:
            return data
        payload = data[2:-3]
        layout = masked_layout(Command.GET_VALUES_SELECTIVE, int.from_bytes(payload[1:5], "big"))
        values = dict(zip(layout.names, layout.decode(payload), strict=True))
        values["erpm"] = values["erpm"] * share
        return frame(layout.encode(values))

    run.drive.lines["vesc"].lie = lie
    run.watch_s = 2.0
    return Expected("must", (HOLD, STOP1, STOP0), 1.0, true_age=False, genuine=False)


@cell("actuator feedback")
def drive_runs_away(run: Run) -> Expected:
    """The drive obeys with half as much speed again as it was told."""
    share = run.uniform("factor", 1.4, 2.0)

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
    return Expected("must", (HOLD, STOP1, STOP0), 1.0, verbatim=False)


@cell("actuator feedback")
def drive_is_deaf(run: Run) -> Expected:
    """The drive answers every question and obeys no command: its timeout brakes, the guardian must notice."""

    def deaf(data: bytes, to: str, key: object) -> bytes | None:
        if to != "device":
            return data
        asking = (Command.GET_VALUES_SELECTIVE, Command.GET_IMU_DATA, Command.GET_VALUES, Command.FW_VERSION)
        payloads = FrameParser(lambda name: None).feed(data)
        return b"".join(frame(p) for p in payloads if p[0] in asking) or None

    run.drive.lines["vesc"].lie = deaf
    run.watch_s = 1.5
    return Expected("must", (HOLD, STOP1, STOP0), 1.0, reaction_s=drive_timeout(run))
