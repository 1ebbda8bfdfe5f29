"""Joints: zeros, stops and play that were drawn come back within their intervals, and mistakes are
refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from jointed_arm import Servo, arm, swept_and_held
from scipy.stats import binomtest

from calibration.drive import Drive
from calibration.jointed import Joint
from calibration.joints import JointsProcedure, swept
from calibration.procedure import CalibrationError, Estimate
from launch.calibrate.procedures import PROCEDURES, named, names_for
from robot.spec import load_spec

ARM, JOINTS = arm(), JointsProcedure()


def drawn(rng: np.random.Generator) -> Servo:
    middle = 0.05 * rng.standard_normal()
    reach = rng.uniform(1.7, 1.9)
    play = rng.uniform(0.002, 0.018)
    return Servo(middle, -reach, reach, play, gain=rng.uniform(0.97, 1.03), give=0.0007)


def values(found: Estimate) -> dict[str, tuple[float, float]]:
    return {f.name: (f.value, f.sigma) for f in found.findings}


def recorded(seed: int = 0, **changes: Servo) -> Drive:
    rng = np.random.default_rng(seed)
    return swept_and_held(ARM, {"lift": drawn(rng), "elbow": drawn(rng)} | changes, rng)


def test_intervals_cover_the_joints_that_were_drawn() -> None:
    draws, inside = 60, dict.fromkeys(("zero", "high_stop", "backlash", "gain"), 0)
    for seed in range(draws):
        rng = np.random.default_rng(seed)
        servos = {"lift": drawn(rng), "elbow": drawn(rng)}
        found = JOINTS.estimate([swept_and_held(ARM, servos, rng)])
        assert all(check.passed for check in found.checks), found.checks
        told = values(found)
        for name, servo in servos.items():
            truth = {"zero": servo.zero, "high_stop": servo.high, "backlash": servo.play, "gain": servo.gain}
            for what, value in truth.items():
                measured, sigma = told[f"{name}_{what}"]
                inside[what] += abs(measured - value) < 1.96 * sigma
                assert abs(measured - value) < 0.0035
    assert all(binomtest(k, 2 * draws, 0.95).pvalue > 0.01 for k in inside.values()), inside


def test_a_few_visits_give_student_s_interval_and_an_encoder_that_shows_one_step_its_width() -> None:
    joint, rng = Joint("lift", (-1.8, 1.8), (-1.6, 1.6), "one", 0), np.random.default_rng(0)
    draws, inside = 1000, 0
    for _ in range(draws):
        low, high = -1.8 + 0.003 * rng.standard_normal(3), 1.8 + 0.003 * rng.standard_normal(4)
        (zero, sigma), *_ = swept(joint, low, high, 0.0).quantities
        inside += abs(zero.value) < 1.96 * sigma
    assert binomtest(inside, draws, 0.95).pvalue > 0.01
    (_, sigma), *_ = swept(joint, np.full(3, -1.8), np.full(3, 1.8), 0.006).quantities
    assert sigma == pytest.approx(0.006 / np.sqrt(12.0) / np.sqrt(2.0))


def test_stops_that_do_not_repeat_and_play_are_not_accepted() -> None:
    loose = Servo(0.0, -1.8, 1.8, play=0.03, give=0.006)
    failed = [c.rule for c in JOINTS.estimate([recorded(1, elbow=loose)]).checks if not c.passed]
    assert failed == ["elbow: visits of a stop, from their mean", "elbow: backlash, 95 %"]


def test_a_range_that_reaches_beyond_a_stop_is_not_accepted() -> None:
    short = Servo(0.2, -1.55, 1.55, play=0.01, give=0.0)
    (failed,) = (c for c in JOINTS.estimate([recorded(2, lift=short)]).checks if not c.passed)
    assert failed.rule.startswith("lift: room") and failed.measured == pytest.approx(-0.05, abs=0.002)


def test_what_the_robot_computes_with_is_a_quantity_and_all_else_for_a_person() -> None:
    zero = {"lift_zero": {"value": 0.0, "unit": "rad", "source": "file"}}
    stops = {"elbow_stops": {"value": [-1.9, 1.7], "unit": "rad", "source": "drawing"}}
    spec = arm(calibration=zero | stops)
    servos = {"lift": Servo(0.03, -1.8, 1.8, 0.01), "elbow": Servo(0.02, -1.9, 1.7, 0.01)}
    found = JOINTS.estimate([swept_and_held(spec, servos, np.random.default_rng(3))])
    assert [q.name for q in found.quantities] == ["lift_zero"]
    assert found.quantities[0].value == pytest.approx(0.03, abs=0.002)
    assert found.covariance.shape == (1, 1) and 0.0 < found.covariance[0, 0] < 0.002**2
    assert values(found)["elbow_zero"][0] == pytest.approx(0.02, abs=0.002)
    assert "lift_zero" not in values(found)


def test_a_log_without_sweeps_tells_play_alone() -> None:
    made = recorded(4)
    made.free[:] = True
    found = JOINTS.estimate([made])
    assert set(values(found)) == {f"{j}_{w}" for j in ("lift", "elbow") for w in ("backlash", "gain")}
    assert found.frozen == tuple(f"{j}_zero: no sweeps with the motors off" for j in ("lift", "elbow"))


AS_BUILT = Servo(0.02, -1.8, 1.8, 0.01)


@pytest.mark.parametrize("gain", [-1.0, 0.5, 2.0])
def test_a_joint_that_turns_otherwise_than_it_is_told_is_refused(gain: float) -> None:
    servos = {"lift": replace(AS_BUILT, gain=gain), "elbow": AS_BUILT}
    made = swept_and_held(ARM, servos, np.random.default_rng(7))
    with pytest.raises(CalibrationError, match=rf"lift turns by \{gain:+.2f} rad .*\+1 was expected"):
        JOINTS.estimate([made])


def test_a_joint_whose_encoder_is_stuck_is_refused() -> None:
    made = recorded(8)
    made.sensors["one"].values[made.free, 0] = 0.0
    with pytest.raises(CalibrationError, match="stays the same whatever is commanded"):
        JOINTS.estimate([made])


def test_a_range_of_which_half_was_measured_is_refused() -> None:
    servos = {"lift": replace(AS_BUILT, low=0.0), "elbow": AS_BUILT}
    blocked = swept_and_held(ARM, servos, np.random.default_rng(9))
    with pytest.raises(CalibrationError, match=r"lift was pushed through 1\.80 rad, at least 3\.20"):
        JOINTS.estimate([blocked])
    made = recorded(10, lift=AS_BUILT)
    limp = np.flatnonzero(~made.free)
    position = made.sensors["one"].values[:, 0]
    position[limp] = np.maximum(position[limp], 0.3 * np.sin(limp / 37.0))
    with pytest.raises(CalibrationError, match="lift: 0 rests at its lower stop and 4 at its upper one"):
        JOINTS.estimate([made])


def test_what_cannot_be_is_refused() -> None:
    made = recorded(5)
    made.sensors["one"].values[700:, 1] += 2.0 * np.pi
    with pytest.raises(CalibrationError, match=r"elbow jumps by .* its encoder begins anew"):
        JOINTS.estimate([made])
    servos = {"lift": Servo(0.0, -1.8, 1.8, 0.01), "elbow": Servo(0.0, -1.8, 1.8, 0.01)}
    few = swept_and_held(ARM, servos, np.random.default_rng(6), sweeps=2)
    few.sent[:] = 0.0
    with pytest.raises(CalibrationError, match="lift: 2 rests at its lower stop and 2 at its upper one"):
        JOINTS.estimate([few])
    racer = load_spec(Path(__file__).parents[2] / "launch/robots/racer.toml")
    with pytest.raises(CalibrationError, match="racer has no joints"):
        JOINTS.legs(racer)
    with pytest.raises(CalibrationError, match="moved by hand"):
        JOINTS.legs(ARM)


def test_a_robot_with_joints_has_procedures_of_its_own() -> None:
    racer = load_spec(Path(__file__).parents[2] / "launch/robots/racer.toml")
    assert names_for(ARM) == ("joints",)
    assert names_for(racer) == ("clock", "speed", "imu", "steering", "motor", "antenna", "twin")
    assert all(named(name).name == name for name in PROCEDURES)
