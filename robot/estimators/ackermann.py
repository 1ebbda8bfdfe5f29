"""The racer's state from wheel speed, IMU, satellite fixes and external poses, once a guardian tick.

The planar filter's newest step is the newest IMU sample; what is published is carried on from there to now.
Every sample is used once, at the time it was taken; one that is not finite, not plausible, not new, or frozen
never enters, and what is missing shows as growing deviation.
"""

from __future__ import annotations

import math
from collections import deque

import numpy as np
from numpy.typing import NDArray

from robot.errors import SpecError, nearest
from robot.estimators.corrections import Pose
from robot.estimators.inertial import BLIND_RATE, Inertial
from robot.estimators.intake import FUTURE_NS, Intake
from robot.estimators.localiser import UNKNOWN_HEADING, Localiser
from robot.estimators.planar_filter import (
    AX,
    AY,
    GYRO,
    OX,
    OY,
    SCALE,
    VX,
    VY,
    YAW,
    N,
    Noise,
    PlanarFilter,
    X,
    Y,
)
from robot.estimators.satellites import Satellites
from robot.estimators.wheels import Wheels
from robot.interface import Estimate, Measurements
from robot.spec import RobotSpec

Array = NDArray[np.float64]

STATE_FIELDS = {
    "position_world": 2,
    "heading": 1,
    "velocity_body": 2,
    "yaw_rate": 1,
    "gyro_bias": 1,
    "specific_force": 3,
    "impact": 1,
    "upright": 1,
}
OPTIONS = ("start_heading", "start_heading_sigma", "converged_heading", "converged_position")
CONVERGED_HEADING = 0.25
"""[rad]: the first metre of driving settles the rest; a car put down by eye (0.2 rad) may start."""
CONVERGED_POSITION = 0.2
"""[m], a fifth of a lane."""
LOST_RATIO = 2.5
"""Once converged, deviations may grow by this before it is lost: five seconds without satellites must not
stop a car that dead-reckons well."""

UNKNOWN_POSITION = 1000.0
"""[m]"""
UNKNOWN_SPEED = 0.5
"""[m/s]: a car that is switched on while it is pushed."""
SLOPE = 0.1
"""[m/s^2]: a floor's slope of 1 % as the accelerometer sees it."""
SLOPE_TIME = 10.0
"""[s]: how long the car stays on one slope, or leans one way."""
CREEP = 0.02
"""[1]: tyre creep under drive torque, and the front wheels' longer way in a turn (1/cos(0.26) is 3 %)."""
CREEP_TIME = 1.0
"""[s]: about as long as a corner lasts."""
OLDEST_POSE_NS = 250_000_000
"""[ns]: the filter's memory."""


