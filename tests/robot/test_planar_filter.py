"""The planar filter against the textbook: whole matrices, everything in the order in which it was measured,
one inverse for each measurement, no memory."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from robot.estimators.corrections import Pose, Position, RollingStraight, StillGyroscope, Velocity, WheelSpeed
from robot.estimators.planar_filter import (
    AX,
    AY,
    GYRO,
    VX,
    VY,
    YAW,
    Correction,
    Inputs,
    N,
    Noise,
    PlanarFilter,
    Row,
    X,
    Y,
)

NOISE = Noise(1e-3, 0.14, 10.0, 0.02, 1.0, 0.05, 20.0)
DEVIATION = np.array([0.3, 0.3, 0.2, 0.5, 0.5, 0.01, 0.14, 0.14, 0.02, 0.05, 0.05])
TICK = 10_000_000
GATE = 20.0


class Textbook:
    """An extended Kalman filter (Bar-Shalom, Li & Kirubarajan 2001, 10.3) with the interface that
    corrections need."""

    def __init__(self) -> None:
        self.x = np.zeros(N)
        self.P = np.diag(DEVIATION**2)
        self.inputs = Inputs(0.0, 0.0, 0.0, 0.0, 0.0)
        self.time_ns = 0

    def predict(self, time_ns: int, inputs: Inputs) -> None:
        dt, self.time_ns, self.inputs = (time_ns - self.time_ns) * 1e-9, time_ns, inputs
        x = self.x
        rate = inputs.rate - x[GYRO]
        force = np.array([inputs.ax, inputs.ay]) - x[[AX, AY]]
        v = x[[VX, VY]]
        v_new = rotation(rate * dt).T @ (v + force * dt / 2) + force * dt / 2
        middle = rotation(x[YAW] + rate * dt / 2)
        moved = middle @ (v + v_new) / 2 * dt
        turned = rotation(rate * dt).T @ -quarter(v + force * dt / 2)
        keep = np.exp(-dt / np.array([10.0, 10.0, 1.0, 20.0, 20.0]))

        F = np.eye(N)
        F[X : Y + 1, YAW] = quarter(moved)
        F[X : Y + 1, VX : VY + 1] = middle * dt
        F[YAW, GYRO] = -dt
        F[VX : VY + 1, VX : VY + 1] = rotation(rate * dt).T
        F[VX : VY + 1, GYRO] = -turned * dt
        F[VX : VY + 1, AX : AY + 1] = -np.eye(2) * dt
        F[AX:, AX:] = np.diag(keep)
        by_rate = np.zeros(N)
        by_rate[YAW], by_rate[VX : VY + 1] = 1.0, turned
        Q = (inputs.rate_sigma * dt) ** 2 * np.outer(by_rate, by_rate)
        Q[[VX, VY], [VX, VY]] += (inputs.acceleration_sigma * dt) ** 2
        Q[GYRO, GYRO] = NOISE.gyro_walk**2 * dt
        Q[AX:, AX:] = np.diag(np.array([0.14, 0.14, 0.02, 0.05, 0.05]) ** 2 * (1 - keep**2))

        self.x = np.array([*(x[:2] + moved), x[YAW] + rate * dt, *v_new, x[GYRO], *(keep * x[AX:])])
        self.P = F @ self.P @ F.T + Q

    def scalar(self, innovation: float, sigma: float, row: Row, bound: float) -> None:
        H = matrix([row])
        S = max(float((H @ self.P @ H.T)[0, 0]) + sigma**2, (innovation / bound) ** 2)
        self._use(np.array([innovation]), H, np.array([[S]]))

    def vector(
        self, innovations: Sequence[float], rows: Sequence[Row], variances: Sequence[float], gate: float
    ) -> bool:
        innovation, H = np.array(innovations), matrix(rows)
        S = H @ self.P @ H.T + np.diag(variances)
        if innovation @ np.linalg.solve(S, innovation) > gate:
            return False
        self._use(innovation, H, S)
        return True

    def _use(self, innovation: np.ndarray, H: np.ndarray, S: np.ndarray) -> None:
        K = self.P @ H.T @ np.linalg.inv(S)
        self.x = self.x + K @ innovation
        self.P = self.P - K @ S @ K.T


def rotation(angle: float) -> np.ndarray:
    return np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])


def quarter(v: np.ndarray) -> np.ndarray:
    """Turned by a quarter."""
    return np.array([-v[1], v[0]])


def matrix(rows: Sequence[Row]) -> np.ndarray:
    H = np.zeros((len(rows), N))
    for k, row in enumerate(rows):
        for index, value in row:
            H[k, index] = value
    return H


def drive(seed: int, steps: int) -> tuple[list[Inputs], list[list[Correction]], list[list[Correction]]]:
    """A lively drive: inputs, what corrects each step at once, and what comes late. Some fixes are wild."""
    rng = np.random.default_rng(seed)
    inputs: list[Inputs] = []
    prompt: list[list[Correction]] = []
    late: list[list[Correction]] = []
    place, yaw, speed, turn = np.zeros(2), 0.0, 0.0, 0.0
    for k in range(steps):
        ax, turn = 2.0 * (3.0 - speed), turn + 0.3 * rng.normal()
        speed, yaw = speed + ax * 0.01, yaw + turn * 0.01
        velocity = rotation(yaw) @ (speed, 0.0)
        place = place + velocity * 0.01
        inputs.append(Inputs(turn, ax, speed * turn, 0.02 + 0.1 * rng.random(), 0.3 + rng.random()))
        prompt.append([WheelSpeed(speed + rng.normal(0.0, 0.1), 0.05)])
        if k % 5 == 0:
            prompt[k].append(RollingStraight(turn, 0.17, 0.1))
        if k % 7 == 0:
            prompt[k].append(StillGyroscope(turn, 0.5))
        late.append([])
        now, wild = (k + 1) * TICK, 5.0 * (k % 4 == 1)
        if k % 9 == 0:
            x, y = rng.normal(place, 0.05) + wild
            late[k].append(Position(now - 3_000_000, x, y, 4e-3, (0.1, -0.05), True))
            late[k].append(Velocity(*rng.normal(velocity, 0.2), 0.05, (0.1, -0.05)))
        if k % 11 == 0:
            x, y = rng.normal(place, 0.1)
            late[k].append(Pose(now + 2_000_000, x, y, yaw + wild, (1e-2, 2e-2, 0.1)))
    return inputs, prompt, late


@pytest.mark.parametrize("delay", [0, 6, 23])
def test_late_measurements_give_what_the_textbook_gives_in_order(delay: int) -> None:
    inputs, prompt, late = drive(delay, 230)
    textbook, planar = Textbook(), PlanarFilter(NOISE, DEVIATION)
    planar.start(0)
    states: list[np.ndarray] = []
    verdicts: list[list[bool]] = []
    for k in range(len(inputs) + delay):
        if k < len(inputs):
            textbook.predict((k + 1) * TICK, inputs[k])
            planar.predict((k + 1) * TICK, inputs[k])
            for correction in prompt[k]:
                correction.apply(textbook, math.inf)  # type: ignore[arg-type]
                planar.correct(correction)
            verdicts.append([c.apply(textbook, GATE) for c in late[k]])  # type: ignore[arg-type]
            states.append(textbook.x)
        if (then := k - delay) >= 0:
            step = planar.step_at((then + 1) * TICK)
            assert step is not None
            if late[then]:
                assert planar.correct_late(step, late[then], GATE) == verdicts[then]
            np.testing.assert_allclose(planar.at(step)[1], states[then], rtol=0, atol=1e-12)
    np.testing.assert_allclose(planar.x, textbook.x, rtol=0, atol=1e-12)
    np.testing.assert_allclose(planar.P, textbook.P, rtol=0, atol=1e-13)
    decided = [good for verdict in verdicts for good in verdict]
    assert sum(decided) > 40 and len(decided) - sum(decided) > 5


def test_what_is_beyond_the_gate_changes_nothing() -> None:
    """Neither the first of two nor the second."""
    for x, y in ((10.0, 0.0), (0.0, 10.0), (math.nan, 0.0)):
        planar = PlanarFilter(NOISE, DEVIATION)
        planar.start(0)
        planar.predict(TICK, Inputs(1.0, 0.5, 0.5, 0.02, 0.3))
        before = planar.x.copy(), planar.P.copy()
        assert planar.correct_late(planar.last, [Position(TICK, x, y, 1e-4, (0.0, 0.0), True)], GATE) == [
            False
        ]
        np.testing.assert_array_equal(planar.x, before[0])
        np.testing.assert_array_equal(planar.P, before[1])
