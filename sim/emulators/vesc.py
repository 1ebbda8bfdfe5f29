"""A VESC 6 with a motor, a steering servo and a BMI160, as its serial port shows it.

The firmware runs in steps of 1 ms between which the plant moves. Values marked "firmware" are the public VESC
firmware's defaults (mcconf_default.h, timeout.c, foc_math.c); current limits and the command timeout are the
settings that the robot's file asks for.
"""

from __future__ import annotations

import math

import numpy as np

from robot.drivers.vesc_frame import FrameParser, frame
from robot.drivers.vesc_protocol import Command, Firmware, encode_firmware, masked_layout
from robot.gravity import STANDARD_GRAVITY
from robot.spec import RobotSpec
from sim.emulators.faults import FaultPlan
from sim.emulators.line import SerialLine
from sim.plant import Array, CarPlant

STEP_NS = 1_000_000  # the speed loop's default rate, 1 kHz (firmware: sp_pid_loop_rate)
REPLY_NS = 200_000  # decoding a request and building its reply
TIMEOUT_CHECK_NS = 10_000_000  # the timeout thread's period (firmware: timeout.c)
FAULT_NS = 500_000_000  # how long a fault stops the motor (firmware: m_fault_stop_time_ms)

# Setting to make (s_pid_kp, default 0.004, with which this car overshoots a step to 2 m/s by 12 % instead of
# 2 %); 1/20 of it per ERPM, output in units of the current limit.
SPEED_KP = 0.012
SPEED_KI = 0.004  # firmware: s_pid_ki
SPEED_KD = 0.0001  # firmware: s_pid_kd
SPEED_KD_FILTER = 0.2  # firmware: s_pid_kd_filter
SPEED_RAMP = 25_000.0  # ERPM/s; firmware: s_pid_ramp_erpms_s
SPEED_MINIMUM = 900.0  # ERPM; firmware: s_pid_min_erpm, below it the motor is released

ACCELEROMETER_STEPS = 2048.0  # per g at +-16 g (BMI160 data sheet, table 1)
GYROSCOPE_STEPS = 16.4  # per deg/s at +-2000 deg/s (BMI160 data sheet, table 1)
GYROSCOPE_RANGE = 2000.0  # deg/s
IMU_STEP_NS = 2_000_000  # of its low-pass here: the least that resolves its bandwidth and a blow of 20 ms
IMU_BANDWIDTH_HZ = 80.0  # 3 dB point at 200 Hz output, normal mode (BMI160 data sheet, 2.4.1)
NOISE_BLOCK = 512
DRAWS = 12  # normal variates a reply takes: IMU 6, its bias walk 3, telemetry 3

FIRMWARE = Firmware(6, 5, "60", bytes(range(12)))


