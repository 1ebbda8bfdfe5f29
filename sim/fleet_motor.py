"""Motors, controllers' losses and batteries of many cars at once: ``sim.motor.Motor``, elementwise."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sim.car import CarParameters
from sim.plant import Array


class FleetMotor:
    """One motor per car; all arrays have shape (n_cars,). The arithmetic and its order are ``Motor``'s, so
    the results are too, to the last bit."""

    def __init__(self, cars: Sequence[CarParameters], timestep: float) -> None:
        def each(name: str) -> Array:
            return np.array([getattr(car, name) for car in cars])

        n = len(cars)
        self.wanted: Array = np.zeros(n)
        """Current asked for [A]; of a braking motor its magnitude."""
        self.braking: NDArray[np.bool_] = np.zeros(n, bool)
        self.current: Array = np.zeros(n)
        """What flows [A], positive accelerating forward."""
        self.speed: Array = np.zeros(n)
        """Of the rotor [rad/s]."""
        self._ambient = each("ambient_temperature")
        self.winding_temperature = self._ambient.copy()
        self.controller_temperature = self._ambient.copy()
        torque_constant, resistance = each("motor_torque_constant"), each("motor_resistance")
        self._gear, self._torque_constant, self._resistance = each("gear_ratio"), torque_constant, resistance
        self._torque_per_ampere = torque_constant * self._gear * each("drivetrain_efficiency")
        self._open_voltage = each("duty_limit") * each("battery_voltage")
        self._voltage, self._battery = each("battery_voltage"), each("battery_resistance")
        # Python's power, for the last bit.
        self._voltage_squared = np.array([car.battery_voltage**2 for car in cars])
        duty_squared = np.array([car.duty_limit**2 for car in cars])
        self._loop_resistance = resistance + duty_squared * self._battery
        capacity, leak = each("motor_heat_capacity"), each("motor_thermal_resistance")
        self._winding = (timestep * resistance / capacity, timestep / (capacity * leak))
        capacity, leak = each("controller_heat_capacity"), each("controller_thermal_resistance")
        self._controller = (timestep * each("controller_resistance") / capacity, timestep / (capacity * leak))

    def step(self, wheel_speed: Array) -> Array:
        """One timestep at the mean speed of the four wheels [rad/s]; returns the torque on them all [N m]."""
        speed = self.speed = wheel_speed * self._gear
        back_emf = self._torque_constant * speed
        most = (self._open_voltage - back_emf) / self._loop_resistance
        least = (-self._open_voltage - back_emf) / self._loop_resistance
        current = np.minimum(np.maximum(self.wanted, least), most)
        if self.braking.any():
            shorted = np.minimum(self.wanted, np.abs(back_emf) / self._resistance)
            np.copyto(current, -np.copysign(shorted, speed), where=self.braking)
        self.current = current
        square = current * current
        heat, leak = self._winding
        self.winding_temperature += heat * square - leak * (self.winding_temperature - self._ambient)
        heat, leak = self._controller
        self.controller_temperature += heat * square - leak * (self.controller_temperature - self._ambient)
        return np.asarray(self._torque_per_ampere * current)

    @property
    def input_voltage(self) -> Array:
        """At the controllers' terminals [V]."""
        power = self.current * (self._resistance * self.current + self._torque_constant * self.speed)
        inside = self._voltage_squared - 4 * self._battery * power
        return np.asarray((self._voltage + np.sqrt(np.maximum(inside, 0.0))) / 2)

    def rest(self, cars: NDArray[np.intp]) -> None:
        """Cold, without current, of the cars with these numbers."""
        for values in (self.wanted, self.current, self.speed):
            values[cars] = 0.0
        self.braking[cars] = False
        self.winding_temperature[cars] = self.controller_temperature[cars] = self._ambient[cars]
