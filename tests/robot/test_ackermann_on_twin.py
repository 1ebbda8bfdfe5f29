"""The estimator behind the production drivers and the emulated devices' bytes, judged by the twin's truth."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import chi2

from robot.clock import SimulatedClock
from robot.estimators.ackermann import AckermannEstimator
from robot.interface import Measurements, make_driver
from robot.spec import load_spec
from sim.emulators.rig import Rig
from sim.twin import CarTwin
from sim.world import world_path

pytestmark = pytest.mark.slow
RACER = Path(__file__).parents[2] / "launch/robots/racer.toml"
TICK = 10_000_000


class Lap:
    """The twin driven round a world by pure pursuit of its true pose; errors and deviations of every tick."""

    def __init__(self, world: str, seed: int, fastest: float, start: bool = True) -> None:
        rng = np.random.default_rng(seed)
        path = world_path(world)
        spec = load_spec(RACER)
        self.twin = CarTwin(spec, path, rng)
        if start:
            heading = float(self.twin.world.start_pose[2])
            spec = load_spec(RACER, {"estimator": {"options": {"start_heading": heading}}})
        self.spec = spec
        self.clock = SimulatedClock(0)
        self.rig = Rig(spec, self.twin, rng)
        ports = self.rig.ports(self.clock)
        self.drivers = [make_driver(spec, d, ports[d.name]) for d in spec.devices]
        self.measurements = Measurements(spec)
        self.estimator = AckermannEstimator(spec)
        self.line = self.twin.world.centreline()
        self.fastest = fastest
        self.sent = np.zeros(2)
        self.error: list[np.ndarray] = []
        self.deviation: list[np.ndarray] = []
        self.nees: list[float] = []
        self.converged: list[bool] = []
        self.deaf = False
        for driver in self.drivers:
            driver.open(0)

    def steer(self) -> tuple[float, float]:
        """Setpoints: speed [m/s] by the curvature ahead, at most 0.6 g; steering [rad] to a point ahead."""
        x, y, yaw = self.twin.pose()
        speed = abs(self.twin.velocity_body()[0])
        k = int(np.argmin(((self.line - (x, y)) ** 2).sum(axis=1)))
        ahead = self.line[(k + round((0.5 + 0.25 * speed) / 0.05)) % len(self.line)] - (x, y)
        c, s = math.cos(yaw), math.sin(yaw)
        lateral = c * ahead[1] - s * ahead[0]
        steering = math.atan(self.spec.scalar("wheelbase") * 2 * lateral / float(ahead @ ahead))
        i = np.arange(k, k + round((1.0 + 0.5 * speed**2 / 4) / 0.05))
        tangent = np.diff(self.line[i % len(self.line)], axis=0)
        angle = np.unwrap(np.arctan2(tangent[:, 1], tangent[:, 0]))
        curvature = max(1e-3, float(np.abs(angle[8:] - angle[:-8]).max()) / 0.4)
        return min(self.fastest, math.sqrt(6.0 / curvature)), max(-0.26, min(0.26, steering))

    def tick(self, standing: bool = False) -> None:
        self.clock.sleep_until(self.clock.now_ns() + TICK)
        now = self.clock.now_ns()
        self.rig.advance(now)
        for driver in self.drivers[: 1 if self.deaf else None]:
            driver.poll(now, self.measurements)
        estimate = self.estimator.update(now, self.measurements, self.sent)
        self.converged.append(estimate.converged)
        vx, vy, rate = self.twin.velocity_body()
        error = estimate.values[:6] - (*self.twin.pose(), vx, vy, rate)
        error[2] = math.remainder(error[2], math.tau)
        self.error.append(error)
        self.deviation.append(estimate.deviation[:6].copy())
        self.upright = float(estimate.values[self.spec.state_layout["upright"].start])
        self.nees.append(float(error[:5] @ np.linalg.solve(self.estimator.covariance, error[:5])))
        setpoint = np.array([0.0, 0.0] if standing else self.steer())
        self.sent = self.drivers[0].command(now, setpoint).copy()
        self.drivers[1].command(now, setpoint[:0])

    def run(self, seconds: float, standing: bool = False) -> None:
        for _ in range(round(seconds * 100)):
            self.tick(standing)

    def rms(self, start: int) -> np.ndarray:
        """Of errors in x, y, heading, vx, vy, yaw rate from tick ``start`` on."""
        return np.asarray(np.sqrt(np.mean(np.square(self.error[start:]), axis=0)))


def test_errors_on_the_twin_are_as_large_as_the_filter_says() -> None:
    """NEES over ten drives of two courses at two speeds, each time of it a test of its own, and the root mean
    square of the errors: centimetres, a third of a degree, two centimetres per second."""
    laps = []
    for seed in range(10):
        lap = Lap(("oval", "kidney")[seed % 2], seed, (2.0, 4.5)[seed // 2 % 2])
        lap.run(1.0, standing=True)
        lap.run(12.0)
        laps.append(lap)
        assert all(lap.converged[100:]) and lap.estimator.refused == {}
    for k in (400, 800, 1290):
        assert 2.5 < np.mean([lap.nees[k] for lap in laps]) < chi2.ppf(0.999, 50) / 10
    rms = np.sqrt(np.mean([lap.rms(300) ** 2 for lap in laps], axis=0))
    assert np.all(rms < [0.018, 0.018, 0.009, 0.025, 0.03, 0.02]), rms


def test_the_heading_is_found_on_the_twin() -> None:
    lap = Lap("oval", 3, 2.0, start=False)
    lap.run(1.0, standing=True)
    assert not any(lap.converged)
    lap.run(3.0)
    assert lap.converged[-1] and abs(lap.error[-1][2]) < 4 * lap.deviation[-1][2] < 0.1


def test_five_seconds_without_satellites_on_the_twin() -> None:
    for seed in range(3):
        lap = Lap("oval", seed, 3.0)
        lap.run(1.0, standing=True)
        lap.run(5.0)
        lap.deaf = True
        lap.run(5.0)
        assert lap.converged[-1]
        assert np.all(np.abs(lap.error[-1][:5]) < 4 * lap.deviation[-1][:5])
        assert np.hypot(*lap.error[-1][:2]) < 0.4


@pytest.mark.parametrize("seed, speed, steering", [(0, 2.0, -0.05), (1, 4.0, 0.2), (2, 3.0, -0.05)])
def test_a_crash_and_wheels_that_spin_at_the_wall(seed: int, speed: float, steering: float) -> None:
    """Into the wall, three seconds of pushing against it, and back: the position stays known throughout, and
    nothing of it looks like a flip or like a car that somebody moved."""
    lap = Lap("oval", seed, 3.0)
    lap.run(1.0, standing=True)
    lap.run(5.0)
    hit = len(lap.error)
    follow, lap.steer = lap.steer, lambda: (speed, steering)  # type: ignore[method-assign]
    for _ in range(300):
        lap.tick()
        assert lap.upright > 0.9
    lap.steer = lambda: (-0.8, 0.26)  # type: ignore[method-assign]
    lap.run(2.0)
    lap.steer = follow  # type: ignore[method-assign]
    lap.run(4.0)
    assert lap.estimator.relocations == 0 and all(lap.converged[hit:])
    assert lap.rms(hit)[:2].max() < 0.08
    assert np.all(np.abs(lap.error[-1][:5]) < 5 * lap.deviation[-1][:5])


def test_a_car_set_down_elsewhere_on_the_twin() -> None:
    lap = Lap("oval", 4, 2.0)
    lap.run(1.0, standing=True)
    lap.run(4.0)
    lap.run(2.0, standing=True)
    x, y, yaw = lap.twin.pose()
    lap.twin.place((x + 0.4, y - 0.3, yaw))
    lap.run(3.0, standing=True)
    assert lap.estimator.relocations == 1 and lap.converged[-1]
    assert np.hypot(*lap.error[-1][:2]) < 0.05
