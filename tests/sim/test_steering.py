"""The servo and its linkage against closed forms."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest

from robot.spec import load_spec
from sim.car import car_parameters
from sim.steering import Steering

CAR = car_parameters(load_spec(Path(__file__).parents[2] / "launch/robots/racer.toml"))
DT = 1e-3
PLAY = 0.04


def pulse(angle: float) -> float:
    return CAR.servo_gain * angle + CAR.servo_offset


def test_a_small_step_is_a_first_order_lag() -> None:
    steering = Steering(CAR, DT)
    steering.command(pulse(0.05))
    for _ in range(round(CAR.steering_time_constant / DT)):
        steering.step()
    assert steering.angle == pytest.approx(0.05 * (1 - math.exp(-1)), rel=1e-9)


def test_a_large_step_is_a_ramp_at_first_and_ends_at_the_stop() -> None:
    steering = Steering(CAR, DT)
    steering.command(-10.0)
    for _ in range(20):
        steering.step()
    assert steering.angle == pytest.approx(20 * DT * CAR.steering_rate)
    for _ in range(2000):
        steering.step()
    assert steering.angle == pytest.approx(CAR.steering_limit, rel=1e-6)


def test_backlash_is_a_dead_band_on_reversal() -> None:
    """The wheels follow either flank of the play: half of it behind whichever way they were last pushed."""
    steering = Steering(dataclasses.replace(CAR, steering_backlash=PLAY), DT)
    reached = []
    for target in (0.2, 0.19, -0.2, 0.0):
        steering.command(pulse(target))
        for _ in range(3000):
            steering.step()
        reached.append(steering.angle)
    assert reached == pytest.approx([0.2 - PLAY / 2, 0.2 - PLAY / 2, -0.2 + PLAY / 2, -PLAY / 2], abs=1e-6)


def test_a_state_has_the_same_future() -> None:
    car = dataclasses.replace(CAR, steering_backlash=PLAY)
    one, other = Steering(car, DT), Steering(car, DT)
    one.command(pulse(0.3))
    for _ in range(100):
        one.step()
    other.set_state(one.state())
    one.command(pulse(-0.1))
    other.command(pulse(-0.1))
    assert [one.step() for _ in range(200)] == [other.step() for _ in range(200)]