class VescDevice:
    """Implements ``EmulatedDevice``. The only device that moves the plant: its firmware decides the motor's
    current in every step. ``trip`` raises a fault code, as a real fault would."""

    def __init__(
        self, spec: RobotSpec, plant: CarPlant, rng: np.random.Generator, faults: FaultPlan | None = None
    ) -> None:
        sensor = next(s for s in spec.sensors if s.name == "drive")
        options = next(d.options for d in spec.devices if d.name == sensor.device)
        baud = 0 if options.get("usb") else int(options.get("baud", 115200))
        self.faults = FaultPlan(rng) if faults is None else faults
        self._plant = plant
        self._rng = rng
        self._inward = SerialLine(baud)
        self._outward = SerialLine(baud)
        self._parser = FrameParser(self._ignore)
        self._time_ns = 0

        self._resistance = spec.scalar("motor_resistance")
        self._emf_constant = spec.scalar("motor_torque_constant")
        self._current_limit = spec.scalar("motor_current_limit")
        self._brake_limit = spec.scalar("motor_brake_limit")
        self.timeout_ns = round(spec.scalar("drive_timeout") * 1e9)
        """The setting as it really is in this controller [ns]; 0: off (firmware: timeout_msec)."""
        self._timeout_brake = spec.scalar("drive_timeout_brake_current")
        self._erpm_per_rad_s = 60.0 / (2.0 * math.pi) * spec.scalar("motor_pole_pairs")
        self.timed_out = False
        self.servo_pulses = False
        """A receiver is on the servo input and the PPM app is on: each of its pulses, 50 a second, counts as
        a command to the timeout, and to nothing else (firmware: app_ppm.c)."""
        self._heard_ns = 0
        self._fault_code = 0
        self._fault_until = 0

        self._speed_mode = False
        self._target = 0.0  # commanded ERPM
        self._ramped = 0.0
        self._integral = 0.0
        self._error = 0.0
        self._derivative = 0.0
        self._current = 0.0  # commanded in current mode [A]
        self._brake: float | None = 0.0  # commanded braking current [A]; None when driving
        self._current_sum = self._drawn_sum = 0.0
        self._current_count = 0
        self._tachometer = 0.0

        self._imu_bias: Array = rng.standard_normal(6) * np.repeat(
            [spec.scalar("accelerometer_bias"), spec.scalar("gyroscope_bias")], 3
        )
        self._imu_noise = np.repeat([spec.scalar("accelerometer_noise"), spec.scalar("gyroscope_noise")], 3)
        self._imu_steps = np.repeat(
            [ACCELEROMETER_STEPS / STANDARD_GRAVITY, GYROSCOPE_STEPS * 180.0 / math.pi], 3
        )
        self._imu_units = np.repeat([1.0 / ACCELEROMETER_STEPS, 1.0 / GYROSCOPE_STEPS], 3)
        reach = np.repeat([spec.scalar("accelerometer_range"), math.radians(GYROSCOPE_RANGE)], 3)
        self._imu_reach = np.trunc(reach * self._imu_steps)
        self._bias_walk = spec.scalar("gyroscope_bias_walk")
        self._imu = [0.0] * 6  # low-passed, in plain floats: faster than six-element arrays
        self._imu_gain = 1.0 - math.exp(-2.0 * math.pi * IMU_BANDWIDTH_HZ * IMU_STEP_NS * 1e-9)
        self._imu_read_ns = 0
        self._telemetry_noise = np.array(
            [spec.scalar(n) for n in ("erpm_noise", "motor_current_noise", "input_voltage_noise")]
        )
        self._draws = rng.standard_normal((NOISE_BLOCK, DRAWS))
        self._draw = 0

    def receive(self, data: bytes, now_ns: int) -> None:
        for bytes_, delay in self.faults.apply(data, now_ns, "device"):
            self._inward.send(bytes_, now_ns + delay)

    def advance(self, now_ns: int) -> None:
        """Run the firmware, and the plant with it, up to ``now_ns``."""
        plant = self._plant
        while self._time_ns + STEP_NS <= now_ns:
            self._time_ns += STEP_NS
            plant.advance(self._time_ns)
            self._step(self._time_ns)

    def transmit(self, now_ns: int) -> bytes:
        return self._outward.take(now_ns)

    def trip(self, code: int) -> None:
        """Raise a fault: the motor is let go for 500 ms, after which the code clears by itself."""
        self._fault_code = code
        self._fault_until = self._time_ns + FAULT_NS
        self._release()

    @property
    def imu_bias(self) -> Array:
        """True bias now: accelerometer [m/s^2], then gyroscope [rad/s], shape (6,); a copy."""
        return self._imu_bias.copy()

    def _ignore(self, name: str) -> None:
        """The firmware says nothing of a bad frame."""

    def _step(self, now_ns: int) -> None:
        plant = self._plant
        if now_ns % IMU_STEP_NS == 0:
            sample, gain = self._imu, self._imu_gain
            felt = plant.specific_force.tolist() + plant.angular_velocity.tolist()
            self._imu = [old + gain * (new - old) for old, new in zip(sample, felt, strict=True)]
        self._current_sum += (current := plant.motor_current)
        self._drawn_sum += self._drawn(current)
        self._current_count += 1
        if self._inward.pending:
            for payload in self._parser.feed(self._inward.take(now_ns)):
                self._obey(payload, now_ns)
        if now_ns % TIMEOUT_CHECK_NS == 0:
            self.timed_out = 0 < self.timeout_ns < now_ns - self._heard_ns
            if self.servo_pulses:
                self._heard_ns = now_ns
            if self.timed_out:
                self._speed_mode = False
                self._brake = self._timeout_brake
        if self._fault_code and now_ns >= self._fault_until:
            self._fault_code = 0
        self._drive(plant.motor_speed * self._erpm_per_rad_s)

    def _drive(self, erpm: float) -> None:
        self._tachometer += erpm * (STEP_NS * 1e-9 / 60.0 * 6.0)
        if self._fault_code:
            self._plant.drive_current(0.0)
        elif self._speed_mode:
            self._plant.drive_current(self._limited(self._speed_loop(erpm), erpm))
        elif self._brake is not None:
            self._plant.brake_current(min(abs(self._brake), self._brake_limit))
        else:
            self._plant.drive_current(self._limited(self._current, erpm))

    def _speed_loop(self, erpm: float) -> float:
        """Current [A] that the speed controller asks for (firmware: foc_run_pid_control_speed)."""
        dt = STEP_NS * 1e-9
        if self._ramped != self._target:
            step = SPEED_RAMP * dt
            self._ramped += min(max(self._target - self._ramped, -step), step)
        error = self._ramped - erpm
        if abs(self._ramped) < SPEED_MINIMUM:
            self._integral = 0.0
            self._error = error
            return 0.0
        self._derivative += SPEED_KD_FILTER * (
            (error - self._error) * (SPEED_KD / dt / 20.0) - self._derivative
        )
        self._error = error
        output = error * (SPEED_KP / 20.0) + self._integral + self._derivative
        self._integral = min(max(self._integral + error * (SPEED_KI * dt / 20.0), -1.0), 1.0)
        return min(max(output, -1.0), 1.0) * self._current_limit

    def _limited(self, amperes: float, erpm: float) -> float:
        """Within the current limit, or the brake limit where the current opposes the rotation."""
        limit = self._current_limit if amperes * erpm >= 0.0 else self._brake_limit
        return min(max(amperes, -limit), limit)

    def _release(self) -> None:
        self._speed_mode = False
        self._brake = None
        self._current = 0.0

    def _obey(self, payload: bytes, now_ns: int) -> None:
        command, argument = payload[0], payload[1:]
        if command == Command.GET_VALUES_SELECTIVE and len(argument) >= 4:
            mask = int.from_bytes(argument[:4], "big")
            self._reply(masked_layout(Command.GET_VALUES_SELECTIVE, mask).encode(self._values()), now_ns)
        elif command == Command.GET_IMU_DATA and len(argument) >= 2:
            mask = int.from_bytes(argument[:2], "big")
            self._reply(masked_layout(Command.GET_IMU_DATA, mask).encode(self._read_imu(now_ns)), now_ns)
        elif command == Command.GET_VALUES:
            self._reply(masked_layout(Command.GET_VALUES, 0).encode(self._values()), now_ns)
        elif command == Command.FW_VERSION:
            self._reply(encode_firmware(FIRMWARE), now_ns)
        elif command == Command.SET_SERVO_POS and len(argument) >= 2:
            position = int.from_bytes(argument[:2], "big", signed=True) / 1e3
            self._plant.servo(min(max(position, 0.0), 1.0))
        elif command == Command.ALIVE:
            self._heard_ns = now_ns
        elif len(argument) >= 4:
            self._set_motor(command, int.from_bytes(argument[:4], "big", signed=True), now_ns)

    def _set_motor(self, command: int, value: int, now_ns: int) -> None:
        if command not in (Command.SET_RPM, Command.SET_CURRENT, Command.SET_CURRENT_BRAKE):
            return
        self._heard_ns = now_ns
        if self._fault_code:
            return
        if command == Command.SET_RPM:
            if not self._speed_mode:
                # The ramp starts from where the motor is, and the loop from rest.
                self._ramped = self._plant.motor_speed * self._erpm_per_rad_s
                self._integral = self._derivative = self._error = 0.0
            self._speed_mode = True
            self._target = float(value)
            return
        self._speed_mode = False
        if command == Command.SET_CURRENT:
            self._brake, self._current = None, value / 1e3
        else:
            self._brake = value / 1e3

    def _reply(self, payload: bytes, now_ns: int) -> None:
        ready = now_ns + REPLY_NS
        for data, delay in self.faults.apply(frame(payload), now_ns, "host", payload[0]):
            self._outward.send(data, ready + delay)

    def _values(self) -> dict[str, float]:
        plant = self._plant
        current = plant.motor_current
        drawn = self._drawn(current)
        if self._current_count:
            current, drawn = self._current_sum / self._current_count, self._drawn_sum / self._current_count
        self._current_sum, self._drawn_sum, self._current_count = 0.0, 0.0, 0
        noise = self._next_draw()[9:] * self._telemetry_noise
        erpm = plant.motor_speed * self._erpm_per_rad_s + noise[0]
        return {
            "fet_temperature": plant.fet_temperature,
            "motor_temperature": plant.motor_temperature,
            "motor_current": drawn + noise[1],
            "q_axis_current": current + noise[1],
            "erpm": erpm,
            "input_voltage": plant.input_voltage + noise[2],
            "tachometer": self._tachometer,
            "fault_code": float(self._fault_code),
            "status": float(self.timed_out),
        }

    def _drawn(self, current: float) -> float:
        """The current, positive where power is drawn (firmware: mcpwm_foc_get_tot_current_filtered)."""
        voltage = self._resistance * current + self._emf_constant * self._plant.motor_speed
        return math.copysign(current, voltage * current)

    def _next_draw(self) -> Array:
        if self._draw == NOISE_BLOCK:
            self._draws = self._rng.standard_normal((NOISE_BLOCK, DRAWS))
            self._draw = 0
        self._draw += 1
        draw: Array = self._draws[self._draw - 1]
        return draw

    def _read_imu(self, now_ns: int) -> dict[str, float]:
        draw = self._next_draw()
        elapsed = (now_ns - self._imu_read_ns) * 1e-9
        self._imu_read_ns = now_ns
        self._imu_bias[3:] += self._bias_walk * math.sqrt(elapsed) * draw[6:9]
        reading = (self._imu + self._imu_bias + self._imu_noise * draw[:6]) * self._imu_steps
        wire = np.clip(np.rint(reading), -self._imu_reach, self._imu_reach) * self._imu_units
        ax, ay, az, wx, wy, wz = wire.tolist()
        return {
            "acceleration_x": ax,
            "acceleration_y": ay,
            "acceleration_z": az,
            "rate_x": wx,
            "rate_y": wy,
            "rate_z": wz,
        }
