"""Motor, controller and battery: from the current that the firmware asks for to torque at the wheels."""

from __future__ import annotations

import math

from sim.car import CarParameters


class Motor:
    """A brushless motor seen as a DC motor, its controller's losses, and a battery with resistance.

    Asked for a drive current it gives what back-EMF, duty limit, resistances and sag allow. Braking, it is a
    generator: the current cannot exceed what the back-EMF drives through the shorted windings, so it fades
    with the last revolutions and never reverses.
    """

    STATE_SIZE = 6

    def __init__(self, car: CarParameters, timestep: float) -> None:
        self._car = car
        self._wanted = 0.0
        self._braking = False
        self._speed = 0.0
        self.current = 0.0
        self.winding_temperature = car.ambient_temperature
        self.controller_temperature = car.ambient_temperature
        # Losses in gears and differentials are taken as a share of the torque in both directions.
        self._torque_per_ampere = car.motor_torque_constant * car.gear_ratio * car.drivetrain_efficiency
        # At full duty D the motor sees D (V - R_battery D I) = R I + K w.
        self._open_voltage = car.duty_limit * car.battery_voltage
        self._loop_resistance = car.motor_resistance + car.duty_limit**2 * car.battery_resistance
        self._winding = (
            timestep * car.motor_resistance / car.motor_heat_capacity,
            timestep / (car.motor_heat_capacity * car.motor_thermal_resistance),
        )
        self._controller = (
            timestep * car.controller_resistance / car.controller_heat_capacity,
            timestep / (car.controller_heat_capacity * car.controller_thermal_resistance),
        )

    def drive(self, amperes: float) -> None:
        """Ask for a motor current [A]; positive accelerates forward."""
        self._wanted, self._braking = amperes, False

    def brake(self, amperes: float) -> None:
        """Ask for a braking current [A] of this magnitude."""
        self._wanted, self._braking = abs(amperes), True

    def step(self, wheel_speed: float) -> float:
        """One timestep at the mean speed of the four wheels [rad/s]; returns the torque on them all [N m]."""
        self._speed = speed = wheel_speed * self._car.gear_ratio
        back_emf = self._car.motor_torque_constant * speed
        if self._braking:
            current = -math.copysign(min(self._wanted, abs(back_emf) / self._car.motor_resistance), speed)
        else:
            most = (self._open_voltage - back_emf) / self._loop_resistance
            least = (-self._open_voltage - back_emf) / self._loop_resistance
            current = min(max(self._wanted, least), most)
        self.current = current
        square, ambient = current * current, self._car.ambient_temperature
        heat, leak = self._winding
        self.winding_temperature += heat * square - leak * (self.winding_temperature - ambient)
        heat, leak = self._controller
        self.controller_temperature += heat * square - leak * (self.controller_temperature - ambient)
        return self._torque_per_ampere * current

    @property
    def input_voltage(self) -> float:
        """At the controller's terminals [V], where V (V_battery - V) / R_battery is the power taken."""
        car = self._car
        power = self.current * (car.motor_resistance * self.current + car.motor_torque_constant * self._speed)
        inside = car.battery_voltage**2 - 4 * car.battery_resistance * power
        return (car.battery_voltage + math.sqrt(max(inside, 0.0))) / 2

    def state(self) -> list[float]:
        """What the future depends on, ``STATE_SIZE`` numbers."""
        temperatures = [self.winding_temperature, self.controller_temperature]
        return [self._wanted, float(self._braking), self._speed, self.current, *temperatures]

    def set_state(self, state: list[float]) -> None:
        self._wanted, self._braking, self._speed = state[0], bool(state[1]), state[2]
        self.current, self.winding_temperature, self.controller_temperature = state[3:]
