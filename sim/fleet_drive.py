"""Motor controllers of a whole fleet: ``sim.emulators.vesc`` and its driver, elementwise, without the wire.

A setpoint is rounded to wire steps as the driver rounds it, takes its time to arrive, and is then followed by
the firmware's speed loop in steps of 1 ms between which the physics moves. Frames are never lost, and no
command times out: what goes wrong on a serial line is tried on the real driver (``sandlot bench faults``).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from robot.drivers.vesc import OPTIONS, SERVO_STEPS
from robot.errors import SandlotError, SpecError
from robot.spec import RobotSpec
from sim.emulators.vesc import (
    SPEED_KD,
    SPEED_KD_FILTER,
    SPEED_KI,
    SPEED_KP,
    SPEED_MINIMUM,
    SPEED_RAMP,
    STEP_NS,
)
from sim.fleet import CarFleet, Numbers
from sim.plant import Array

DT = STEP_NS * 1e-9
WAITING = 128
"""Setpoints that may be on their way at once: at 100 Hz a delay of more than a second."""
_NEVER = np.iinfo(np.int64).max


def period_ms(spec: RobotSpec) -> int:
    """The guardian's period in steps of the firmware [ms]. Raises SpecError if it is no whole number of
    them."""
    period = round(1e3 / spec.rates.guardian_hz)
    if abs(period * spec.rates.guardian_hz - 1e3) > 1e-6:
        raise SpecError(
            f"{spec.name}: a fleet steps in whole milliseconds, and a period of guardian_hz = "
            f"{spec.rates.guardian_hz:g} is none; choose 100, 125, 200, 250 or 500"
        )
    return period


class FleetDrive:
    """Arrays are over the cars. ``command`` or ``brake`` once a guardian tick, then ``step`` once for each
    millisecond, which also steps the physics when its own step is due."""

    def __init__(self, spec: RobotSpec, fleet: CarFleet) -> None:
        self._fleet = fleet
        self._physics_ms = round(fleet.timestep * 1e3)
        if abs(self._physics_ms - fleet.timestep * 1e3) > 1e-9 or self._physics_ms < 1:
            raise SandlotError(
                f"the firmware runs every millisecond, so the physics' step must be whole ones; got "
                f"{fleet.timestep} s; choose 0.001 or 0.002"
            )
        self.time_ms = 0
        n = fleet.size
        speed, steering = (next(a for a in spec.actuators if a.name == s) for s in ("speed", "steering"))
        device = next(d for d in spec.devices if d.name == speed.device)
        self._minimum_erpm = float({**OPTIONS, **device.options}["minimum_erpm"])
        self._gain = spec.scalar("erpm_per_speed")
        self._erpm_range = (math.ceil(speed.lower * self._gain), math.floor(speed.upper * self._gain))
        self._servo_gain, self._servo_offset = spec.scalar("servo_gain"), spec.scalar("servo_offset")
        ends = [self._servo_gain * angle + self._servo_offset for angle in (steering.lower, steering.upper)]
        low, high = spec.vector("servo_range")
        self._servo_range = (
            math.ceil(max(min(ends), low) * SERVO_STEPS - 1e-9),
            math.floor(min(max(ends), high) * SERVO_STEPS + 1e-9),
        )
        self._erpm_per_rad_s = 60.0 / (2.0 * math.pi) * spec.scalar("motor_pole_pairs")
        self._limit = spec.scalar("motor_current_limit")
        self._brake_limit = spec.scalar("motor_brake_limit")
        self._stop_current = round(spec.scalar("stop_brake_current") * 1e3) / 1e3
        self._servo = np.full(n, float(self._servo_steps(np.zeros(1))[0]))
        self._pulses: Array = self._servo / 1e3
        # On their way, oldest first: when each arrives [ms], ERPM (NaN: brake), servo steps.
        self._arrives: NDArray[np.int64] = np.full((WAITING, n), _NEVER, np.int64)
        self._asked: Array = np.zeros((WAITING, n))
        self._steps: Array = np.zeros((WAITING, n))
        self._put: NDArray[np.int64] = np.zeros(n, np.int64)
        self._taken: NDArray[np.int64] = np.zeros(n, np.int64)
        self._next_ms = _NEVER
        self._latest: NDArray[np.int64] = np.zeros(n, np.int64)
        self._everyone = np.arange(n)
        # The firmware's own.
        self._driving: NDArray[np.bool_] = np.zeros(n, bool)
        self._target, self._ramped, self._error = np.zeros(n), np.zeros(n), np.zeros(n)
        self._integral, self._derivative = np.zeros(n), np.zeros(n)
        self._current_sum: Array = np.zeros(n)
        self._current_count = 0

    def start(self, cars: Numbers, speeds: Array, integral: Array | float = 0.0) -> None:
        """Cars begin at these speeds [m/s] and are being held there, steering straight. ``integral``: what
        the speed loop has gathered [1, of the current limit]."""
        asked = np.rint(speeds * self._gain)
        moving = np.abs(asked) >= self._minimum_erpm
        self._driving[cars] = moving
        self._target[cars] = self._ramped[cars] = np.where(moving, asked, 0.0)
        for values in (self._error, self._integral, self._derivative, self._current_sum):
            values[cars] = 0.0
        self._integral[cars] = integral
        self._arrives[:, cars] = _NEVER
        self._put[cars] = self._taken[cars] = self._latest[cars] = 0
        self._look_ahead()
        self._servo[cars] = self._servo_steps(np.zeros(1))[0]
        self._pulses[cars] = self._servo[cars] / 1e3
        self._fleet.servo(self._pulses)

    def command(self, setpoint: Array, delay_ms: NDArray[np.int64], brakes: NDArray[np.bool_]) -> Array:
        """Send setpoints, shape (n, 2): speed [m/s], steering [rad]; or the stop, where ``brakes``. They
        arrive ``delay_ms`` later, in order. Returns what was sent, rounded to wire steps."""
        low, high = self._erpm_range
        speed = np.where(brakes, 0.0, setpoint[:, 0])
        erpm = np.rint(np.minimum(np.maximum(speed * self._gain, low), high))
        erpm = np.where(np.abs(erpm) < self._minimum_erpm, 0.0, erpm)
        self._servo = np.where(brakes, self._servo, self._servo_steps(setpoint[:, 1]))
        slot = self._put % WAITING
        self._latest = np.maximum(self._latest, self.time_ms + delay_ms)
        self._arrives[slot, self._everyone] = self._latest
        self._asked[slot, self._everyone] = np.where(erpm == 0.0, np.nan, erpm)
        self._steps[slot, self._everyone] = self._servo
        self._put += 1
        self._look_ahead()
        return np.stack(
            (erpm / self._gain, (self._servo / SERVO_STEPS - self._servo_offset) / self._servo_gain), -1
        )

    def step(self, cars: Numbers | None = None) -> None:
        """One millisecond of the cars with these numbers, or of all."""
        fleet = self._fleet
        self.time_ms += 1
        if self.time_ms % self._physics_ms == 0:
            fleet.step(cars)
        self._current_sum += fleet.motor.current
        self._current_count += 1
        erpm = fleet.motor_speed * self._erpm_per_rad_s
        while self.time_ms >= self._next_ms:
            self._arrive(erpm)
        amperes = self._speed_loop(erpm)
        limit = np.where(amperes * erpm >= 0.0, self._limit, self._brake_limit)
        limited = np.minimum(np.maximum(amperes, -limit), limit)
        fleet.motor.wanted = np.where(self._driving, limited, min(self._stop_current, self._brake_limit))
        fleet.motor.braking = ~self._driving

    def mean_current(self) -> Array:
        """Of the motors since the last call [A], as the controller reports it, shape (n,)."""
        mean = self._current_sum / max(self._current_count, 1)
        self._current_sum[:], self._current_count = 0.0, 0
        return mean

    def erpm(self) -> Array:
        """Electrical speed [1/min], shape (n,)."""
        return np.asarray(self._fleet.motor_speed * self._erpm_per_rad_s)

    def _servo_steps(self, steering: Array) -> Array:
        low, high = self._servo_range
        steps = (self._servo_gain * steering + self._servo_offset) * SERVO_STEPS
        return np.rint(np.minimum(np.maximum(steps, low), high))

    def _arrive(self, erpm: Array) -> None:
        """Let every controller obey the oldest command that has arrived."""
        slot = self._taken % WAITING
        here = self._arrives[slot, self._everyone] <= self.time_ms
        asked, steps = self._asked[slot, self._everyone], self._steps[slot, self._everyone]
        drives = here & np.isfinite(asked)
        # The ramp starts from where the motor is, and the loop from rest.
        begins = drives & ~self._driving
        np.copyto(self._ramped, erpm, where=begins)
        for values in (self._integral, self._derivative, self._error):
            values[begins] = 0.0
        np.copyto(self._target, asked, where=drives)
        self._driving = np.where(here, drives, self._driving)
        np.copyto(self._pulses, steps / 1e3, where=here)
        self._fleet.servo(self._pulses)
        self._arrives[slot[here], self._everyone[here]] = _NEVER
        self._taken += here
        self._look_ahead()

    def _look_ahead(self) -> None:
        """When the next command of all arrives."""
        self._next_ms = int(self._arrives[self._taken % WAITING, self._everyone].min())

    def _speed_loop(self, erpm: Array) -> Array:
        """Current [A] that the speed controller asks for (``VescDevice._speed_loop``)."""
        step = SPEED_RAMP * DT
        self._ramped += np.minimum(np.maximum(self._target - self._ramped, -step), step)
        error = self._ramped - erpm
        slow = np.abs(self._ramped) < SPEED_MINIMUM
        change = SPEED_KD_FILTER * ((error - self._error) * (SPEED_KD / DT / 20.0) - self._derivative)
        self._derivative += np.where(slow, 0.0, change)
        self._error = error
        output = error * (SPEED_KP / 20.0) + self._integral + self._derivative
        integral = np.minimum(np.maximum(self._integral + error * (SPEED_KI * DT / 20.0), -1.0), 1.0)
        self._integral = np.where(slow, 0.0, integral)
        asked = np.minimum(np.maximum(output, -1.0), 1.0) * self._limit
        return np.where(slow, 0.0, asked)
