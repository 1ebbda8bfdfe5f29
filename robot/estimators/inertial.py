"""The IMU drives the planar filter, one prediction step per sample. Without it steering and wheels must do.

Samples are averaged over each step (trapezoid), moved to the centre of mass, and trusted the less the more
they jump: at 100 Hz an impact happens between samples.
"""

from __future__ import annotations

import math
from collections import deque

from robot.estimators.corrections import StillGyroscope
from robot.estimators.intake import Intake
from robot.estimators.planar_filter import AX, AY, GYRO, VX, VY, Inputs, PlanarFilter
from robot.estimators.tilt import TiltFilter
from robot.estimators.wheels import Wheels
from robot.gravity import STANDARD_GRAVITY
from robot.interface import Measurements
from robot.spec import RobotSpec

GAP_NS = 30_000_000
"""[ns] without a sample before the car is predicted from wheels and steering."""
LAG_NS = 10_000_000
"""[ns] behind now that this prediction stays, so that a sample that is just late still counts."""
BLIND_RATE = 0.5
"""[rad/s]: how well steering and speed tell the yaw rate."""
BLIND_FORCE = 3.0
"""[m/s^2]: how well nothing tells the acceleration."""
BLIND_TIME = 0.3
"""[s]: correlation time of both."""
BLIND_LATERAL = 8.0
"""[m/s^2] of lateral acceleration beyond which steering is not followed (tyre_friction and a margin)."""
FROZEN_SAMPLES = 10
"""Identical samples in a row before the sensor counts as dead: its noise always moves the last digit."""
JUMP_RATIO = 0.5
"""[1] of the change since the last sample: what an impact between samples may have added."""
TURN_JUMP = 0.3
"""[rad/s] of change from sample to sample (30 rad/s^2) beyond which the same holds for the yaw rate."""
HIT = 20.0
"""[m/s^2] of horizontal specific force: twice what tyres can do, so something else did it."""
IMPACT_NS = 100_000_000
"""[ns] over which ``impact`` takes the largest horizontal specific force."""
STILL_S = 0.5
"""[s] without wheel or body motion before the gyroscope is read as bias."""
STILL_RATE = 0.03
"""[rad/s] beyond which a car with its wheels at rest is being turned."""
LEVEL = 0.9
"""[1]: cosine of tilt below which the car is in the air or on its side and no planar model holds."""


