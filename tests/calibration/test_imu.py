"""The inertial procedure: noise, bias, mounting and faces come back; a moved board is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from scipy.stats import binomtest

from calibration.allan import allan_deviation
from calibration.drive import Drive, Samples
from calibration.imu import ImuProcedure
from calibration.procedure import CalibrationError
from calibration.signal_checks import SignalError
from robot.gravity import STANDARD_GRAVITY
from robot.spec import load_spec

SPEC = load_spec(Path(__file__).parents[2] / "launch/robots/racer.toml")
RATE = 100.0
IMU = ImuProcedure()
BIAS = np.array([0.004, -0.008, 0.006])


def standing(rotations: list[Rotation], seconds: list[float], seed: int = 0) -> Drive:
    """Rests in these attitudes, one after another, turned quickly between them."""
    rng = np.random.default_rng(seed)
    parts = []
    for rotation, duration in zip(rotations, seconds, strict=True):
        n = round(duration * RATE)
        force = np.tile(rotation.inv().apply([0.0, 0.0, STANDARD_GRAVITY]), (n, 1))
        parts.append(np.hstack((force, np.zeros((n, 3)))))
        shaken = rng.uniform(-3.0, 3.0, (round(RATE), 6)) + np.array([0, 0, STANDARD_GRAVITY, 1.0, 0, 0])
        parts.append(shaken)
    values = np.concatenate(parts)
    values[:, :3] += SPEC.scalar("accelerometer_noise") * rng.standard_normal((len(values), 3))
    values[:, 3:] += BIAS + SPEC.scalar("gyroscope_noise") * rng.standard_normal((len(values), 3))
    time = np.arange(len(values)) / RATE
    sensors = {"imu": Samples(time, values)}
    nothing = np.zeros((len(time), 2))
    states = np.zeros((len(time), SPEC.state_layout.size))
    return Drive(SPEC, time, time, nothing, states, np.ones(len(time), bool), sensors)


def test_the_allan_deviation_of_white_noise_falls_with_the_root_of_time() -> None:
    rng = np.random.default_rng(0)
    taus, deviations = allan_deviation(0.3 * rng.standard_normal(200_000), 50.0)
    some = taus < 20.0
    np.testing.assert_allclose(deviations[some], 0.3 / np.sqrt(taus[some] * 50.0), rtol=0.08)


def test_the_noise_is_as_certain_as_it_says() -> None:
    still = [standing([Rotation.identity()], [31.0], seed) for seed in range(60)]
    off = np.array(
        [
            [(q.value - SPEC.scalar(q.name)) / s for q, s in zip(e.quantities, sigmas, strict=True)]
            for e in map(IMU.estimate, ([drive] for drive in still))
            for sigmas in [np.sqrt(np.diag(e.covariance))]
        ]
    )
    assert np.sqrt(np.mean(off**2)) == pytest.approx(1.0, abs=0.2)


def test_the_allan_deviation_of_a_ramp_is_its_slope_times_tau_over_root_two() -> None:
    taus, deviations = allan_deviation(0.7 * np.arange(5000) / 10.0, 10.0)
    np.testing.assert_allclose(deviations, 0.7 * taus / np.sqrt(2.0))


def test_noise_bias_and_mounting_come_back() -> None:
    tilt = Rotation.from_euler("ZYX", [0.0, 0.03, -0.05])  # pitch, then roll
    found = IMU.estimate([standing([tilt], [60.0])])
    assert all(check.passed for check in found.checks)
    values = {q.name: q.value for q in found.quantities}
    for row, name in enumerate(("gyroscope_noise", "accelerometer_noise")):
        assert abs(values[name] - SPEC.scalar(name)) < 4 * found.covariance[row, row] ** 0.5
    told = {f.name: (f.value, f.sigma) for f in found.findings}
    for axis, true in zip("xyz", BIAS, strict=True):
        value, sigma = told[f"gyroscope_bias_{axis}"]
        assert abs(value - true) < 5 * sigma
    assert told["mounting_roll"][0] == pytest.approx(-0.05, abs=1e-3)
    assert told["mounting_pitch"][0] == pytest.approx(0.03, abs=1e-3)
    assert "six faces" in found.frozen[0]


SIDES = [[0, 0, 0], [180, 0, 0], [90, 0, 0], [-90, 0, 0], [0, 90, 0], [0, -90, 0]]
SCALE, FORCE_BIAS = np.array([1.02, 0.98, 1.01]), np.array([0.1, -0.2, 0.15])


def rested(
    sides: list[list[float]],
    first_s: float = 4.0,
    seed: int = 0,
    scale: np.ndarray = SCALE,
    bias: np.ndarray = FORCE_BIAS,
) -> Drive:
    """On these sides in turn, of such a sensor."""
    turned = [Rotation.from_euler("xyz", a, degrees=True) for a in sides]
    made = standing(turned, [first_s] + (len(sides) - 1) * [4.0], seed)
    values = made.sensors["imu"].values
    values[:, :3] = values[:, :3] / scale + bias
    return made


@pytest.mark.parametrize("logs", [1, 2])
def test_six_faces_give_scale_and_bias(logs: int) -> None:
    apart = [rested(SIDES[:1], 40.0), rested(SIDES[1:] + SIDES)]
    found = IMU.estimate([rested(2 * SIDES, 40.0)] if logs == 1 else apart)
    told = {f.name: f.value for f in found.findings}
    for k, axis in enumerate("xyz"):
        assert told[f"accelerometer_scale_{axis}"] == pytest.approx(SCALE[k], abs=1e-3)
        assert told[f"accelerometer_bias_{axis}"] == pytest.approx(FORCE_BIAS[k], abs=0.01)
    assert found.frozen == () and all(check.passed for check in found.checks)


def test_intervals_hold_of_scales_and_biases_that_were_drawn() -> None:
    inside, draws = np.zeros(6, int), 40
    for seed in range(draws):
        rng = np.random.default_rng(seed)
        scale, bias = 1.0 + rng.uniform(-0.03, 0.03, 3), rng.uniform(-0.3, 0.3, 3)
        sides = (np.array(2 * SIDES, float) + rng.normal(0.0, 4.0, (12, 3))).tolist()
        sides[0] = [0.0, 0.0, 0.0]
        found = IMU.estimate([rested(sides, 31.0, seed, scale, bias)])
        told = {f.name: (f.value, f.sigma) for f in found.findings if f.name.startswith("accelerometer_")}
        truth = [*zip("xyz", scale, strict=True)], [*zip("xyz", bias, strict=True)]
        for kind, part in enumerate(truth):
            for row, (axis, value) in enumerate(part):
                measured, sigma = told[f"accelerometer_{('scale', 'bias')[kind]}_{axis}"]
                inside[3 * kind + row] += abs(measured - value) < 1.96 * sigma
    assert binomtest(int(inside.sum()), 6 * draws, 0.95).pvalue > 0.01, inside


def test_a_face_that_is_missing_or_taken_once_is_refused_by_name() -> None:
    with pytest.raises(CalibrationError, match="there are 0 on its wheels"):
        IMU.estimate([standing([Rotation.identity()], [1.0]), rested(2 * [*SIDES[1:]], 40.0)])
    with pytest.raises(CalibrationError, match="there are 1 on its right side; two on each"):
        IMU.estimate([rested([*SIDES, *SIDES[:2], *SIDES[3:]], 40.0)])


def shaken(least: float) -> Drive:
    """Two rounds of sides, of which the second's on the roof has ``least`` [m/s^2] too much force."""
    made = rested(2 * SIDES, 40.0)
    values = made.sensors["imu"].values
    at = round(RATE * (40.0 + 1.0 + 5 * 5.0 + 5.0))
    values[at : at + 500, 2] -= least
    return made


