"""What is known of a fleet at each guardian tick: the truth, the estimate that the robots would have, and
what their sensors say.

The estimate is the truth through the error model of ``sim.estimate_errors``. Sensors are as the emulated
devices report them, noise included, always fresh: what a device or a wire does wrong is tried on the real
drivers. Each episode draws its noise from its own generator, so that it is the same in any fleet.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from robot.spec import RobotSpec
from sim.emulators.vesc import IMU_BANDWIDTH_HZ, IMU_STEP_NS, STEP_NS
from sim.estimate_errors import EstimateErrors
from sim.fleet import CarFleet
from sim.fleet_drive import FleetDrive
from sim.plant import Array

HISTORY = 16
"""Ticks of truth that are kept: the longest lag an element may have."""
IMPACT_S = 0.1
"""Over which ``impact`` takes the largest horizontal specific force [s]; as the estimator does."""
FIX_LAG_S = 0.06
"""From a satellite fix to its arrival [s]; the receiver's."""
BLOCK = 64
"""Ticks whose noise is drawn at once."""


class FleetSenses:
    """``step`` after every millisecond, ``tick`` once a guardian tick; then ``truth``, ``estimate``, shape
    (n_cars, n_state), ``sensors``, shape (n_cars, n_values), and ``times_ns``, ``sequences``, shape
    (n_cars, n_sensors), are those of now.

    ``generators``: one per car. ``scale``: of the estimate's errors, 1 as measured, shape (n_cars,).
    """

    def __init__(
        self,
        spec: RobotSpec,
        fleet: CarFleet,
        drive: FleetDrive,
        errors: EstimateErrors,
        generators: Sequence[np.random.Generator],
        scale: Array,
    ) -> None:
        n, layout = fleet.size, spec.state_layout
        self._fleet, self._drive, self._errors = fleet, drive, errors
        self._generators, self._scale = list(generators), scale[:, None]
        self._layout = layout
        self.truth: Array = np.zeros((n, layout.size))
        self.estimate: Array = np.zeros((n, layout.size))
        self.deviation: Array = np.tile(errors.deviation, (n, 1))
        self._period_ns = round(1e9 / spec.rates.guardian_hz)
        self._heading, self._impact = layout.index("heading"), layout.index("impact")
        self._position, self._velocity = layout["position_world"], layout["velocity_body"]
        self._yaw_rate, self._upright = layout["yaw_rate"], layout["upright"]
        force = self._specific_force = layout["specific_force"]
        self._force = slice(force.start, force.start + 2)
        ticks = errors.lag_s * spec.rates.guardian_hz
        self._whole = np.minimum(ticks.astype(np.intp), HISTORY - 2)
        part = np.minimum(ticks - self._whole, 1.0)
        self._parts = np.stack((1.0 - part, part))[:, None]
        """Of the tick before the lag and of the one before that, shape (2, 1, n_state)."""
        self._elements = np.arange(layout.size)
        self._history: Array = np.zeros((HISTORY, n, layout.size))
        """Of tick k at k modulo its length."""
        self._fix_lag = min(round(FIX_LAG_S * spec.rates.guardian_hz), HISTORY - 1)
        """Of a satellite fix [ticks]."""
        impacts = 1 + round(IMPACT_S * spec.rates.guardian_hz)
        self._blows: Array = np.zeros((impacts, n))
        self._seen_blows: Array = np.zeros((impacts, n))
        self._drift: Array = np.zeros((n, layout.size))
        with np.errstate(divide="ignore"):
            self._kept = np.exp(-1.0 / (spec.rates.guardian_hz * errors.drift_time_s))
        self._grown = np.sqrt(1.0 - self._kept**2) * errors.drift
        self._imu: Array = np.zeros((n, 6))
        self._imu_gain = 1.0 - math.exp(-2.0 * math.pi * IMU_BANDWIDTH_HZ * IMU_STEP_NS * 1e-9)
        self._imu_ms = IMU_STEP_NS // STEP_NS
        self.touched: NDArray[np.bool_] = np.zeros(n, bool)
        """Whether anything but the tyres has touched anything since the last ``tick``."""

        starts = np.cumsum([0] + [s.layout.size for s in spec.sensors])
        self._places = {
            s.name: slice(a, b) for s, a, b in zip(spec.sensors, starts, starts[1:], strict=False)
        }
        self.sensors: Array = np.zeros((n, int(starts[-1])))
        self.times_ns: NDArray[np.int64] = np.zeros((n, len(spec.sensors)), np.int64)
        self.sequences: NDArray[np.uint64] = np.zeros((n, len(spec.sensors)), np.uint64)
        self._names = [s.name for s in spec.sensors]
        self._rates = [max(1, round(spec.rates.guardian_hz / s.rate_hz)) for s in spec.sensors]
        self._drive_noise = np.array(
            [spec.scalar(name) for name in ("erpm_noise", "motor_current_noise", "input_voltage_noise")]
        )
        self._imu_noise = np.repeat([spec.scalar("accelerometer_noise"), spec.scalar("gyroscope_noise")], 3)
        self._fix_noise = np.repeat([spec.scalar("gnss_noise"), spec.scalar("gnss_velocity_noise")], 2)
        self._draws: Array = np.zeros((n, 0, 0))
        self._ticks = 0

    def start(self) -> None:
        """All cars begin from where they stand or roll now, with an estimate that has settled."""
        self._imu = self._fleet.inertial()
        self._imu[:, :2] = 0.0  # set down: what the springs feel in the first step is no blow
        self._observe(self.truth)
        self._history[:] = self.truth
        self._ticks = 0
        width = 2 * self._layout.size + 3 + 6 + 4
        self._width = width
        first = np.stack([g.standard_normal(self._layout.size) for g in self._generators])
        self._drift = first * self._errors.drift

    def step(self) -> None:
        """A millisecond has passed."""
        if self._drive.time_ms % self._imu_ms == 0:
            self._imu += self._imu_gain * (self._fleet.inertial() - self._imu)
        if self._drive.time_ms % self._drive.physics_ms == 0:
            self.touched |= self._fleet.touching

    def tick(self, now_ns: int) -> None:
        """Fill everything for a guardian tick."""
        at = self._ticks % BLOCK
        if at == 0:
            shape = (BLOCK, self._width)
            self._draws = np.stack([g.standard_normal(shape) for g in self._generators])
        draws, size = self._draws[:, at], self._layout.size
        self._observe(self.truth)
        history = self._history
        history[self._ticks % HISTORY] = self.truth
        if self._ticks == 0:
            history[:] = self.truth
        self._impacts(self._blows, self.truth)

        newer = (self._ticks - self._whole) % HISTORY
        then = history[np.stack((newer, newer - 1)), :, self._elements].transpose(0, 2, 1)
        changes = then - self.truth
        turns = changes[:, :, self._heading]
        changes[:, :, self._heading] = np.remainder(turns + np.pi, 2 * np.pi) - np.pi
        back, further = changes * self._parts
        self._drift = self._kept * self._drift + self._grown * draws[:, size : 2 * size]
        error = self._drift + self._errors.noise * draws[:, :size]
        estimate = self.truth + back + further + self._scale * error
        estimate[:, self._heading] = np.remainder(estimate[:, self._heading] + np.pi, 2 * np.pi) - np.pi
        self.estimate = estimate
        self._impacts(self._seen_blows, estimate)
        self._sense(now_ns, draws[:, 2 * size :])
        self._ticks += 1

    def _impacts(self, blows: Array, state: Array) -> None:
        """The largest horizontal specific force of the last tenth of a second, into the state."""
        blows[self._ticks % len(blows)] = np.hypot(*state[:, self._force].T)
        state[:, self._impact] = blows.max(axis=0)

    def _observe(self, state: Array) -> None:
        """The truth now, in the state layout; ``impact`` is left, and ``gyro_bias`` is zero as it was."""
        fleet, rotation = self._fleet, self._fleet.attitude()
        velocity = (fleet.velocity[:, None] @ rotation)[:, 0]
        state[:, self._position] = fleet.position[:, :2]
        state[:, self._heading] = np.arctan2(rotation[:, 1, 0], rotation[:, 0, 0])
        state[:, self._velocity] = velocity[:, :2]
        state[:, self._yaw_rate] = fleet.angular_velocity[:, 2:]
        state[:, self._specific_force] = self._imu[:, :3]
        state[:, self._upright] = rotation[:, 2, 2, None]

    def _sense(self, now_ns: int, draws: Array) -> None:
        fleet, values = self._fleet, self.sensors
        noise = draws[:, :3] * self._drive_noise
        motor = fleet.motor
        drive = values[:, self._places["drive"]]
        drive[:, 0] = self._drive.erpm() + noise[:, 0]
        drive[:, 1] = self._drive.mean_current() + noise[:, 1]
        drive[:, 2] = motor.input_voltage + noise[:, 2]
        drive[:, 3], drive[:, 4] = motor.controller_temperature, motor.winding_temperature
        values[:, self._places["imu"]] = self._imu + draws[:, 3:9] * self._imu_noise
        if "gnss" in self._places and self._ticks % self._rates[self._names.index("gnss")] == 0:
            self._fix(values[:, self._places["gnss"]], draws[:, 9:13] * self._fix_noise)
        for number, rate in enumerate(self._rates):
            if self._ticks % rate == 0:
                self.times_ns[:, number] = now_ns
                self.sequences[:, number] += np.uint64(1)

    def _fix(self, values: Array, noise: Array) -> None:
        """A satellite fix of some ticks ago: position, velocity (x, y, z each), accuracies, carrier fixed."""
        then = self._history[(self._ticks - self._fix_lag) % HISTORY]
        heading = then[:, self._heading]
        vx, vy = then[:, self._velocity].T
        cosine, sine = np.cos(heading), np.sin(heading)
        values[:, :2] = then[:, self._position] + noise[:, :2]
        values[:, 3] = cosine * vx - sine * vy + noise[:, 2]
        values[:, 4] = sine * vx + cosine * vy + noise[:, 3]
        values[:, 6:10] = 0.014, 0.05, 3.0, 2.0
