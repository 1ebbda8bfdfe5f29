"""A steering or a speed scale that is off is noticed at the end of a session, and one that is not is not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from measured_drive import Linkage, turning_drive

from calibration.drive import Drive, Samples
from calibration.manoeuvre import Leg
from calibration.watch import Watched, watch
from robot.spec import load_spec

SPEC = load_spec(Path(__file__).parents[2] / "launch/robots/racer.toml")
RECEIVER = next(s.layout for s in SPEC.sensors if s.name == "gnss")
FIX_TYPE = RECEIVER.index("fix_type")
LEGS = tuple(Leg("weave", 1.0, 1.5, side * 0.2) for side in (1, -1) for _ in range(2)) * 6


def drive(true: Linkage, speed_scale: float = 1.0) -> Drive:
    """With a receiver, and an estimate that knows the gyroscope's bias."""
    rng = np.random.default_rng(0)
    made = turning_drive(SPEC, LEGS, true, rng)
    made.states[:, SPEC.state_layout.index("gyro_bias")] = 0.007
    motor = made.sensors["drive"]
    fixes = np.arange(0.0, motor.time_s[-1], 0.1)
    values = np.zeros((len(fixes), RECEIVER.size))
    speed = np.interp(fixes, motor.time_s, motor.values[:, 0]) / SPEC.scalar("erpm_per_speed")
    values[:, FIX_TYPE] = 3.0
    values[:, 3] = speed_scale * speed + 0.05 * rng.standard_normal(len(fixes))
    return replace(made, sensors={**made.sensors, "gnss": Samples(fixes, values)})


def told(made: Drive) -> dict[str, Watched]:
    return {one.what: one for one in watch(made)}


def test_a_robot_that_is_as_calibrated_is_left_alone() -> None:
    found = told(drive(Linkage(-1.2135, 0.5304)))
    assert set(found) == {"steering centre", "steering gain", "speed scale"}
    assert not any(one.drifted for one in found.values())


def test_a_horn_that_slipped_and_a_worn_tyre_are_noticed() -> None:
    found = told(drive(Linkage(-1.2135, 0.5304 + 0.02), speed_scale=0.95))
    centre, speed = found["steering centre"], found["speed scale"]
    assert centre.drifted and centre.off == pytest.approx(0.02 / 1.2135, abs=0.003)
    assert speed.drifted and speed.off == pytest.approx(-0.05, abs=0.01)
    assert centre.procedure == "steering" and "0.0075 is tolerated" in centre.words()


def test_nothing_is_said_of_a_robot_that_hardly_moved() -> None:
    made = turning_drive(SPEC, LEGS[:2], Linkage(-1.2135, 0.56), np.random.default_rng(1))
    assert told(replace(made, sensors={name: made.sensors[name] for name in ("imu", "drive")})) == {}


def test_what_is_watched_is_told_with_all_its_digits() -> None:
    assert Watched("speed scale", "1", 0.02, 0.011, 0.05, "speed").words() == (
        "speed scale off by +0.02 ± 0.011 (0.05 is tolerated)"
    )
    assert "± 0.0021 rad" in Watched("steering centre", "rad", 0.01, 0.0021, 0.02, "steering").words()


def test_what_a_receiver_says_without_a_fix_is_no_drift() -> None:
    made = drive(Linkage(-1.2135, 0.5304))
    fixes = made.sensors["gnss"]
    lost = fixes.values.copy()
    lost[::2, FIX_TYPE], lost[::2, 3] = 0.0, 0.0
    half = replace(made, sensors={**made.sensors, "gnss": Samples(fixes.time_s, lost)})
    assert abs(told(half)["speed scale"].off) < 0.02
    lost[:, FIX_TYPE] = 0.0
    assert "speed scale" not in told(half)
