"""Motor controllers of a whole fleet: ``sim.emulators.vesc`` and its driver, elementwise, without the wire.

A setpoint is rounded to wire steps as the driver rounds it, takes its time to arrive, on a UART the steering
a frame later than the speed, and is then followed by the firmware's speed loop in steps of 1 ms between which
the physics moves. Frames are never lost, and no command times out: what goes wrong on a serial line is tried
on the real driver (``sandlot bench faults``).
"""

from __future__ import annotations

import math
from collections import deque

import numpy as np
from numpy.typing import NDArray

from robot.drivers.vesc import OPTIONS, SERVO_STEPS
from robot.drivers.vesc_protocol import set_servo_position
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
RAMP_STEP = SPEED_RAMP * DT
"""Of the speed loop's target [1/min]."""
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
    """Arrays are over the cars. ``command`` once a guardian tick, then ``step`` once for each
    millisecond, which also steps the physics when its own step is due."""

    def __init__(self, spec: RobotSpec, fleet: CarFleet) -> None:
        self._fleet = fleet
        self.physics_ms = round(fleet.timestep * 1e3)
        """Between two steps of the physics [ms]."""
        if abs(self.physics_ms - fleet.timestep * 1e3) > 1e-9 or self.physics_ms < 1:
            raise SandlotError(
                f"the firmware runs every millisecond, so the physics' step must be whole ones; got "
                f"{fleet.timestep} s; choose 0.001 or 0.002"
            )
        self.time_ms = 0
        n = fleet.size
        speed, steering = (next(a for a in spec.actuators if a.name == s) for s in ("speed", "steering"))
        device = next(d for d in spec.devices if d.name == speed.device)
        options = {**OPTIONS, **device.options}
        self._minimum_erpm = float(options["minimum_erpm"])
        line_ms = 1e4 * len(set_servo_position(0)) / float(options["baud"])  # ten bits a byte
        self._servo_later_ms = 0 if options["usb"] else math.ceil(line_ms - 1e-9)
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
        self._turning: deque[tuple[int, Numbers, Array]] = deque()
        """Pulses that are about to arrive: when [ms], which cars', and they."""
        # On their way, oldest first: when each arrives [ms], ERPM (NaN: brake), servo steps.
        self._arrives: NDArray[np.int64] = np.full((WAITING, n), _NEVER, np.int64)
        self._asked: Array = np.zeros((WAITING, n))
        self._steps: Array = np.zeros((WAITING, n))
        self._put: NDArray[np.int64] = np.zeros(n, np.int64)
        self._taken: NDArray[np.int64] = np.zeros(n, np.int64)
        self._due: NDArray[np.int64] = np.full(n, _NEVER, np.int64)
        """When the oldest that waits arrives [ms]."""
        self._next_ms = _NEVER
        self._latest: NDArray[np.int64] = np.zeros(n, np.int64)
        self._everyone = np.arange(n)
        # The firmware's own.
        self._driving: NDArray[np.bool_] = np.zeros(n, bool)
        self._all_drive = False
        self._erpm: Array = np.zeros(n)
        self._target, self._ramped, self._error = np.zeros(n), np.zeros(n), np.zeros(n)
        self._integral, self._derivative = np.zeros(n), np.zeros(n)
        self._gathered = self._integral
        """The integral before the newest step, which its output goes by."""
        self._current_sum: Array = np.zeros(n)
        self._current_count = 0

    def start(
        self,
        cars: Numbers,
        speeds: Array,
        integral: Array | float = 0.0,
        ramped: Array | None = None,
        steered: Array | None = None,
    ) -> None:
        """Cars begin at these speeds [m/s] and are being held there, steering straight. ``integral``: what
        the speed loop has gathered [1, of the current limit]; ``ramped``: where its ramp is on its way to
        what it was sent [ERPM], if not at these speeds; ``steered``: the angles that were sent one after
        another [rad], of which the last holds, if not straight ahead, shape (n, k)."""
        held = np.rint(speeds * self._gain)
        asked = held if ramped is None else ramped
        # On its way to the other direction the ramp may pass 0 with the motor still at speed.
        moving = np.maximum(np.abs(asked), np.abs(held)) >= self._minimum_erpm
        self._driving[cars] = moving
        self._target[cars] = self._ramped[cars] = np.where(moving, asked, 0.0)
        for values in (self._derivative, self._current_sum):
            values[cars] = 0.0
        self._error[cars] = np.where(moving, asked - held, 0.0)
        self._integral[cars] = integral
        self._arrives[:, cars] = _NEVER
        self._put[cars] = self._taken[cars] = self._latest[cars] = 0
        self._due[cars] = _NEVER
        self._next_ms = int(self._due.min())
        self._all_drive = bool(self._driving.all())
        self._erpm = self.erpm()
        steps = self._servo_steps(np.zeros((len(cars), 1)) if steered is None else steered)
        self._servo[cars] = steps[:, -1]
        while self._turning:  # of the others', a millisecond early
            self._turn()
        self._pulses[cars] = self._servo[cars] / 1e3
        self._fleet.servo(self._pulses)
        if steered is not None:
            self._fleet.steered(cars, steps / 1e3)

    def command(self, setpoint: Array, delay_ms: NDArray[np.int64], brakes: NDArray[np.bool_]) -> Array:
        """Send setpoints, shape (n, 2): speed [m/s], steering [rad]; or the stop, where ``brakes``. Speeds
        arrive ``delay_ms`` later, in order, and no sooner than in the next millisecond. Returns what was
        sent, rounded to wire steps."""
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
        self._due = np.minimum(self._due, self._latest)
        self._next_ms = int(self._due.min())
        return np.stack(
            (erpm / self._gain, (self._servo / SERVO_STEPS - self._servo_offset) / self._servo_gain), -1
        )

    def step(self, cars: Numbers | None = None) -> None:
        """One millisecond of the cars with these numbers, or of all."""
        fleet = self._fleet
        self.time_ms += 1
        if self.time_ms % self.physics_ms == 0:
            fleet.step(cars)
            self._erpm = self.erpm()
        erpm = self._erpm
        self._current_sum += fleet.motor.current
        self._current_count += 1
        while self.time_ms >= self._next_ms:
            self._arrive(erpm)
        while self._turning and self._turning[0][0] <= self.time_ms:
            self._turn()
        slow = self._speed_loop(erpm)
        if (self.time_ms + 1) % self.physics_ms == 0:  # between two of its steps nobody asks
            fleet.motor.wanted = self._amperes(erpm, slow)
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
        (cars,) = (self._due <= self.time_ms).nonzero()
        slot = self._taken[cars] % WAITING
        asked = self._asked[slot, cars]
        drives = np.isfinite(asked)
        # The ramp starts from where the motor is, and the loop from rest.
        begins = cars[drives & ~self._driving[cars]]
        self._ramped[begins] = erpm[begins]
        for values in (self._integral, self._derivative, self._error):
            values[begins] = 0.0
        self._target[cars[drives]] = asked[drives]
        self._driving[cars] = drives
        self._all_drive = bool(self._driving.all())
        self._turning.append((self.time_ms + self._servo_later_ms, cars, self._steps[slot, cars] / 1e3))
        self._arrives[slot, cars] = _NEVER
        self._taken[cars] += 1
        self._due[cars] = self._arrives[self._taken[cars] % WAITING, cars]
        self._next_ms = int(self._due.min())

    def _turn(self) -> None:
        """Let the servos obey the oldest pulses that are about to arrive."""
        _, cars, pulses = self._turning.popleft()
        self._pulses[cars] = pulses
        self._fleet.servo(self._pulses)

    def _speed_loop(self, erpm: Array) -> NDArray[np.bool_] | None:
        """A step of the speed controllers (``VescDevice._speed_loop``). Whose motor is so slow that it is
        released, if any's is."""
        self._ramped += np.minimum(np.maximum(self._target - self._ramped, -RAMP_STEP), RAMP_STEP)
        error = self._ramped - erpm
        change = SPEED_KD_FILTER * ((error - self._error) * (SPEED_KD / DT / 20.0) - self._derivative)
        slow = np.abs(self._ramped) < SPEED_MINIMUM
        any_slow = np.count_nonzero(slow)
        if any_slow:
            change[slow] = 0.0
        self._derivative += change
        self._error, self._gathered = error, self._integral
        self._integral = np.minimum(np.maximum(self._integral + error * (SPEED_KI * DT / 20.0), -1.0), 1.0)
        if not any_slow:
            return None
        self._integral[slow] = 0.0
        return slow

    def _amperes(self, erpm: Array, slow: NDArray[np.bool_] | None) -> Array:
        """What the controllers ask of their motors [A]; of a braking one its magnitude."""
        output = self._error * (SPEED_KP / 20.0) + self._gathered + self._derivative
        amperes = np.minimum(np.maximum(output, -1.0), 1.0) * self._limit
        if slow is not None:
            amperes[slow] = 0.0
        if self._brake_limit < self._limit:
            limit = np.where(amperes * erpm >= 0.0, self._limit, self._brake_limit)
            amperes = np.minimum(np.maximum(amperes, -limit), limit)
        if not self._all_drive:
            amperes[~self._driving] = min(self._stop_current, self._brake_limit)
        return np.asarray(amperes)
