"""Faults of the motor controller itself: it trips, lies, runs away, or hears nothing."""

from __future__ import annotations

import struct

from launch.bench import faults_defective_devices as broken
from launch.bench import faults_defects as defective
from launch.bench.faults_cell import cell
from launch.bench.faults_judge import AUTHORITY, Expected
from launch.bench.faults_run import Run
from launch.bench.faults_timing import braked_by_the_drive, period
from robot.drivers.vesc_frame import FrameParser, frame
from robot.drivers.vesc_protocol import Command, masked_layout, set_current, set_rpm
from robot.messages import SafetyState

HOLD, STOP1, STOP0 = SafetyState.HOLD, SafetyState.STOP1, SafetyState.STOP0
SPEED_ERROR = 0.5
"""By how much the guardian may be wrong about its own speed while it drives [m/s]."""


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


@cell("sensor disagreement", broken.estimator_that_believes_the_wheels)
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


@cell("actuator feedback", broken.drive_without_timeout, broken.drive_that_coasts_on_timeout)
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