class AckermannEstimator:
    """Estimator of a car with wheel speed (``drive``), ``imu``, optionally ``gnss``, and external poses.

    Options (``estimator.options``): ``start_heading`` [rad] with ``start_heading_sigma`` [rad] (0.2): how a
    person puts the car on its start line; without it the heading is unknown until the car has moved under
    satellites or a pose has come. ``converged_heading`` [rad], ``converged_position`` [m]: deviations below
    which ``converged`` is set.
    """

    def __init__(self, spec: RobotSpec) -> None:
        options = _checked(spec)
        self._planar = planar = _filter(spec)
        self._intake = intake = Intake()
        heading = options.get("start_heading")
        sigma = options.get("start_heading_sigma", 0.2)
        self._localiser = Localiser(planar, heading, sigma)
        self._wheels = Wheels(spec, intake, planar)
        self._inertial = Inertial(spec, intake, planar, self._wheels)
        self._satellites = Satellites(spec, intake, planar, self._localiser)
        self._heading_limit = options.get("converged_heading", CONVERGED_HEADING)
        self._position_limit = options.get("converged_position", CONVERGED_POSITION)
        self._steering = next((i for i, a in enumerate(spec.actuators) if a.name == "steering"), None)
        self._steering_gain = 1.0 / (1.0 + spec.scalar("steering_time_constant") * spec.rates.guardian_hz)
        self._rate_sigma = spec.scalar("gyroscope_noise")
        self._force_sigma = math.hypot(spec.scalar("accelerometer_noise"), spec.scalar("accelerometer_bias"))
        layout = spec.state_layout
        self._values: Array = np.zeros(layout.size)
        self._deviation: Array = np.zeros(layout.size)
        order = [i for name in STATE_FIELDS for i in range(layout[name].start, layout[name].stop)]
        self._order: NDArray[np.intp] = np.array(order)
        self._poses: deque[tuple[int, tuple[float, ...], tuple[float, ...]]] = deque(maxlen=4)
        self._delta = 0.0
        self._started = False
        self._converged = False

    @property
    def covariance(self) -> Array:
        """Of x, y [m], heading [rad], velocity_body [m/s] at the newest IMU sample, shape (5, 5), a view."""
        return self._planar.P[:5, :5]

    @property
    def relocations(self) -> int:
        """How often the position was taken anew because fixes contradicted it for long."""
        return self._localiser.relocations

    @property
    def refused(self) -> dict[str, int]:
        """How many samples were not used, by reason."""
        return self._intake.refused

    def pose(self, time_ns: int, pose: Array, variance: Array) -> None:
        """Take an external pose: x, y [m], yaw [rad], with variances, captured at ``time_ns``. It is used in
        the next update; of more than four waiting the oldest are dropped."""
        z, r = tuple(float(v) for v in pose), tuple(float(v) for v in variance)
        if not (math.isfinite(sum(z)) and math.isfinite(sum(r)) and min(r) > 0.0):
            self._intake.refuse("pose_not_finite")
        else:
            self._poses.append((int(time_ns), z, r))

    def update(self, now_ns: int, measurements: Measurements, sent: Array) -> Estimate:
        """One tick. ``sent``: the setpoints that left in the previous tick, NaN where nothing went out."""
        if not self._started:
            self._started = True
            self._planar.start(now_ns - 20_000_000)
        if self._steering is not None:
            steering = float(sent[self._steering])
            if math.isfinite(steering):
                self._delta += (steering - self._delta) * self._steering_gain
        self._inertial.take(now_ns, measurements, self._delta)
        self._wheels.take(now_ns, measurements, self._inertial.rate, self._delta)
        self._satellites.take(now_ns, measurements)
        while self._poses:
            time_ns, z, r = self._poses.popleft()
            if not now_ns - OLDEST_POSE_NS < time_ns <= now_ns + FUTURE_NS:
                self._intake.refuse("pose_time")
            elif not self._localiser.pose(Pose(time_ns, z[0], z[1], z[2], (r[0], r[1], r[2]))):
                self._intake.refuse("pose_rejected")
        return self._publish(now_ns)

    def _publish(self, now_ns: int) -> Estimate:
        """Carry the newest step on to now."""
        planar, inertial = self._planar, self._inertial
        x, y, yaw, vx, vy, bias, bias_x, bias_y = planar.x.tolist()[:8]
        p = planar.P.diagonal().tolist()
        age = min(max((now_ns - planar.time_ns) * 1e-9, 0.0), 0.1)
        rate = inertial.rate - bias + inertial.rate_slope * 0.5 * age
        fx, fy, fz = inertial.force
        recent = inertial.recent(now_ns)
        ax, ay = (fx - bias_x + rate * vy, fy - bias_y - rate * vx) if recent else (0.0, 0.0)
        ax, ay = max(-10.0, min(10.0, ax)), max(-10.0, min(10.0, ay))  # an impact is over by now
        c, s = math.cos(yaw + 0.5 * rate * age), math.sin(yaw + 0.5 * rate * age)
        mx, my = vx + 0.5 * ax * age, vy + 0.5 * ay * age
        tilt = inertial.tilt
        self._values[self._order] = (
            *(x + (c * mx - s * my) * age, y + (s * mx + c * my) * age),
            math.remainder(yaw + rate * age, math.tau),
            *(vx + ax * age, vy + ay * age, rate, bias),
            *(fx, fy, fz, inertial.impact(now_ns), tilt.cosine),
        )
        # What may have changed since the newest step: acceleration by 1 m/s^2, yaw rate as it just did or by
        # 0.3 rad/s^2.
        moving = 1.0 if abs(vx) + abs(vy) > 0.05 else 0.0
        push = moving * age * age
        spin = ((0.5 * inertial.rate_slope) ** 2 + 0.09 * moving) * age * age
        rate_sigma = self._rate_sigma if recent else BLIND_RATE
        heading_variance = min(p[YAW], UNKNOWN_HEADING**2)
        sqrt, force = math.sqrt, self._force_sigma
        self._deviation[self._order] = (
            *(sqrt(p[X]), sqrt(p[Y]), sqrt(heading_variance), sqrt(p[VX] + push), sqrt(p[VY] + push)),
            *(sqrt(rate_sigma * rate_sigma + p[GYRO] + spin), sqrt(p[GYRO])),
            *(force, force, force, force, tilt.cosine_deviation),
        )
        slack = LOST_RATIO if self._converged else 1.0
        self._converged = (
            self._localiser.trusted(now_ns)
            and p[X] + p[Y] < (self._position_limit * slack) ** 2
            and heading_variance < (self._heading_limit * slack) ** 2
        )
        return Estimate(self._values, self._deviation, self._converged)


