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
        # What is alike in rows: a call of numpy costs much the same for ten cars as for twenty.
        self._temperatures = np.stack((self._ambient, self._ambient))
        self.winding_temperature, self.controller_temperature = self._temperatures
        torque_constant, resistance = each("motor_torque_constant"), each("motor_resistance")
        self._gear, self._torque_constant, self._resistance = each("gear_ratio"), torque_constant, resistance
        self._torque_per_ampere = torque_constant * self._gear * each("drivetrain_efficiency")
        open_voltage = each("duty_limit") * each("battery_voltage")
        self._open_voltages = np.stack((open_voltage, -open_voltage))
        self._voltage, self._battery = each("battery_voltage"), each("battery_resistance")
        # Python's power, for the last bit.
        self._voltage_squared = np.array([car.battery_voltage**2 for car in cars])
        duty_squared = np.array([car.duty_limit**2 for car in cars])
        self._loop_resistance = resistance + duty_squared * self._battery
        capacity = np.stack((each("motor_heat_capacity"), each("controller_heat_capacity")))
        thermal = np.stack((each("motor_thermal_resistance"), each("controller_thermal_resistance")))
        self._heat = timestep * np.stack((resistance, each("controller_resistance"))) / capacity
        self._leak = timestep / (capacity * thermal)

    def step(self, wheel_speed: Array) -> Array:
        """One timestep at the mean speed of the four wheels [rad/s]; returns the torque on them all [N m]."""
        speed = self.speed = wheel_speed * self._gear
        back_emf = self._torque_constant * speed
        most, least = (self._open_voltages - back_emf) / self._loop_resistance
        current = np.minimum(np.maximum(self.wanted, least), most)
        if np.count_nonzero(self.braking):
            shorted = np.minimum(self.wanted, np.abs(back_emf) / self._resistance)
            np.copyto(current, -np.copysign(shorted, speed), where=self.braking)
        self.current = current
        warmer = self._heat * (current * current)
        warmer -= self._leak * (self._temperatures - self._ambient)
        self._temperatures += warmer
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
        self._temperatures[:, cars] = self._ambient[cars]
