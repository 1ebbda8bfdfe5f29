"""What a motor controller has in its hands, of any model of the car: motor, battery and servo."""

from __future__ import annotations

from sim.car import CarParameters
from sim.motor import Motor
from sim.steering import Steering


class Powertrain:
    """The part of ``sim.plant.CarPlant`` that is the same whatever moves the car."""

    def __init__(self, car: CarParameters, timestep: float) -> None:
        self.car = car
        self._motor = Motor(car, timestep)
        self._steering = Steering(car, timestep)

    def drive_current(self, amperes: float) -> None:
        self._motor.drive(amperes)

    def brake_current(self, amperes: float) -> None:
        self._motor.brake(amperes)

    def servo(self, position: float) -> None:
        self._steering.command(position)

    @property
    def motor_current(self) -> float:
        return self._motor.current

    @property
    def input_voltage(self) -> float:
        return self._motor.input_voltage

    @property
    def fet_temperature(self) -> float:
        return self._motor.controller_temperature

    @property
    def motor_temperature(self) -> float:
        return self._motor.winding_temperature

    @property
    def steering(self) -> float:
        """The steering angle that the wheels have really reached [rad], left positive."""
        return self._steering.angle
