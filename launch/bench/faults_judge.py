"""What must hold while a fault acts, judged from outside the guardian: its published state, the bytes that
reached the drive, and the twin's truth."""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from launch.bench.faults_drive import Drive
from robot.drivers.vesc_protocol import Command, masked_layout
from robot.gravity import STANDARD_GRAVITY
from robot.messages import SafetyState
from robot.shared_memory import Record
from robot.spec import RobotSpec

AUTHORITY = (SafetyState.ACTIVE, SafetyState.REDUCED)
STANDS = 0.05
"""A car slower than this stands [m/s]."""
BRAKING_SHARE = 0.7
"""Of the deceleration by calibration, what a stop must reach: rotating masses take 13 %, and the true car's
mass and torque constant differ by 5 % each (one sigma)."""
BRAKE_LAG_S = 0.03
"""From a tick's decision to current in the motor: bytes on the line, the firmware's steps, telemetry."""
SLACK_M = 0.05


@dataclass(frozen=True)
class Expected:
    """``stop``: whether the robot must, may or must never stop because of the fault; ``states``: what it may
    be in right after driving; ``within_s``: from the fault's first effect to that, where it must stop.
    ``reaction_s``: to braking, for the distance (None: no bound on it, because only a hardware stop can help;
    by default ``within_s``).
    ``true_age``: no sample may be dated more than the sensor's ``stale_s`` too late, and nothing may drive by
    an older one. ``verbatim``: the drive
    obeys nothing that was not sent to it; ``genuine``: no sample is taken that the device did not send.
    ``torque_off_s``: torque must be off by then."""

    stop: str = "must"
    states: tuple[SafetyState, ...] = (SafetyState.HOLD, SafetyState.STOP1)
    within_s: float = 0.0
    reaction_s: float | None = -1.0
    true_age: bool = True
    verbatim: bool = True
    genuine: bool = True
    torque_off_s: float | None = None


def deceleration(spec: RobotSpec) -> float:
    """What every stop must reach [m/s^2]: the stop's brake current at the wheels, with ``BRAKING_SHARE``."""
    force = (
        spec.scalar("stop_brake_current")
        * spec.scalar("motor_torque_constant")
        * spec.scalar("gear_ratio")
        * spec.scalar("drivetrain_efficiency")
        / spec.scalar("wheel_radius")
    )
    return BRAKING_SHARE * force / spec.scalar("mass")


