"""The VESC motor controller: drive, steering servo and IMU behind one serial port.

A tick is ``poll`` (what came back) and ``command`` (ask for the next samples, set speed and steering). The
controller samples when it reads a request, so a sample's time is when the request's last byte reached it: the
time of writing plus bytes * 10 bits / baud. At most one request of a kind is outstanding; one not answered
within ``late_s`` is counted ``late`` and given up, and its answer, should it still come, is told from the
next one's (``vesc_question``).
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from robot.drivers.link import Link
from robot.drivers.options import known_options
from robot.drivers.port import SerialPort
from robot.drivers.vesc_frame import FrameParser
from robot.drivers.vesc_proof import Phase, TimeoutProof, duration_s
from robot.drivers.vesc_protocol import (
    GET_FW_VERSION,
    IMU_MOTION,
    Command,
    decode_firmware,
    fault_name,
    set_current,
    set_current_brake,
    set_rpm,
    set_servo_position,
)
from robot.drivers.vesc_question import Question
from robot.errors import PortError, SpecError, WireError
from robot.gravity import STANDARD_GRAVITY
from robot.interface import Array, LinkHealth, Measurements, Port, StopProof
from robot.spec import Device, RobotSpec

SERVO_STEPS = 1000  # wire units in the servo's whole range
GREETING_NS = 100_000_000  # between questions for the firmware version
SILENCE_NS = 1_000_000_000  # without any answer until this is said to be no VESC
MAX_REPLY = 128  # bytes; longer than any reply that is asked for

OPTIONS = {"baud": 115200, "minimum_erpm": 900.0, "late_s": 0.025, "usb": False, "proof_current": 0.9}
"""``baud``: of the UART; ``usb``: the port is the controller's own USB, where bytes take no line time;
``minimum_erpm``: below it the controller's speed loop lets go (VESC default 900), so the driver brakes;
``late_s``: how long a reply may take; ``proof_current``: pushed for a quarter of a second at each arming, too
small to move the robot [A] (the racer's rolling resistance, 0.015 * 3.74 kg * 9.81 m/s^2 = 0.55 N, takes
0.98 A at 0.56 N/A; gears and bearings add to that)."""

ON_THE_WIRE = {"motor_current": "q_axis_current"}
"""The current that makes torque, positive where that accelerates forward, is the q axis' (firmware:
mc_interface_read_reset_avg_iq). What the firmware calls motor current is positive where the motor draws power
and negative where it generates, whichever way it turns (mcpwm_foc_get_tot_current_filtered)."""

_PROOF_STATES: dict[Phase, Literal["idle", "running", "passed", "failed"]] = {
    "idle": "idle",
    "pushing": "running",
    "silent": "running",
    "passed": "passed",
    "failed": "failed",
}


class VescDriver:
    """Implements ``robot.interface.Driver`` for sensors ``drive`` and ``imu``, actuators ``speed`` [m/s] and
    ``steering`` [rad]. Nothing is commanded before the controller has named its firmware."""

    def __init__(self, spec: RobotSpec, device: Device, port: Port | None = None) -> None:
        options = known_options(device, OPTIONS)
        self.sensors = tuple(s.name for s in spec.sensors if s.device == device.name)
        self.actuators = tuple(a.name for a in spec.actuators if a.device == device.name)
        if self.sensors != ("drive", "imu") or self.actuators != ("speed", "steering"):
            raise SpecError(
                f"{spec.name}: device {device.name} must serve sensors drive, imu and actuators speed, "
                f"steering, in this order; the file gives it {self.sensors} and {self.actuators}"
            )
        self.health = LinkHealth()
        baud = int(options["baud"])
        self._where = f"{device.port or 'its port'} at {baud} baud"
        self._link = Link(SerialPort(device.port, baud) if port is None else port, self.health)
        self._port = self._link.port
        self._parser = FrameParser(self.health.count, MAX_REPLY)
        self._byte_ns = 0.0 if options["usb"] else 10e9 / baud
        self._late_ns = round(float(options["late_s"]) * 1e9)
        self._minimum_erpm = float(options["minimum_erpm"])

        speed, steering = (next(a for a in spec.actuators if a.name == n) for n in self.actuators)
        self._gain = spec.scalar("erpm_per_speed")
        self._erpm_range = (math.ceil(speed.lower * self._gain), math.floor(speed.upper * self._gain))
        self._servo_gain = spec.scalar("servo_gain")
        self._servo_offset = spec.scalar("servo_offset")
        ends = [self._servo_gain * angle + self._servo_offset for angle in (steering.lower, steering.upper)]
        low, high = spec.vector("servo_range")
        # Whole wire steps inside both the actuator's limits and the servo's, so that rounding never exits.
        self._servo_range = (
            math.ceil(max(min(ends), low) * SERVO_STEPS - 1e-9),
            math.floor(min(max(ends), high) * SERVO_STEPS + 1e-9),
        )
        if self._servo_range[0] > self._servo_range[1]:
            raise SpecError(f"{spec.name}: servo_range {low}..{high} leaves no steering angle")
        self._servo = self._servo_steps(steering.rest)
        self._servo_frame = set_servo_position(self._servo)
        self._brake_frame = set_current_brake(spec.scalar("stop_brake_current"))
        self._coast_frame = set_current(0.0)
        self._sent = np.full(2, np.nan)
        self.proof = StopProof()
        timeout_s = spec.scalar("drive_timeout")
        self._proof = TimeoutProof(float(options["proof_current"]), timeout_s)
        self._push_frame = set_current(self._proof.current)
        if duration_s(timeout_s) > spec.safety.arming_s:
            raise SpecError(
                f"{spec.name}: proving a drive_timeout of {timeout_s:g} s takes up to "
                f"{duration_s(timeout_s):.2f} s, more than arming_s = {spec.safety.arming_s:g} s allows; set "
                "the controller's timeout shorter (0.1 s), or arming_s longer"
            )

        drive = next(s for s in spec.sensors if s.name == "drive")
        names = tuple(field.name for field in drive.fields)
        self._questions: dict[int, Question] = {
            Command.GET_VALUES_SELECTIVE: Question(
                Command.GET_VALUES_SELECTIVE, tuple(ON_THE_WIRE.get(name, name) for name in names)
            ),
            Command.GET_IMU_DATA: Question(Command.GET_IMU_DATA, IMU_MOTION),
        }
        self._fault_at, self._current_at = names.index("fault_code"), names.index("motor_current")
        self._asked: dict[int, tuple[int, int]] = {}  # command: (written, sampled) [ns]
        self._unsent = b""
        self._unasked = False
        self._opened_ns = self._greeted_ns = 0

    def open(self, now_ns: int) -> None:
        """Open the port and ask who is there; ``poll`` takes the answer. Raises PortError."""
        self._link.open()
        self._begin(now_ns)
        self._write(now_ns, b"")

    def poll(self, now_ns: int, measurements: Measurements) -> None:
        """Take what has arrived; store samples; give up late requests; reopen a lost port."""
        if not self._link.is_open:
            if self._link.reopen(now_ns):
                self._begin(now_ns)
            return
        try:
            data = self._port.read()
        except PortError as error:
            self._link.lose(now_ns, error)
            return
        if data:
            for payload in self._parser.feed(data):
                self._take(payload, measurements)
        late = [c for c, (written, _) in self._asked.items() if now_ns - written > self._late_ns]
        for command in late:
            del self._asked[command]
            self._questions[command].reword()
            self.health.count("late", f"no reply to {Command(command).name} from {self._where}")
        if late and self._parser.pending and not data:
            # The line is silent in the middle of a frame: its end is not coming.
            self.health.count("short_frame")
            for payload in self._parser.give_up():
                self._take(payload, measurements)
        if not self.health.firmware:
            self._greet(now_ns)

    def _greet(self, now_ns: int) -> None:
        """Ask who is there until somebody answers; say so when nobody does."""
        self._write(now_ns, b"")
        if now_ns - self._opened_ns > SILENCE_NS:
            self._opened_ns = now_ns
            self.health.count(
                "no_answer",
                f"nothing on {self._where} speaks the VESC protocol; check wiring, baud and that the "
                f"controller's UART or USB app is on",
            )

    def command(self, now_ns: int, setpoint: Array) -> Array:
        """Send speed [m/s] and steering [rad], shape (2,), clamped to the limits and rounded to wire steps.

        A speed too slow for the controller's speed loop is sent as a brake and returned as 0. A setpoint that
        is not finite is never sent: it becomes a stop, counted ``not_finite``.
        """
        speed, steering = float(setpoint[0]), float(setpoint[1])
        if not (math.isfinite(speed) and math.isfinite(steering)):
            self.health.count("not_finite", f"setpoint {speed}, {steering}")
            return self.stop(now_ns, True)
        if not self.health.firmware:
            self._write(now_ns, b"")
            return self._nothing()
        low, high = self._erpm_range
        erpm = round(min(max(speed * self._gain, low), high))
        if abs(erpm) < self._minimum_erpm:
            erpm, drive = 0, self._brake_frame
        else:
            drive = set_rpm(erpm)
        servo = self._servo_steps(steering)
        if servo != self._servo:
            self._servo, self._servo_frame = servo, set_servo_position(servo)
        if not self._write(now_ns, drive + self._servo_frame):
            return self._nothing()
        self._sent[0] = erpm / self._gain
        self._sent[1] = (servo / SERVO_STEPS - self._servo_offset) / self._servo_gain
        return self._sent

    def stop(self, now_ns: int, torque: bool) -> Array:
        """Brake with ``stop_brake_current`` (``torque``) or let the motor go; the steering stays where it is.
        Sent even to a controller that has not answered yet."""
        frame = self._brake_frame if torque else self._coast_frame
        return self._standing(now_ns, frame + self._servo_frame)

    def silence(self, now_ns: int) -> Array:
        """Only ask; the controller's timeout brakes and the steering stays where it is."""
        return self._standing(now_ns, b"")

    def prove_stop(self, now_ns: int, begin: bool) -> Array:
        """Push a little, fall silent, and see the current end (``vesc_proof``); then brake."""
        proof = self._proof
        if begin:
            proof.begin(now_ns)
        proof.step(now_ns)
        state = self.proof.state = _PROOF_STATES[proof.phase]
        self.proof.reason, self.proof.measured_s = proof.reason, proof.measured_s
        if state != "running":
            return self.stop(now_ns, True)
        push = self._push_frame if proof.phase == "pushing" else b""
        sent = self._standing(now_ns, push)
        if push and np.isfinite(sent[0]):
            proof.pushed(now_ns + round(len(push) * self._byte_ns))
        return sent

    def close(self) -> None:
        """Brake, then close the port; the controller's own timeout keeps it braked. Never raises."""
        if self._link.is_open:
            try:
                self._port.write(self._unsent + self._brake_frame)
            except PortError as error:
                self.health.count("port_lost", str(error))
        self._link.close()

    def _servo_steps(self, steering: float) -> int:
        low, high = self._servo_range
        steps = (self._servo_gain * steering + self._servo_offset) * SERVO_STEPS
        return round(min(max(steps, low), high))

    def _standing(self, now_ns: int, frames: bytes) -> Array:
        """Send ``frames``, which ask for no speed, before any request."""
        if not self._write(now_ns, frames, stop_first=True):
            return self._nothing()
        self._sent[0] = 0.0
        self._sent[1] = (self._servo / SERVO_STEPS - self._servo_offset) / self._servo_gain
        return self._sent

    def _nothing(self) -> Array:
        self._sent[:] = np.nan
        return self._sent

    def _begin(self, now_ns: int) -> None:
        self._parser.reset()
        self._asked.clear()
        self._unasked = False
        self._unsent = b""
        self._opened_ns = now_ns
        self._greeted_ns = now_ns - GREETING_NS
        self.health.firmware = ""

    def _write(self, now_ns: int, frames: bytes, stop_first: bool = False) -> bool:
        """Send ``frames`` and whatever requests are due. True if all of it went out."""
        if not self._link.is_open:
            return False
        asked = self._asked
        questions: list[Question] = []
        ask = b""
        if not self.health.firmware:
            if now_ns - self._greeted_ns >= GREETING_NS:
                self._greeted_ns = now_ns
                ask = GET_FW_VERSION
        else:
            if not asked:
                # Nothing is owed, so a frame that has begun is not the answer to what is asked now.
                self._unasked = self._parser.pending > 0
            questions = [q for q in self._questions.values() if q.command not in asked]
            ask = b"".join([q.request for q in questions])
        data = frames + ask if stop_first else ask + frames
        try:
            if self._unsent:
                # Half a frame is with the controller: its other half goes before anything new.
                self._unsent = self._unsent[self._port.write(self._unsent) :]
            written = 0 if self._unsent or not data else self._port.write(data)
        except PortError as error:
            self._link.lose(now_ns, error)
            return False
        at = len(frames) if stop_first else 0
        for question in questions:
            at += len(question.request)
            if at <= written:
                asked[question.command] = (now_ns, now_ns + round(at * self._byte_ns))
        if written < len(data):
            self.health.count("write_overflow", f"{self._where} takes no more bytes")
            if written:
                self._unsent = data[written:]
            return False
        return True

    def _take(self, payload: bytes, measurements: Measurements) -> None:
        self.health.frames += 1
        command = payload[0]
        if self._unasked:
            self._unasked = False
            self.health.count("unexpected_packet", f"command {command} before it was asked for")
            return
        question = self._questions.get(command)
        if question is not None and command in self._asked and question.answered_by(payload):
            self._answer(question, payload, self._asked.pop(question.command)[1], measurements)
        elif command == Command.FW_VERSION:
            try:
                self.health.firmware = str(decode_firmware(payload))
            except WireError as error:
                self.health.count("short_frame", str(error))
        else:
            self.health.count("unexpected_packet", f"command {command}, {len(payload)} bytes")

    def _answer(self, question: Question, payload: bytes, time_ns: int, measurements: Measurements) -> None:
        """Store a sample taken at ``time_ns``."""
        try:
            values = question.decode(payload)
        except WireError as error:
            self.health.count("short_frame", str(error))
            return
        if question.command == Command.GET_VALUES_SELECTIVE:
            self.health.fault = fault_name(int(values[self._fault_at]))
            measurements.put("drive", time_ns, values)
            self._proof.sample(time_ns, values[self._current_at])
            return
        if not all(map(math.isfinite, values)):
            self.health.count("not_finite", "IMU sample")
            return
        ax, ay, az, wx, wy, wz = values
        g, rad = STANDARD_GRAVITY, math.pi / 180.0
        measurements.put("imu", time_ns, (ax * g, ay * g, az * g, wx * rad, wy * rad, wz * rad))