def _filter(spec: RobotSpec) -> PlanarFilter:
    """The planar filter with a robot's noise."""
    slow = spec.scalar("gnss_noise")
    slope = math.hypot(spec.scalar("accelerometer_bias"), SLOPE)
    scale = math.hypot(CREEP, spec.calibration["erpm_per_speed"].sigma / spec.scalar("erpm_per_speed"))
    deviation = np.zeros(N)
    deviation[[X, Y]] = UNKNOWN_POSITION
    deviation[YAW] = UNKNOWN_HEADING
    deviation[[VX, VY]] = UNKNOWN_SPEED
    deviation[GYRO] = spec.scalar("gyroscope_bias")
    deviation[[AX, AY]] = slope
    deviation[SCALE] = scale
    deviation[[OX, OY]] = slow
    noise = Noise(
        gyro_walk=spec.scalar("gyroscope_bias_walk"),
        accelerometer=slope,
        accelerometer_time=SLOPE_TIME,
        scale=scale,
        scale_time=CREEP_TIME,
        offset=slow,
        offset_time=spec.scalar("gnss_noise_time"),
    )
    return PlanarFilter(noise, deviation)


def _checked(spec: RobotSpec) -> dict[str, float]:
    """The options as numbers. Raises SpecError for what this estimator does not know or lacks."""
    layout = spec.state_layout
    for name, size in STATE_FIELDS.items():
        where = layout[name]
        if where.stop - where.start != size:
            raise SpecError(
                f"{spec.name}: state {name} needs {size} elements; got {where.stop - where.start}"
            )
    for name in ("drive", "imu"):
        if name not in (known := [s.name for s in spec.sensors]):
            raise SpecError(
                f"{spec.name}: the Ackermann estimator needs sensor {name!r}; {nearest(name, known)}"
            )
    options: dict[str, float] = {}
    for name, value in spec.estimator.options.items():
        if name not in OPTIONS:
            raise SpecError(f"{spec.name}: the estimator has no option {name!r}; {nearest(name, OPTIONS)}")
        if isinstance(value, str | bool) or not math.isfinite(value):
            raise SpecError(f"{spec.name}: estimator option {name} must be a number; got {value!r}")
        if name != "start_heading" and not value > 0.0:
            raise SpecError(f"{spec.name}: estimator option {name} must be above 0; got {value}")
        options[name] = float(value)
    return options
