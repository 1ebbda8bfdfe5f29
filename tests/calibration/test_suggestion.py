"""The manoeuvre that tells most is the one whose information says so; what is certain is not asked for."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from calibration.manoeuvre import Leg
from calibration.suggestion import least_certain, present, suggest
from calibration.twin_parameters import twin_parameters
from calibration.twin_work import TwinWork
from robot.spec import Calibration, load_spec

SPEC = load_spec(Path(__file__).parents[2] / "launch/robots/racer.toml")


def measured(name: str, sigma: float) -> Calibration:
    return Calibration(SPEC.scalar(name), "", "scale", sigma, "2026-11-26", "2026-12-26T00:00:00+00:00")


def test_what_is_least_certain_is_what_nobody_measured() -> None:
    every = twin_parameters(SPEC)
    names = [p.name for p in every if p.name in SPEC.calibration and p.name != "mass"]
    known = {name: measured(name, 1e-6) for name in names}
    spec = msgspec.structs.replace(SPEC, calibration={**SPEC.calibration, **known})
    ours = tuple(p for p in twin_parameters(spec) if p.name in (*names, "mass"))
    assert least_certain(spec, ours) == "mass"
    # In deviates of its own prior everything is one standard deviation wide.
    np.testing.assert_allclose(present(spec, ours), 1.0, rtol=1e-6)


@pytest.mark.slow
def test_turning_tells_the_steering_s_gain_and_driving_straight_does_not() -> None:
    ours = tuple(p for p in twin_parameters(SPEC) if p.name in ("servo_gain", "wheel_radius"))
    candidates = {
        "straight": (Leg("go", 3.2, 1.5, 0.0),),
        "circle": (Leg("go", 3.2, 1.5, 0.2),),
    }
    best, other = suggest(SPEC, candidates, ours, TwinWork(threads=1))
    assert (best.manoeuvre, other.manoeuvre) == ("circle", "straight")
    assert best.left["servo_gain"] < 0.2 < 0.9 < other.left["servo_gain"]
    assert max(best.left["wheel_radius"], other.left["wheel_radius"]) < 0.5
