"""The tyre against the Magic Formula, its relaxation and friction."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sim.car import GRAVITY
from sim.tyre import DAMPING, FRONT_STIFFNESS, RELAXATION_LENGTH, SHAPE, Tyre

FRICTION, LOAD, DT = 1.05, 18.0, 1e-3


def tyre() -> Tyre:
    return Tyre(FRICTION, FRONT_STIFFNESS, DT)


def magic(slip: float) -> float:
    """Pacejka's formula as printed, D sin(C arctan(B x)) with E = 0."""
    b, c, d = FRONT_STIFFNESS / SHAPE, SHAPE, FRICTION * LOAD
    return d * math.sin(c * math.atan(b * slip))


def settled(forward: float, leftward: float, rolling: float) -> tuple[float, float]:
    one = tyre()
    for _ in range(2000):
        force = one.step(forward, leftward, rolling, LOAD)
    return force


@pytest.mark.parametrize("slip", [0.01, 0.05, 0.2, 0.6])
@pytest.mark.parametrize("speed", [3.0, -3.0])
def test_steady_side_slip_is_the_magic_formula(slip: float, speed: float) -> None:
    along, across = settled(speed, 3.0 * slip, speed)
    assert across == pytest.approx(-magic(slip), rel=1e-9)
    assert along == 0.0


@pytest.mark.parametrize("slip", [-0.6, -0.05, 0.05, 0.6])
def test_steady_drive_slip_is_the_magic_formula(slip: float) -> None:
    along, across = settled(3.0, 0.0, 3.0 * (1 + slip))
    assert along == pytest.approx(math.copysign(magic(abs(slip)), slip), rel=1e-9)
    assert across == 0.0


def test_combined_slip_is_one_vector() -> None:
    along, across = settled(3.0, 3.0 * 0.3, 3.0 * (1 - 0.4))
    assert math.hypot(along, across) == pytest.approx(magic(0.5), rel=1e-9)
    assert across / along == pytest.approx(0.3 / 0.4, rel=1e-9)


def test_small_slip_has_the_cornering_stiffness() -> None:
    _, across = settled(3.0, 3.0 * 1e-4, 3.0)
    assert -across / 1e-4 == pytest.approx(FRONT_STIFFNESS * FRICTION * LOAD, rel=1e-4)


def test_a_step_in_slip_is_followed_over_the_relaxation_length() -> None:
    one, speed, slip = tyre(), 2.0, 1e-3
    for _ in range(round(RELAXATION_LENGTH / speed / DT)):
        _, across = one.step(speed, speed * slip, speed, LOAD)
    assert across / -magic(slip) == pytest.approx(1 - math.exp(-1), abs=0.01)


def test_at_a_standstill_it_is_a_damped_spring() -> None:
    one, push, stiffness = tyre(), 0.001, FRONT_STIFFNESS * FRICTION * LOAD
    for _ in range(100):
        _, moving = one.step(0.0, push, 0.0, LOAD)
    _, still = one.step(0.0, 0.0, 0.0, LOAD)
    spring = stiffness / RELAXATION_LENGTH
    assert -still == pytest.approx(spring * push * 0.1, rel=1e-3)
    assert still - moving == pytest.approx(2 * DAMPING * math.sqrt(spring * LOAD / GRAVITY) * push, rel=1e-3)


def test_friction_is_never_exceeded_and_sliding_never_rewarded() -> None:
    rng, one = np.random.default_rng(0), tyre()
    for _ in range(300):
        motion = rng.normal(0.0, 2.0, 3) * rng.choice((0.01, 1.0))
        for _ in range(20):
            along, across = one.step(*motion.tolist(), LOAD)
            assert math.hypot(along, across) <= FRICTION * LOAD * (1 + 1e-12)


def test_a_tyre_that_slid_sideways_to_a_stop_holds_no_more_than_friction_bends_it() -> None:
    one = tyre()
    for speed in np.linspace(2.0, 0.0, 400):
        one.step(0.0, float(speed), 0.0, LOAD)
    for _ in range(3):
        one.step(0.0, 0.0, 0.0, LOAD)
    assert math.hypot(*one.state()) <= 1 / FRONT_STIFFNESS + 1e-12
