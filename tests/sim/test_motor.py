"""Motor and battery against their circuit equations, solved another way."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robot.spec import load_spec
from sim.car import CarParameters, car_parameters
from sim.motor import Motor

CAR = car_parameters(load_spec(Path(__file__).parents[2] / "launch/robots/racer.toml"))
WHEEL_SPEED = st.floats(-400, 400)


def terminal_voltage(car: CarParameters, motor_speed: float, current: float) -> float:
    return car.motor_resistance * current + car.motor_torque_constant * motor_speed


@given(WHEEL_SPEED, st.floats(-2000, 2000))
def test_the_duty_cycle_needed_never_exceeds_its_limit(wheel_speed: float, amperes: float) -> None:
    motor = Motor(CAR, 0.001)
    motor.drive(amperes)
    motor.step(wheel_speed)
    needed = terminal_voltage(CAR, wheel_speed * CAR.gear_ratio, motor.current)
    assert abs(needed) <= CAR.duty_limit * motor.input_voltage * (1 + 1e-9)


@given(WHEEL_SPEED, st.floats(-100, 100))
def test_the_battery_delivers_the_power_that_the_motor_takes(wheel_speed: float, amperes: float) -> None:
    motor = Motor(CAR, 0.001)
    motor.drive(amperes)
    motor.step(wheel_speed)
    power = motor.current * terminal_voltage(CAR, wheel_speed * CAR.gear_ratio, motor.current)
    battery_current = (CAR.battery_voltage - motor.input_voltage) / CAR.battery_resistance
    assert battery_current * motor.input_voltage == pytest.approx(power, rel=1e-6, abs=1e-6)


@given(WHEEL_SPEED, st.floats(-30, 30))
def test_what_is_within_reach_is_given_exactly(wheel_speed: float, amperes: float) -> None:
    motor = Motor(CAR, 0.001)
    motor.drive(amperes)
    motor.step(wheel_speed / 10)
    assert motor.current == amperes


@given(WHEEL_SPEED, st.floats(-100, 100))
def test_braking_torque_always_opposes_and_dies_with_the_speed(wheel_speed: float, amperes: float) -> None:
    motor = Motor(CAR, 0.001)
    motor.brake(amperes)
    torque = motor.step(wheel_speed)
    assert torque * wheel_speed <= 0
    shorted = CAR.motor_torque_constant * abs(wheel_speed) * CAR.gear_ratio / CAR.motor_resistance
    assert abs(motor.current) == pytest.approx(min(abs(amperes), shorted))


def test_one_ampere_is_the_calibrated_force() -> None:
    motor = Motor(CAR, 0.001)
    motor.drive(1.0)
    assert motor.step(0.0) / CAR.wheel_radius == pytest.approx(0.56, abs=0.005)  # stop_brake_current's source


def test_the_winding_warms_to_where_losses_and_cooling_balance() -> None:
    motor = Motor(CAR, 10.0)
    motor.drive(20.0)
    for _ in range(1000):
        motor.step(0.0)
    rise = 20.0**2 * CAR.motor_resistance * CAR.motor_thermal_resistance
    assert motor.winding_temperature == pytest.approx(CAR.ambient_temperature + rise, rel=1e-3)


def test_the_state_is_complete() -> None:
    first, second = Motor(CAR, 0.001), Motor(CAR, 0.001)
    first.brake(12.0)
    first.step(30.0)
    assert len(first.state()) == Motor.STATE_SIZE
    second.set_state(first.state())
    assert second.step(20.0) == first.step(20.0)
    assert second.state() == first.state()
    assert second.input_voltage == first.input_voltage