class Witness:
    """Watches a drive from the fault on; call ``see`` after each tick. ``problems`` collects what must never
    happen under any fault; the rest is for the verdict. ``compared``: keep a ``digest`` of each tick."""

    def __init__(self, drive: Drive, compared: bool = False) -> None:
        self._drive, self._spec, self._compared = drive, drive.spec, compared
        self.problems: dict[str, str] = {}
        self.times: list[int] = []
        self.states: list[SafetyState] = []
        self.speeds: list[float] = []
        self.places: list[tuple[float, float]] = []
        self.braking: list[float] = []
        self.digest: list[int] = []
        self.worst_age_s = 0.0
        self._line = drive.lines["vesc"]
        self._said = self._obeyed = self._told = 0
        self._sent: set[bytes] = set()
        self._samples: dict[tuple[float, ...], int] = {}
        self._newest = dict.fromkeys(("drive", "imu"), drive.now_ns)
        self._measured = drive.guardian._senses.measurements
        self._seen = {name: self._measured.sequence(name) for name in ("drive", "imu")}
        self._layouts = {s.name: s.layout.names for s in self._spec.sensors}
        self._stale_s = {s.name: s.stale_s for s in self._spec.sensors}
        self._limits = _true_limits(self._spec)
        self._beyond_ns: dict[str, int] = {}
        self._actuators = {a.name: a for a in self._spec.actuators}
        self._speed: tuple[int, float] | None = None
        self._angle: tuple[int, float] | None = None

    def see(self, now_ns: int) -> None:
        drive = self._drive
        x, y, _ = drive.twin.pose()
        self.times.append(now_ns)
        self.states.append(drive.state)
        self.speeds.append(drive.speed)
        self.places.append((x, y))
        turning = drive.twin.motor_speed
        self.braking.append(-drive.twin.motor_current * math.copysign(1.0, turning))
        self._judge_truth(now_ns)
        self._judge_commands()
        self._judge_samples(now_ns)
        if self._compared:
            self.digest.append(_motion(drive.board.state.read()))

    def stopped_at(self) -> int | None:
        """Index of the first tick without authority."""
        return next((i for i, state in enumerate(self.states) if state not in AUTHORITY), None)

    def stood_at(self, start: int = 0) -> int | None:
        """Index of the first tick from which on the true car stands."""
        slow = np.array(self.speeds[start:]) < STANDS
        if not len(slow) or not slow[-1]:
            return None
        moving = np.flatnonzero(~slow)
        return start + (int(moving[-1]) + 1 if len(moving) else 0)

    def distance(self, start: int, end: int) -> float:
        """Way of the true car between two ticks [m]."""
        path = np.array(self.places[start : end + 1])
        return float(np.hypot(*np.diff(path, axis=0).T).sum()) if len(path) > 1 else 0.0

    def problem(self, kind: str, text: str) -> None:
        self.problems.setdefault(kind, text)

    def _judge_truth(self, now_ns: int) -> None:
        forward, left, turning = self._drive.twin.velocity_body()
        truth = {
            "velocity_body_x": forward,
            "velocity_body_y": left,
            "yaw_rate": turning,
            "upright": self._drive.twin.upright(),
        }
        for name, lower, upper, debounce_ns in self._limits:
            if lower <= truth[name] <= upper:
                self._beyond_ns.pop(name, None)
            elif now_ns - self._beyond_ns.setdefault(name, now_ns) >= debounce_ns:
                self.problem("limit", f"true {name} {truth[name]:.3g} beyond [{lower:g}, {upper:g}]")

    def _judge_commands(self) -> None:
        """What was said and what the drive obeyed: within range and slew, only under authority, verbatim."""
        line, state = self._line, self._drive.state
        for time_ns, payload in line.said[self._said :]:
            self._sent.add(payload)
            if payload[0] == Command.SET_RPM and state not in AUTHORITY and not self._drive.frozen:
                self.problem("authority", f"a speed was commanded in {state.name} at {time_ns * 1e-9:.3f} s")
        self._said = len(line.said)
        for time_ns, payload in line.obeyed[self._obeyed :]:
            if payload not in self._sent:
                self.problem("verbatim", f"the drive obeyed {payload.hex()}, which nobody had sent")
            self._judge_setpoint(time_ns, payload)
        self._obeyed = len(line.obeyed)

    def _judge_setpoint(self, time_ns: int, payload: bytes) -> None:
        command, argument = payload[0], payload[1:]
        spec = self._spec
        if command == Command.SET_RPM and len(argument) == 4:
            value = struct.unpack(">i", argument)[0] / spec.scalar("erpm_per_speed")
            # The drive's own speed loop has a dead band: below it the driver brakes, which counts as 0.
            self._speed = self._judge_step("speed", self._speed, time_ns, value, 0.2)
        elif command in (Command.SET_CURRENT, Command.SET_CURRENT_BRAKE):
            self._speed = (time_ns, 0.0)
        elif command == Command.SET_SERVO_POS and len(argument) == 2:
            pulse = struct.unpack(">h", argument)[0] / 1e3
            value = (pulse - spec.scalar("servo_offset")) / spec.scalar("servo_gain")
            self._angle = self._judge_step("steering", self._angle, time_ns, value, 0.002)

    def _judge_step(
        self, name: str, last: tuple[int, float] | None, time_ns: int, value: float, grain: float
    ) -> tuple[int, float]:
        limit = self._actuators[name]
        if not limit.lower - 1e-3 <= value <= limit.upper + 1e-3:
            self.problem("range", f"{name} {value:.4g} {limit.unit} reached the drive")
        if last is not None:
            # Frames may be reordered, and each was allowed against the one sent before it: two periods more.
            elapsed = abs(time_ns - last[0]) * 1e-9 + 2 * self._drive.period_ns * 1e-9
            step = abs(value - last[1])
            if step > limit.slew * elapsed + (grain if last[1] == 0.0 or name == "steering" else 1e-3):
                self.problem("slew", f"{name} stepped by {step:.3g} {limit.unit} in {elapsed:.3f} s")
        return time_ns, value

    def _judge_samples(self, now_ns: int) -> None:
        """How old what the driver takes for new really is."""
        for told_ns, payload in self._line.told[self._told :]:
            values = self._decode(payload)
            if values is not None:
                self._samples[values] = told_ns
        self._told = len(self._line.told)
        if self._drive.frozen:
            return
        for name in self._seen:
            sequence = self._measured.sequence(name)
            if sequence == self._seen[name]:
                continue
            self._seen[name] = sequence
            told = self._samples.get(tuple(self._measured.values(name).tolist()))
            if told is None:
                if self._samples:
                    self.problem("genuine", f"a sample of {name} was taken that the device had not sent")
                continue
            self._newest[name] = max(told, self._newest[name])
            passed_off = (self._measured.time_ns(name) - told) * 1e-9
            self.worst_age_s = max(self.worst_age_s, passed_off)
            if passed_off > self._stale_s[name]:
                self.problem("true_age", f"a sample of {name} was {passed_off * 1e3:.0f} ms older than taken")

        for name, told in self._newest.items():
            # A tick later than the kernel must have noticed: what it commands from then on is blind.
            allowed_ns = self._stale_s[name] * 1e9 + 2 * self._drive.period_ns
            if self._drive.state in AUTHORITY and now_ns - told > allowed_ns:
                self.problem("blind", f"drove by a sample of {name} {(now_ns - told) * 1e-6:.0f} ms old")

    def _decode(self, payload: bytes) -> tuple[float, ...] | None:
        """A reply as the driver stores it."""
        if payload[0] == Command.GET_IMU_DATA:
            g, rad = STANDARD_GRAVITY, math.pi / 180.0
            layout = masked_layout(Command.GET_IMU_DATA, int.from_bytes(payload[1:3], "big"))
            named = dict(zip(layout.names, layout.decode(payload), strict=True))
            acceleration = [named[f"acceleration_{axis}"] * g for axis in "xyz"]
            return (*acceleration, *[named[f"rate_{axis}"] * rad for axis in "xyz"])
        if payload[0] == Command.GET_VALUES_SELECTIVE:
            layout = masked_layout(Command.GET_VALUES_SELECTIVE, int.from_bytes(payload[1:5], "big"))
            named = dict(zip(layout.names, layout.decode(payload), strict=True))
            named["motor_current"] = named.pop("q_axis_current")  # the one that has the torque's direction
            return tuple(named[name] for name in self._layouts["drive"])
        return None


def _motion(record: Record | None) -> int:
    """A checksum of what the guardian takes the robot to be doing, and has it do."""
    if record is None:
        return 0
    names = ("time_ns", "epoch", "safety_state", "converged", "state", "deviation", "allowed", "sent")
    return zlib.crc32(b"".join(record[name].tobytes() for name in names))


def _true_limits(spec: RobotSpec) -> list[tuple[str, float, float, int]]:
    """The spec's limits whose elements the twin knows: name, lower, upper, debounce [ns]."""
    known: Mapping[str, None] = dict.fromkeys(("velocity_body_x", "velocity_body_y", "yaw_rate", "upright"))
    return [
        (
            limit.element,
            -math.inf if limit.lower is None else limit.lower,
            math.inf if limit.upper is None else limit.upper,
            round(limit.debounce_s * 1e9),
        )
        for limit in spec.safety.limits
        if limit.element in known and limit.action != "reduce"
    ]
