"""The car's estimator against a simulator of its own: a dynamic bicycle with a Pacejka tyre, and sensors that
err as the robot's calibration says, correlated satellite errors and latencies included."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import chi2

from robot.errors import SpecError
from robot.estimators.ackermann import AckermannEstimator
from robot.estimators.corrections import (
    Pose,
    Position,
    RollingStraight,
    StillGyroscope,
    Velocity,
    WheelSpeed,
)
from robot.estimators.planar_filter import (
    GYRO,
    KEEP,
    VX,
    VY,
    Correction,
    Inputs,
    N,
    Noise,
    PlanarFilter,
    Row,
)
from robot.estimators.tilt import TiltFilter
from robot.interface import Measurements
from robot.spec import RobotSpec, load_spec

RACER = Path(__file__).parents[2] / "launch/robots/racer.toml"
GRAVITY = 9.80665
MS = 1_000_000
TICK = 10 * MS


def racer(**options: float) -> RobotSpec:
    return load_spec(RACER, {"estimator": {"options": options}})


class Bicycle:
    """Planar single-track car, Pacejka lateral tyres, drive by a longitudinal acceleration [m/s^2]."""

    def __init__(self, spec: RobotSpec, heading: float = 0.0) -> None:
        self.mass, self.inertia = spec.scalar("mass"), spec.scalar("yaw_inertia")
        self.lf, self.lr = spec.scalar("front_axle"), spec.scalar("rear_axle")
        self.mu = spec.scalar("tyre_friction")
        self.x, self.y, self.yaw = 0.0, 0.0, heading
        self.vx, self.vy, self.rate = 0.0, 0.0, 0.0
        self.delta = 0.0
        self.ax, self.ay, self.drive = 0.0, 0.0, 0.0

    def _tyre(self, alpha: float, load: float) -> float:
        b, c = 8.0, 1.4  # stiffness 0.2 rad at the peak, as small rubber tyres have
        return self.mu * load * math.sin(c * math.atan(b * alpha))

    def advance(self, dt: float, drive: float, steering: float) -> None:
        step = max(-3.2 * dt, min(3.2 * dt, (steering - self.delta) * dt / 0.08))
        self.delta += step
        wheelbase = self.lf + self.lr
        if abs(self.vx) < 0.4:  # slip angles mean nothing at a crawl: roll
            rate = self.vx * math.tan(self.delta) / wheelbase
            vy = self.lr * rate
            self.ax = drive
            self.ay = (vy - self.vy) / dt + rate * self.vx
            self.vx, self.vy, self.rate = self.vx + (drive + rate * vy) * dt, vy, rate
        else:
            sign = math.copysign(1.0, self.vx)
            af = self.delta * sign - math.atan2(self.vy + self.lf * self.rate, abs(self.vx))
            ar = -math.atan2(self.vy - self.lr * self.rate, abs(self.vx))
            ff = self._tyre(af, self.mass * GRAVITY * self.lr / wheelbase)
            fr = self._tyre(ar, self.mass * GRAVITY * self.lf / wheelbase)
            self.ax = drive - ff * math.sin(self.delta) / self.mass
            self.ay = (ff * math.cos(self.delta) + fr) / self.mass
            alpha = (self.lf * ff * math.cos(self.delta) - self.lr * fr) / self.inertia
            vx = self.vx + (self.ax + self.rate * self.vy) * dt
            self.vy += (self.ay - self.rate * self.vx) * dt
            self.vx, self.rate = vx, self.rate + alpha * dt
        self.drive = drive
        c, s = math.cos(self.yaw), math.sin(self.yaw)
        self.x += (c * self.vx - s * self.vy) * dt
        self.y += (s * self.vx + c * self.vy) * dt
        self.yaw += self.rate * dt

    @property
    def state(self) -> np.ndarray:
        """x, y, heading, vx, vy."""
        return np.array([self.x, self.y, self.yaw, self.vx, self.vy])


@dataclass
class Drive:
    """A simulated drive: car, noisy late sensors, estimator, and every tick's truth and estimate."""

    spec: RobotSpec
    seed: int
    heading: float = 0.0
    gnss_latency: int = 60
    pose_latency: int | None = None
    """[ms] of an external pose at 50 Hz; None: there is none."""
    corrupt: Callable[[str, int, list[float]], list[float] | None] = lambda name, ns, values: values
    """What becomes of a sample (sensor, time, values) on its way; None: it is lost."""
    estimator: AckermannEstimator = field(init=False)

    def __post_init__(self) -> None:
        spec = self.spec
        self.rng = rng = np.random.default_rng(self.seed)
        self.car = Bicycle(spec, self.heading)
        self.estimator = AckermannEstimator(spec)
        self.measurements = Measurements(spec)
        self.now = 5_000 * MS
        self.gyro_bias = rng.normal(0, spec.scalar("gyroscope_bias"), 3)
        self.force_bias = rng.normal(0, spec.scalar("accelerometer_bias"), 3)
        self.scale = 1.0 + rng.normal(0, 46.0 / 4614.0)
        self.slow = rng.normal(0, spec.scalar("gnss_noise"), 2)
        self.queue: list[tuple[int, str, int, list[float]]] = []
        self.sent = np.zeros(2)
        self.off: set[str] = set()
        self.spin = 0.0  # rad/s by a person's hands
        self.phase = rng.uniform(0, 6.28, 4)
        self.truth: list[np.ndarray] = []
        self.values: list[np.ndarray] = []
        self.deviation: list[np.ndarray] = []
        self.nees: list[float] = []
        self.converged: list[bool] = []

    def target(self) -> tuple[float, float]:
        """Speed [m/s] and steering [rad] of a lively drive, up to about 0.9 g in corners."""
        t, p = self.now * 1e-9 - 5.0, self.phase
        speed = min(t, 1.0) * (2.2 + 1.3 * math.sin(0.9 * t + p[0]) + 0.5 * math.sin(2.3 * t + p[1]))
        limit = min(0.26, 0.33 * 9.0 / max(speed, 0.5) ** 2)
        return speed, limit * math.sin(0.8 * t + p[2]) * math.cos(0.23 * t + p[3])

    def sample(self, ms: int) -> None:
        spec, rng, car = self.spec, self.rng, self.car
        ns = self.now
        normal = rng.normal
        if ms % 10 == 2:
            creep = 0.02 * car.drive / 3.0  # tyres creep 2 % under 3 m/s^2
            erpm = spec.scalar("erpm_per_speed") * self.scale * car.vx * (1.0 + creep) + normal(0, 20.0)
            self.queue.append((ns + 4 * MS, "drive", ns, [round(erpm), 0.0, 11.0, 30.0, 30.0, 0.0]))
        if ms % 10 == 4:
            self.gyro_bias += normal(0, spec.scalar("gyroscope_bias_walk") * 0.1, 3)
            force = np.array([car.ax, car.ay, GRAVITY]) + self.force_bias
            force += normal(0, spec.scalar("accelerometer_noise"), 3)
            turn = np.array([0.0, 0.0, car.rate + self.spin]) + self.gyro_bias
            turn += normal(0, spec.scalar("gyroscope_noise"), 3)
            self.queue.append((ns + 6 * MS, "imu", ns, [*force, *turn]))
        if ms % 100 == 37:
            keep = math.exp(-0.1 / spec.scalar("gnss_noise_time"))
            self.slow = keep * self.slow + normal(0, spec.scalar("gnss_noise") * math.sqrt(1 - keep**2), 2)
            p = car.state[:2] + self.slow + normal(0, spec.scalar("gnss_white_noise"), 2)
            c, s = math.cos(car.yaw), math.sin(car.yaw)
            v = np.array([c * car.vx - s * car.vy, s * car.vx + c * car.vy])
            v += normal(0, spec.scalar("gnss_velocity_noise"), 2)
            fix = [*p, 60.0, *v, 0.0, 0.014, 0.05, 3.0, 2.0]
            self.queue.append((ns + self.gnss_latency * MS, "gnss", ns, fix))
        if self.pose_latency is not None and ms % 20 == 11:
            pose = [car.x, car.y, math.remainder(car.yaw, math.tau)]
            values = [*(pose + normal(0, (0.005, 0.005, 0.01))), 0.005**2, 0.005**2, 0.01**2]
            self.queue.append((ns + self.pose_latency * MS, "pose", ns, values))

    def tick(self, standing: bool = False) -> None:
        speed, steering = (0.0, 0.0) if standing else self.target()
        self.sent[:] = speed, steering
        for _ in range(10):
            drive = max(-6.0, min(4.5, 5.0 * (speed - self.car.vx)))
            self.car.advance(1e-3, drive, steering)
            self.now += MS
            self.sample((self.now // MS) % 1000)
        late = []
        for item in sorted(self.queue, key=lambda i: i[0]):
            due, name, ns, values = item
            if due > self.now:
                late.append(item)
            elif name not in self.off:
                self.deliver(name, ns, values)
        self.queue = late
        estimate = self.estimator.update(self.now, self.measurements, self.sent)
        self.truth.append(np.array([*self.car.state, self.car.rate, self.gyro_bias[2]]))
        self.values.append(estimate.values.copy())
        self.deviation.append(estimate.deviation.copy())
        self.converged.append(estimate.converged)
        error = self.error()
        # The newest step is the newest IMU sample; the published values are at most 16 ms further.
        self.nees.append(float(error[:5] @ np.linalg.solve(self.estimator.covariance, error[:5])))

    def deliver(self, name: str, ns: int, values: list[float]) -> None:
        if name == "pose":
            self.estimator.pose(ns, np.array(values[:3]), np.array(values[3:]))
        elif (arrived := self.corrupt(name, ns, values)) is not None:
            self.measurements.put(name, ns, arrived)

    def error(self) -> np.ndarray:
        """Estimate less truth of the last tick: x, y, heading, vx, vy, yaw rate, gyro bias."""
        error = self.values[-1][:7] - self.truth[-1]
        error[2] = math.remainder(error[2], math.tau)
        return error

    def run(self, seconds: float, standing: bool = False) -> None:
        for _ in range(round(seconds * 100)):
            self.tick(standing)

    def errors(self, start: float = 0.0) -> np.ndarray:
        """Errors of all ticks from ``start`` [s] on, shape (ticks, 7)."""
        k = round(start * 100)
        error = np.array(self.values)[k:, :7] - np.array(self.truth)[k:]
        error[:, 2] = np.remainder(error[:, 2] + math.pi, math.tau) - math.pi
        return error


def started(seed: int = 0, seconds: float = 6.0, **options: object) -> Drive:
    """A drive that stood for a second on its start line and has driven for some."""
    drive = Drive(racer(start_heading=0.0), seed, **options)  # type: ignore[arg-type]
    drive.run(1.0, standing=True)
    drive.run(seconds)
    return drive


@pytest.mark.slow
def test_errors_are_as_large_as_the_filter_says() -> None:
    """Average NEES of 20 drives, at three times each its own test. The upper bound is that of chi-square with
    20 * 5 degrees of freedom; below, the filter may be up to half too careful: it allows for slopes, creep
    and slip that this simulator has less of. Position errors repeat for 20 s, as satellites' do, and the
    filter must know it: 20 independent seeds and no averaging over time make the bound honest about that."""
    drives = [started(seed, 9.0) for seed in range(20)]
    upper = float(chi2.ppf(0.999, 100)) / 20
    for k in (300, 600, -1):
        mean = np.mean([d.nees[k] for d in drives])
        assert 2.5 < mean < upper, f"at {k}: {mean:.2f}, 5 expected, {upper:.2f} allowed"
    published = np.array([d.error() / d.deviation[-1][:7] for d in drives])
    assert np.all(np.sqrt((published**2).mean(axis=0)) < 1.4)  # 1.4: chi-square of 20, 99.9 %
    assert all(all(d.converged[300:]) for d in drives)
    assert all(d.estimator.refused == {} for d in drives)


def test_accuracy() -> None:
    """Centimetres, half a degree, and centimetres per second, where the fixes err by 1 cm and 5 cm/s."""
    rms = np.sqrt(np.mean([(started(s, 9.0).errors(3.0) ** 2).mean(axis=0) for s in range(4)], axis=0))
    assert np.all(rms < [0.02, 0.02, 0.01, 0.03, 0.03, 0.01, 0.003])


@pytest.mark.slow
def test_five_seconds_without_satellites() -> None:
    for seed in range(6):
        drive = started(seed)
        drive.off.add("gnss")
        before = drive.deviation[-1].copy()
        drive.run(5.0)
        sigma = drive.deviation[-1]
        assert np.all(sigma[:2] > 3 * before[:2]) and np.all(sigma[:2] < 0.5)
        assert np.all(np.abs(drive.error()[:5]) < 4 * sigma[:5])
        assert drive.converged[-1]
        drive.off.clear()
        drive.run(1.0)
        assert drive.deviation[-1][0] < 0.03 and np.hypot(*drive.error()[:2]) < 0.06
        assert drive.estimator.relocations == 0


@pytest.mark.slow
def test_a_minute_without_satellites_is_too_long() -> None:
    drive = started()
    drive.off.add("gnss")
    drive.run(60.0)
    assert not drive.converged[-1]
    assert np.all(np.abs(drive.error()[:5]) < 4 * drive.deviation[-1][:5])


@pytest.mark.slow
def test_without_the_imu_wheels_and_steering_carry_on() -> None:
    for seed in range(6):
        drive = started(seed)
        drive.off.add("imu")
        drive.run(0.5)
        error, sigma = drive.error(), drive.deviation[-1]
        assert sigma[5] > 0.3
        assert np.all(np.abs(error[:6]) < 4 * sigma[:6])
        drive.off.clear()
        drive.run(2.0)
        assert np.all(np.abs(drive.error()[:6]) < 4 * drive.deviation[-1][:6])
        assert drive.deviation[-1][2] < 0.03


@functools.cache
def without_a_third_of(sensor: str) -> Drive:
    """A drive in which every third tenth of a second of that sensor is missing."""

    def lost(name: str, ns: int, values: list[float]) -> list[float] | None:
        return None if name == sensor and ns // (100 * MS) % 3 == 0 else values

    drive = Drive(racer(start_heading=0.0), 3, corrupt=lost)
    drive.run(4.0)
    return drive


@pytest.mark.parametrize(
    "sensor, element",
    [("imu", 1), ("imu", 5), ("drive", 0), ("gnss", 0), ("gnss", 4), ("gnss", 6), ("gnss", 7), ("gnss", 8)],
)
def test_a_bad_sample_is_a_missing_one(sensor: str, element: int) -> None:
    """Exactly the same estimates as if the sample had not come."""
    bad = itertools.cycle((math.nan, math.inf, -math.inf, 1e300))

    def broken(name: str, ns: int, values: list[float]) -> list[float] | None:
        if name != sensor or ns // (100 * MS) % 3:
            return values
        return [*values[:element], next(bad), *values[element + 1 :]]

    one, other = Drive(racer(start_heading=0.0), 3, corrupt=broken), without_a_third_of(sensor)
    one.run(4.0)
    np.testing.assert_array_equal(one.values, other.values)
    np.testing.assert_array_equal(one.deviation, other.deviation)
    assert np.isfinite(one.values).all() and sum(one.estimator.refused.values()) >= 12


def test_repeated_fixes_are_missing_ones() -> None:
    kept: list[float] = []
    one = Drive(racer(start_heading=0.0), 4, corrupt=lambda n, t, v: hold(n, t, v, kept))
    two = Drive(racer(start_heading=0.0), 4)
    for drive in (one, two):
        drive.run(4.0)
    two.off.add("gnss")
    one.run(2.0)
    two.run(2.0)
    np.testing.assert_array_equal(one.values, two.values)
    assert one.estimator.refused["gnss_frozen"] >= 19


def hold(name: str, ns: int, values: list[float], kept: list[float]) -> list[float]:
    """A receiver that repeats its fix of the ninth second with ever new times."""
    if name != "gnss":
        return values
    if ns < 8_950 * MS or not kept:
        kept[:] = values
    return [*kept]


def test_a_frozen_imu_is_a_missing_one() -> None:
    drive = started(5)
    kept: list[float] = []

    def frozen(name: str, ns: int, values: list[float]) -> list[float] | None:
        if name != "imu":
            return values
        kept[:] = kept or values
        return [*kept]

    drive.corrupt = frozen
    drive.run(0.6)
    assert drive.estimator.refused["imu_frozen"] > 40
    assert drive.deviation[-1][5] > 0.3
    assert np.all(np.abs(drive.error()[[0, 1, 2, 3, 5]]) < 4 * drive.deviation[-1][[0, 1, 2, 3, 5]])


def test_one_wild_fix_changes_nothing() -> None:
    def wild(name: str, ns: int, values: list[float]) -> list[float] | None:
        return [values[0] + 5.0, *values[1:]] if name == "gnss" and ns // (100 * MS) == 70 else values

    one, two = (Drive(racer(start_heading=0.0), 6, corrupt=c) for c in (wild, lambda n, t, v: v))
    one.run(4.0)
    two.run(4.0)
    assert np.max(np.abs(np.array(one.values)[:, :2] - np.array(two.values)[:, :2])) < 0.02
    assert all(one.converged[50:])
    assert one.estimator.refused == {"gnss_position_rejected": 1}


@pytest.mark.slow
def test_a_car_put_elsewhere_is_found_again() -> None:
    """Picked up, carried for two seconds while it turns by 1.5 rad, put down three metres away."""
    for seed in range(4):
        drive = started(seed)
        drive.run(2.0, standing=True)
        assert drive.converged[-1]
        for _ in range(200):
            drive.car.x += 0.01
            drive.car.y -= 0.011
            drive.car.yaw += 0.0075
            drive.spin = 0.75
            drive.tick(standing=True)
        drive.spin = 0.0
        assert not drive.converged[-1]
        drive.run(2.0, standing=True)
        error, sigma = drive.error(), drive.deviation[-1]
        assert np.hypot(*error[:2]) < 0.05 and drive.estimator.relocations >= 1
        assert abs(error[2]) < 3 * sigma[2] and sigma[2] > 0.15
        drive.run(4.0)
        assert drive.converged[-1] and np.all(np.abs(drive.error()[:5]) < 4 * drive.deviation[-1][:5])


def test_the_heading_is_unknown_until_the_car_has_moved() -> None:
    for seed in range(4):
        drive = Drive(racer(), seed, heading=2.0 + seed)
        drive.run(3.0, standing=True)
        assert not any(drive.converged)
        assert drive.deviation[-1][2] == pytest.approx(math.pi / math.sqrt(3))
        assert np.all(drive.deviation[-1][:2] < 0.05) and np.hypot(*drive.error()[:2]) < 0.06
        drive.run(4.0)
        assert drive.converged[-1]
        assert np.all(np.abs(drive.error()[:5]) < 4 * drive.deviation[-1][:5])


def test_the_heading_is_found_in_reverse() -> None:
    drive = Drive(racer(), 1, heading=-1.0)
    drive.target = lambda: (-1.0, 0.1)  # type: ignore[method-assign]
    drive.run(4.0)
    assert drive.converged[-1] and abs(drive.error()[2]) < 4 * drive.deviation[-1][2]


def test_a_person_may_say_the_heading() -> None:
    drive = Drive(racer(start_heading=1.0, start_heading_sigma=0.2), 2, heading=1.3)
    drive.run(1.0, standing=True)
    assert drive.converged[-1] and drive.deviation[-1][2] == pytest.approx(0.2, abs=0.05)
    drive.run(4.0)
    assert abs(drive.error()[2]) < 4 * drive.deviation[-1][2] < 0.1


def test_a_car_put_down_the_wrong_way_round_is_not_trusted_and_then_found() -> None:
    drive = Drive(racer(start_heading=0.0), 2, heading=math.pi)
    drive.run(1.0, standing=True)
    drive.run(8.0)
    assert not all(drive.converged[150:])
    assert drive.converged[-1]
    assert np.all(np.abs(drive.error()[:5]) < 5 * drive.deviation[-1][:5])


@pytest.mark.parametrize("latency", [10, 90, 200])
def test_an_external_pose_stands_in_for_satellites(latency: int) -> None:
    drive = Drive(racer(), 7, heading=-2.0, pose_latency=latency)
    drive.off.add("gnss")
    drive.run(1.0, standing=True)
    assert drive.converged[-1]
    drive.run(6.0)
    assert drive.converged[-1]
    # Those under way when the first one came are older than the memory that it began.
    assert sum(drive.estimator.refused.values()) <= latency // 20
    assert np.all(np.abs(drive.error()[:5]) < 4 * drive.deviation[-1][:5])
    assert np.all(drive.deviation[-1][:2] < 0.03)


@pytest.mark.slow
def test_pose_and_satellites_together_are_consistent() -> None:
    nees = []
    for seed in range(8):
        drive = Drive(racer(), seed, heading=1.0, pose_latency=150)
        drive.run(6.0)
        nees.append(np.mean(drive.nees[300:]))
        assert sum(drive.estimator.refused.values()) <= 10
    assert np.mean(nees) < 8.0


def test_a_pose_that_is_not_finite_or_not_certain_is_refused() -> None:
    estimator = AckermannEstimator(racer())
    estimator.pose(1, np.array([0.0, math.nan, 0.0]), np.ones(3))
    estimator.pose(1, np.zeros(3), np.array([1.0, 1.0, 0.0]))
    assert estimator.refused == {"pose_not_finite": 2}


@pytest.mark.parametrize("latency", [20, 60])
def test_late_fixes_equal_fixes_in_order(latency: int) -> None:
    """The same drive with late fixes and with fixes that arrive at once, late poses between them: whenever
    both have had the same fixes, estimates and deviations are the same to the last bit."""
    late, prompt = (started(8, 3.0, pose_latency=100) for _ in range(2))
    late.gnss_latency, prompt.gnss_latency = latency, 1
    same = 0
    for k in range(300):
        late.tick()
        prompt.tick()
        had = [(10 * (k + 1) - 37 - drive.gnss_latency) // 100 for drive in (late, prompt)]
        if had[0] == had[1]:
            same += 1
            np.testing.assert_array_equal(late.values[-1], prompt.values[-1])
            np.testing.assert_array_equal(late.deviation[-1], prompt.deviation[-1])
        elif k > 50:
            assert not np.array_equal(late.values[-1], prompt.values[-1])
    assert same > 50


def test_what_is_older_than_the_memory_is_refused() -> None:
    drive = started(8, 3.0)
    before = len(drive.values)
    drive.gnss_latency = 10 * KEEP + 60
    drive.run(1.0)
    assert drive.estimator.refused["gnss_position_rejected"] >= 5
    assert np.all(np.diff([d[0] for d in drive.deviation[before + 10 :]]) > 0)


def test_covariance_stays_symmetric_and_positive() -> None:
    drive = started(9, 3.0, pose_latency=200)
    planar = drive.estimator._planar
    for k in range(600):
        drive.off = {"gnss"} if k % 200 < 100 else {"imu"} if k % 200 < 130 else set()
        drive.tick(standing=k % 300 > 250)
        assert np.abs(planar.P - planar.P.T).max() < 1e-9 * np.abs(planar.P).max()
        assert np.linalg.eigvalsh(planar.P).min() > -1e-12


def test_a_stall_of_the_loop_is_survived() -> None:
    drive = started(10)
    drive.off = {"imu", "drive", "gnss"}
    queue = drive.queue
    for _ in range(300):
        drive.now += TICK
        drive.car.advance(0.01, -3.0 if drive.car.vx > 0.05 else 0.0, 0.0)
    queue.clear()
    drive.off = set()
    drive.run(3.0, standing=True)
    assert np.isfinite(drive.values[-1]).all()
    assert np.hypot(*drive.error()[:2]) < 0.06


def test_wheels_that_spin_against_a_wall_do_not_move_the_car() -> None:
    """The wheels turn at 1.5 m/s for a second while the car stands."""
    drive = started(11)
    drive.run(2.0, standing=True)
    erpm = 1.5 * drive.spec.scalar("erpm_per_speed")
    drive.corrupt = lambda name, ns, v: [erpm, *v[1:]] if name == "drive" else v
    drive.run(1.0, standing=True)
    assert np.hypot(*drive.error()[:2]) < 0.15 and drive.estimator.relocations == 0


@pytest.mark.parametrize("sideways", [0.5, -1.5])
def test_a_car_whose_wheels_spin_may_be_carried_sideways(sideways: float) -> None:
    """The accelerometer says so; that the rear axle rolls is no argument while its wheels do not grip."""
    drive = started(12)
    drive.run(2.0, standing=True)
    car = drive.car

    def carried(dt: float, *_: float) -> None:
        car.ax, car.ay = 0.0, math.copysign(4.0, sideways) if abs(car.vy) < abs(sideways) else 0.0
        car.vx, car.vy, car.rate = 0.0, car.vy + car.ay * dt, 0.0
        car.x -= math.sin(car.yaw) * car.vy * dt
        car.y += math.cos(car.yaw) * car.vy * dt

    car.advance = carried  # type: ignore[method-assign]
    erpm = 3.0 * drive.spec.scalar("erpm_per_speed")
    drive.corrupt = lambda name, ns, v: [erpm, *v[1:]] if name == "drive" else v
    drive.off = {"gnss"}
    drive.run(1.0, standing=True)
    assert abs(drive.error()[4]) < 0.1


def test_impact_is_the_largest_of_the_last_tenth_of_a_second() -> None:
    drive = started(12, 1.0)
    hit = drive.now + 20 * MS
    drive.corrupt = lambda n, t, v: [v[0] - 80.0, *v[1:]] if n == "imu" and abs(t - hit) < 5 * MS else v
    drive.run(0.06)
    impact = drive.spec.state_layout["impact"].start
    assert 60.0 < drive.values[-1][impact] < 95.0
    drive.run(0.12)
    assert drive.values[-1][impact] < 15.0
    drive.run(1.0)
    assert abs(drive.error()[3]) < 0.15


@pytest.mark.parametrize(
    "force, motion", [((-9.8, 0.0), (-9.8, 0.0)), ((0.0, 9.8), (0.0, 9.8)), ((-9.8, 0.0), (0.0, 0.0))]
)
def test_braking_and_cornering_are_not_a_tilt(
    force: tuple[float, float], motion: tuple[float, float]
) -> None:
    """For two seconds at 1 g; the last: with locked wheels, which tell nothing of it."""
    tilt = TiltFilter()
    for _ in range(100):
        tilt.update(0.01, (0.0, 0.0, 0.0), (0.0, 0.0, 9.8), (0.0, 0.0))
    for _ in range(200):
        tilt.update(0.01, (0.01, -0.01, 0.0), (*force, 9.8), motion)
        assert tilt.cosine > 0.99


@pytest.mark.parametrize("axis", [0, 1])
def test_a_flip_is_seen_within_half_a_second(axis: int) -> None:
    """A quarter turn about x or y in 0.4 s, then lying there."""
    tilt = TiltFilter()
    rate = [0.0, 0.0, 0.0]
    for k in range(300):
        angle = min(max(k - 100, 0) / 40, 1.0) * math.pi / 2
        rate[axis] = math.pi / 2 / 0.4 if 100 < k <= 140 else 0.0
        side = 9.8 * math.sin(angle)
        force = (0.0, side, 9.8 * math.cos(angle)) if axis == 0 else (-side, 0.0, 9.8 * math.cos(angle))
        tilt.update(0.01, (rate[0], rate[1], rate[2]), force, (0.0, 0.0))
        assert tilt.cosine == pytest.approx(math.cos(angle), abs=0.05)


def test_a_heading_is_followed_while_the_car_is_held_on_its_side() -> None:
    """Tilted by 60 degrees about x, the car is turned about the vertical: y and z share the rate."""
    tilt = TiltFilter()
    roll = math.radians(60)
    up = (0.0, math.sin(roll), math.cos(roll))
    for _ in range(1000):
        tilt.update(0.01, (0.0, 0.0, 0.0), (0.0, 9.8 * up[1], 9.8 * up[2]), (0.0, 0.0))
    assert tilt.turn_rate(0.7 * up[1], 0.7 * up[2]) == pytest.approx(0.7, rel=1e-3)


@pytest.mark.parametrize(
    "options", [{"start_headin": 0.0}, {"start_heading_sigma": 0.0}, {"start_heading": "north"}]
)
def test_a_wrong_option_is_named(options: dict[str, object]) -> None:
    with pytest.raises(SpecError, match="start_heading"):
        AckermannEstimator(racer(**options))  # type: ignore[arg-type]


def test_standing_still_shows_the_gyroscope_bias() -> None:
    for seed in range(4):
        drive = started(seed, 0.0)
        drive.run(4.0, standing=True)
        assert drive.deviation[-1][6] < 0.0015 and abs(drive.error()[6]) < 4 * drive.deviation[-1][6]


def test_the_published_heading_stays_within_half_a_turn() -> None:
    drive = Drive(racer(start_heading=3.0), 2, heading=3.0)
    drive.target = lambda: (2.0, 0.25)  # type: ignore[method-assign]
    drive.run(8.0)
    headings = np.array(drive.values)[:, 2]
    assert np.all(np.abs(headings) <= math.pi) and headings.min() < -3.0 and headings.max() > 3.0
    assert abs(drive.error()[2]) < 4 * drive.deviation[-1][2]


def moving_filter() -> PlanarFilter:
    """A filter in the midst of a bend, every state off zero."""
    planar = PlanarFilter(Noise(1e-3, 0.14, 10.0, 0.02, 1.0, 0.01, 20.0), np.full(N, 0.1))
    planar.x[:] = (1.0, -2.0, 0.7, 3.0, -0.4, 0.02, 0.1, -0.2, 0.03, 0.01, -0.02)
    planar.predict(TICK, Inputs(2.5, 1.0, 6.0, 0.0, 0.0))
    return planar


def after(x: np.ndarray, inputs: Inputs, P: np.ndarray | None = None) -> PlanarFilter:
    """One step from a state, without initial covariance unless given."""
    planar = moving_filter()
    planar.x[:] = x
    planar.P[:] = 0.0 if P is None else P
    planar.predict(2 * TICK, inputs)
    return planar


def test_the_prediction_of_the_covariance_is_the_derivative_of_the_state() -> None:
    """Against central differences, by state and by noisy inputs. The step leaves out terms of dt^2."""
    x0, inputs = moving_filter().x.copy(), Inputs(2.5, 1.0, 6.0, 0.0, 0.0)
    noise = after(x0, inputs).P
    by_state = np.column_stack(
        [(after(x0 + h, inputs).x - after(x0 - h, inputs).x) / 2e-5 for h in np.eye(N) * 1e-5]
    )
    rng = np.random.default_rng(1)
    root = rng.normal(size=(N, N))
    P = root @ root.T
    np.testing.assert_allclose(after(x0, inputs, P).P - noise, by_state @ P @ by_state.T, atol=4e-3)
    rate = np.array([1e-5, 0.0, 0.0, 0.0, 0.0])
    up, down = (after(x0, Inputs(*(np.array(inputs) + sign * rate))).x for sign in (1, -1))
    effect = (up - down) / 2e-5
    added = after(x0, inputs._replace(rate_sigma=0.3)).P - noise
    np.testing.assert_allclose(added, 0.09 * np.outer(effect, effect), atol=2e-7)
    added = after(x0, inputs._replace(acceleration_sigma=0.5)).P - noise
    np.testing.assert_allclose(np.diag(added), 0.25e-4 * np.isin(np.arange(N), (VX, VY)), atol=1e-12)


def linearised(planar: PlanarFilter, correction: Correction) -> tuple[np.ndarray, np.ndarray]:
    """What a correction hands to the filter: innovation (m,) and derivative (m, N)."""
    caught: list[tuple[np.ndarray, np.ndarray]] = []

    def vector(innovations: Sequence[float], rows: Sequence[Row], *given: object) -> bool:
        H = np.zeros((len(rows), N))
        for k, row in enumerate(rows):
            for index, value in row:
                H[k, index] = value
        caught.append((np.array(innovations), H))
        return True

    def scalar(innovation: float, sigma: float, row: Row, bound: float) -> None:
        vector((innovation,), (row,))

    planar.scalar = scalar  # type: ignore[method-assign]
    planar.vector = vector  # type: ignore[method-assign]
    correction.apply(planar, math.inf)
    return caught[0]


@pytest.mark.parametrize(
    "correction",
    [
        WheelSpeed(2.0, 0.1),
        RollingStraight(2.0, 0.17, 0.1),
        StillGyroscope(0.01, 0.1),
        Position(TICK - 4 * MS, 1.0, -2.0, 1e-4, (0.1, -0.05), True),
        Position(TICK + 4 * MS, 1.0, -2.0, 1e-4, (0.1, -0.05), False),
        Velocity(2.0, 2.0, 0.01, (0.1, -0.05)),
        Pose(TICK - 4 * MS, 1.0, -2.0, 0.5, (1e-4, 1e-4, 1e-4)),
    ],
    ids=lambda c: type(c).__name__,
)
def test_corrections_hand_over_the_derivative_of_their_prediction(correction: Correction) -> None:
    """Against central differences. The gyroscope bias moves a lever's velocity by centimetres per rad/s, and
    the arc by less: left out."""
    planar = moving_filter()
    x0 = planar.x.copy()
    _, H = linearised(planar, correction)
    for k in range(N):
        sides = []
        for sign in (1.0, -1.0):
            planar.x[:] = x0
            planar.x[k] += sign * 1e-6
            sides.append(linearised(planar, correction)[0])
        np.testing.assert_allclose(H[:, k], -(sides[0] - sides[1]) / 2e-6, atol=0.12 if k == GYRO else 1e-4)


@pytest.mark.parametrize("early", [4, -4])
def test_a_fix_between_two_steps_is_compared_on_the_arc(early: int) -> None:
    """In a steady turn the residual of the true position at another time is zero."""
    planar = PlanarFilter(Noise(0.0, 0.1, 10.0, 0.02, 1.0, 0.01, 20.0), np.full(N, 0.1))
    rate, speed = 8.0, 3.0
    planar.x[VX] = speed
    planar.start(-TICK)
    planar.predict(0, Inputs(rate, 0.0, rate * speed, 0.0, 0.0))
    x, y, yaw = planar.x[:3].tolist()
    dt = -early * 1e-3
    chord, half = 2 * speed / rate * math.sin(rate * dt / 2), rate * dt / 2
    true = (x + chord * math.cos(yaw + half), y + chord * math.sin(yaw + half))
    residual, _ = Position(round(dt * 1e9), *true, 1e-4, (0.0, 0.0), False).residual(planar)
    assert np.abs(residual).max() < 5e-6  # 48 um off if the arc were straight