class Inertial:
    """``force`` [m/s^2]: newest specific force, as measured. ``rate`` [rad/s]: newest yaw rate, bias
    included, and ``rate_slope`` [rad/s^2] its change. ``tilt``: which way is up."""

    def __init__(self, spec: RobotSpec, intake: Intake, planar: PlanarFilter, wheels: Wheels) -> None:
        layout = next(s for s in spec.sensors if s.name == "imu").layout
        self._force = layout["specific_force"]
        self._turn = layout["angular_velocity"]
        self._intake, self._planar, self._wheels = intake, planar, wheels
        self._x, self._y, _ = spec.vector("imu_position")
        self._rate_sigma = spec.scalar("gyroscope_noise")
        self._force_sigma = spec.scalar("accelerometer_noise")
        self._wheelbase = spec.scalar("wheelbase")
        self._sample = (0.0, 0.0, STANDARD_GRAVITY, 0.0, 0.0, 0.0)
        self._frozen = 0
        self._still_ns: int | None = None
        self._impacts: deque[tuple[int, float]] = deque()  # each larger than all after it
        self.time_ns = 0
        self.tilt = TiltFilter()
        self.rate = 0.0
        self.rate_slope = 0.0

    @property
    def force(self) -> tuple[float, float, float]:
        return self._sample[:3]

    def recent(self, now_ns: int) -> bool:
        """Whether the newest sample describes now."""
        return now_ns - self.time_ns < GAP_NS

    def impact(self, now_ns: int) -> float:
        """Largest horizontal specific force of the last 0.1 s [m/s^2]."""
        impacts = self._impacts
        while impacts and impacts[0][0] < now_ns - IMPACT_NS:
            impacts.popleft()
        return impacts[0][1] if impacts else 0.0

    def _feel(self, time_ns: int, force: float) -> None:
        impacts = self._impacts
        while impacts and impacts[-1][1] <= force:
            impacts.pop()
        impacts.append((time_ns, force))

    def take(self, now_ns: int, measurements: Measurements, steering: float) -> None:
        """Advance the filter by the newest sample, or without one if it has been missing for long.
        ``steering`` [rad]: where the front wheels should be."""
        time_ns = self._intake.take("imu", now_ns, self.time_ns, measurements)
        if time_ns:
            values = measurements.values("imu")
            fx, fy, fz = values[self._force].tolist()
            wx, wy, wz = values[self._turn].tolist()
            self._use(time_ns, (fx, fy, fz, wx, wy, wz))
        if now_ns - self._planar.time_ns > GAP_NS:
            self._predict_blind(now_ns, steering)

    def _use(self, time_ns: int, sample: tuple[float, float, float, float, float, float]) -> None:
        fx, fy, fz, wx, wy, wz = sample
        if not (abs(fx) + abs(fy) + abs(fz) < 1000.0 and abs(wx) + abs(wy) + abs(wz) < 150.0):
            self._intake.refuse("imu_not_plausible")
            return
        self._frozen = self._frozen + 1 if sample == self._sample else 0
        if self._frozen >= FROZEN_SAMPLES:
            self._intake.refuse("imu_frozen")
            return
        px, py, _, _, pwy, pwz = self._sample
        dt = (time_ns - self.time_ns) * 1e-9
        recent = dt < GAP_NS * 1e-9
        self._sample, self.time_ns = sample, time_ns
        self._feel(time_ns, math.hypot(fx, fy))
        wheels, planar, tilt = self._wheels, self._planar, self.tilt
        rate = tilt.turn_rate(wy, wz)
        tilt.update(min(dt, 0.1), (wx, wy, wz), (fx, fy, fz), (wheels.slope, rate * wheels.speed))
        self.rate_slope = (rate - self.rate) / dt if recent else 0.0
        self.rate = rate
        if time_ns <= planar.time_ns:
            return
        mean_rate, mean_x, mean_y = rate, fx, fy
        if recent:
            mean_rate = 0.5 * (tilt.turn_rate(pwy, pwz) + rate)
            mean_x, mean_y = 0.5 * (px + fx), 0.5 * (py + fy)
        square, slope = mean_rate * mean_rate, self.rate_slope
        mean_x += square * self._x + slope * self._y
        mean_y += square * self._y - slope * self._x
        if math.hypot(fx, fy) > HIT:
            wheels.lose_grip()
        jump = abs(fx - px) + abs(fy - py) if recent else abs(fx) + abs(fy)
        turned = JUMP_RATIO * max(0.0, abs(self.rate_slope) * dt - TURN_JUMP)
        sigma = math.hypot(self._force_sigma, JUMP_RATIO * max(0.0, jump - 4.0 * self._force_sigma))
        if tilt.cosine < LEVEL:
            sigma += STANDARD_GRAVITY
        planar.predict(time_ns, Inputs(mean_rate, mean_x, mean_y, self._rate_sigma + turned, sigma))
        wheels.compare(min(dt, 0.1), mean_x)
        self._read_bias(time_ns, jump)

    def _read_bias(self, time_ns: int, jump: float) -> None:
        """At rest the gyroscope shows its bias."""
        planar = self._planar
        excess = self.rate - float(planar.x[GYRO])
        moving = abs(self._wheels.speed) > 0.01 or abs(float(planar.x[VX])) > 0.1 or abs(excess) > STILL_RATE
        if moving or jump > 10.0 * self._force_sigma:
            self._still_ns = None
        elif self._still_ns is None:
            self._still_ns = time_ns
        elif time_ns - self._still_ns > STILL_S * 1e9:
            planar.correct(StillGyroscope(self.rate, 3.0 * self._rate_sigma))

    def _predict_blind(self, now_ns: int, steering: float) -> None:
        """Keep the speed and turn as steering and wheels say; at most four steps however long the gap."""
        planar = self._planar
        gap = now_ns - LAG_NS - planar.time_ns
        steps = min(4, 1 + gap // 50_000_000)
        for k in range(steps):
            time_ns = planar.time_ns + gap // steps if k + 1 < steps else now_ns - LAG_NS
            white = math.sqrt(BLIND_TIME * 1e9 / (time_ns - planar.time_ns))
            vx, vy = float(planar.x[VX]), float(planar.x[VY])
            most = BLIND_LATERAL / max(abs(vx), 0.1)
            rate = max(-most, min(most, vx * math.tan(steering) / self._wheelbase))
            self.rate, self.rate_slope = rate + float(planar.x[GYRO]), 0.0
            ax, ay = float(planar.x[AX]) - rate * vy, float(planar.x[AY]) + rate * vx
            part = white * min(1.0, 0.1 + abs(vx))
            planar.predict(time_ns, Inputs(self.rate, ax, ay, BLIND_RATE * part, BLIND_FORCE * part))
        self._still_ns = None
