"""Legs end by time or distance, a stop begins the leg anew, and a straight leg comes back to its line."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from calibration.manoeuvre import Leg, Manoeuvre
from robot.spec import load_spec

SPEC = load_spec(Path(__file__).parents[2] / "launch/robots/racer.toml")
LAYOUT = SPEC.state_layout


def state(x: float = 0.0, y: float = 0.0, heading: float = 0.0) -> np.ndarray:
    found = np.zeros(LAYOUT.size)
    found[LAYOUT["position_world"]] = x, y
    found[LAYOUT.index("heading")] = heading
    return found


def test_legs_follow_each_other_by_time_and_by_distance() -> None:
    legs = (Leg("stand", 1.0), Leg("go", 10.0, 1.0, 0.1, metres=2.0), Leg("turn", 1.0, -0.5, -0.2))
    manoeuvre = Manoeuvre(SPEC, legs)
    assert manoeuvre.seconds == 12.0
    np.testing.assert_array_equal(manoeuvre.command(5.0, state()), [0.0, 0.0])
    np.testing.assert_array_equal(manoeuvre.command(5.9, state()), [0.0, 0.0])
    np.testing.assert_array_equal(manoeuvre.command(6.0, state()), [1.0, 0.1])
    np.testing.assert_array_equal(manoeuvre.command(7.0, state(1.9)), [1.0, 0.1])
    np.testing.assert_array_equal(manoeuvre.command(7.1, state(2.0)), [-0.5, -0.2])
    assert not manoeuvre.finished
    np.testing.assert_array_equal(manoeuvre.command(8.2, state(1.5)), [0.0, 0.0])
    assert manoeuvre.finished and manoeuvre.leg == "finished"


def test_a_stop_begins_the_leg_anew() -> None:
    manoeuvre = Manoeuvre(SPEC, (Leg("go", 2.0, 1.0, 0.0), Leg("stand", 1.0)))
    manoeuvre.command(0.0, state())
    manoeuvre.again()
    assert manoeuvre.command(9.0, state())[0] == 1.0
    assert manoeuvre.command(10.9, state())[0] == 1.0
    assert manoeuvre.command(11.0, state())[0] == 0.0


def test_a_straight_leg_returns_to_its_line_forward_and_in_reverse() -> None:
    """A kinematic bicycle put down 0.3 m aside and 0.2 rad askew."""
    for speed in (1.0, -0.7):
        manoeuvre = Manoeuvre(SPEC, (Leg("go", 60.0, speed),))
        manoeuvre.command(0.0, state())
        x, y, heading = 0.0, 0.3, 0.2
        for k in range(400):
            steering = manoeuvre.command(0.05 * k, state(x, y, heading))[1]
            assert abs(steering) <= 0.8 * 0.263 + 1e-12
            heading += 0.05 * speed * math.tan(steering) / 0.33
            x += 0.05 * speed * math.cos(heading)
            y += 0.05 * speed * math.sin(heading)
        assert abs(y) < 0.01 and abs(heading) < 0.01
        assert math.copysign(1.0, x) == math.copysign(1.0, speed)