def test_a_rest_in_which_something_else_was_felt_is_not_accepted() -> None:
    found = IMU.estimate([shaken(0.2)])
    (failed,) = (check for check in found.checks if not check.passed)
    assert failed.rule.startswith("gravity's length in the worst rest") and failed.measured > 0.1


def test_an_accelerometer_like_none_is_refused() -> None:
    made = rested(2 * SIDES, 40.0)
    made.sensors["imu"].values[:, 2] *= 1.08
    with pytest.raises(CalibrationError, match="the rests give scales of"):
        IMU.estimate([made])


def test_a_board_that_moved_is_refused() -> None:
    made = standing([Rotation.identity()], [60.0])
    values = made.sensors["imu"].values
    turned = Rotation.from_euler("x", 0.02)
    values[3000:, :3] = turned.apply(values[3000:, :3])
    with pytest.raises(CalibrationError, match=r"gravity turned by (19|20) mrad.*the board moved"):
        IMU.estimate([made])


def test_a_car_that_was_not_left_alone_is_refused() -> None:
    with pytest.raises(CalibrationError, match="the longest rest in the log is 20 s"):
        IMU.estimate([standing(2 * [Rotation.identity()], [20.0, 20.0])])


def test_a_clipped_axis_is_refused() -> None:
    made = standing([Rotation.identity()], [60.0])
    made.sensors["imu"].values[:, 2].clip(max=9.8, out=made.sensors["imu"].values[:, 2])
    with pytest.raises(SignalError, match="clipped"):
        IMU.estimate([made])
