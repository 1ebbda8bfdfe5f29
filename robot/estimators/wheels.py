"""Wheel speed into the planar filter: how fast the car rolls, how far to believe it, and straight ahead.

Tyres creep under load and slip when asked for too much. Creep that lasts is a state of the filter; a wheel
that accelerates otherwise than the car is distrusted in proportion.
"""

from __future__ import annotations

import math

from robot.estimators.corrections import RollingStraight, WheelSpeed
from robot.estimators.intake import Intake
from robot.estimators.planar_filter import SCALE, VX, VY, PlanarFilter
from robot.interface import Measurements
from robot.spec import RobotSpec

SIGMA = 0.03
"""[m/s] of one sample; the sensorless observer's noise at low speed and the drive train's backlash."""
RELATIVE = 0.03
"""[1] of the speed: load changes faster than creep is followed. Errors repeat from sample to sample, so it is
generous."""
SLIP_RATIO = 0.15
"""[s]: deviation per m/s^2 by which wheel and car accelerate differently."""
SLIP_FLOOR = 1.5
"""[m/s^2] of difference that is only noise."""
SLIP_TIME = 0.1
"""[s]: time constant of that difference."""
SLOPE_TIME = 0.03
"""[s]: time constant of the wheels' acceleration."""
GRIP_SIGMA = 0.3
"""[m/s] of a sample while the wheels do not grip,"""
GRIP_RATIO = 0.5
"""[1] and of the faster of wheels and car: satellites and accelerometer then decide, and without satellites
the wheels win in a second or two."""
LOST_S = 0.05
"""[s] of samples beyond three deviations after which the wheels do not grip,"""
FOUND_S = 0.2
"""[s] and of samples within two until they grip again."""
LATERAL_RATIO = 0.03
"""[s]: deviation per m/s^2 of lateral acceleration beyond ``SLIP_FLOOR``."""
SIDE_SIGMA = 0.05
"""[m/s]: the rear axle's sideways speed when it rolls."""
SIDE_RATIO = 0.06
"""[s]: and per m/s^2 of lateral acceleration: 0.2 rad of slip angle at 3 m/s and 1 g, the whole of a tyre."""
SIDE_SLIP = 0.1
"""[s]: and per m/s^2 by which wheel and car accelerate differently."""
SPIN_SHARE = 0.25
"""[1] of the yaw rate that the steering makes of the speed, and"""
SPIN_FLOOR = 0.1
"""[rad/s]: a car that turns otherwise by more slides, along a wall perhaps, or is in somebody's hands."""
SPIN_RATIO = 0.5
"""[m]: deviation of the rear axle's sideways speed per rad/s beyond that."""
SIDE_TICKS = 5
"""Samples between two uses of the rolling constraint; its error does not change faster."""
FASTEST = 50.0
"""[m/s] beyond which a sample is not a car's."""


class Wheels:
    """``speed`` [m/s] and ``slope`` [m/s^2] of the driven wheels; ``mismatch`` [m/s^2]: their acceleration
    less the car's."""

    def __init__(self, spec: RobotSpec, intake: Intake, planar: PlanarFilter) -> None:
        self._intake = intake
        self._planar = planar
        self._erpm = next(s for s in spec.sensors if s.name == "drive").layout.index("erpm")
        self._erpm_per_speed = spec.scalar("erpm_per_speed")
        self._rear = spec.scalar("rear_axle")
        self._wheelbase = spec.scalar("wheelbase")
        self._time_ns = 0
        self._tick = 0
        self.speed = 0.0
        self.slope = 0.0
        self.mismatch = 0.0
        self._grip = True
        self._since = 0.0  # s for which the samples have contradicted that

    def lose_grip(self) -> None:
        """After an impact the wheels may turn while the car stands."""
        self._grip, self._since = False, 0.0

    def compare(self, dt: float, acceleration: float) -> None:
        """Follow the difference to the car's own forward acceleration [m/s^2] over ``dt`` [s]."""
        self.mismatch += (self.slope - acceleration - self.mismatch) * min(dt / SLIP_TIME, 1.0)

    def take(self, now_ns: int, measurements: Measurements, measured_rate: float, steering: float) -> None:
        """Use the newest sample if there is one; ``measured_rate``: the newest yaw rate, bias included;
        ``steering`` [rad]: where the front wheels should be."""
        time_ns = self._intake.take("drive", now_ns, self._time_ns, measurements)
        if not time_ns:
            return
        speed = float(measurements.values("drive")[self._erpm]) / self._erpm_per_speed
        if not abs(speed) < FASTEST:
            self._intake.refuse("drive_not_plausible")
            return
        dt = (time_ns - self._time_ns) * 1e-9
        slope = (speed - self.speed) / dt if dt < 0.1 else 0.0
        self.slope += (slope - self.slope) * min(dt / SLOPE_TIME, 1.0)
        self.speed, self._time_ns = speed, time_ns
        slip = max(0.0, abs(self.mismatch) - SLIP_FLOOR)
        lateral = abs(measured_rate * speed)
        sigma = (
            SIGMA + RELATIVE * abs(speed) + SLIP_RATIO * slip + LATERAL_RATIO * max(0.0, lateral - SLIP_FLOOR)
        )
        planar = self._planar
        at_step = speed + self.slope * (planar.time_ns - time_ns) * 1e-9
        planar.correct(WheelSpeed(at_step, self._with_grip(at_step, sigma, min(dt, 0.1))))
        self._tick += 1
        if self._tick >= SIDE_TICKS:
            self._tick = 0
            turn = speed * math.tan(steering) / self._wheelbase
            spin = max(0.0, abs(measured_rate - turn) - SPIN_SHARE * abs(turn) - SPIN_FLOOR)
            sigma = SIDE_SIGMA + SIDE_RATIO * lateral + SIDE_SLIP * slip + SPIN_RATIO * spin
            if not self._grip:
                sigma += self._adrift(speed, math.hypot(float(planar.x[VX]), float(planar.x[VY])))
            planar.correct(RollingStraight(measured_rate, self._rear, sigma))

    @staticmethod
    def _adrift(wheels: float, car: float) -> float:
        """What the deviation [m/s] of a sample grows by while the wheels do not grip."""
        return GRIP_SIGMA + GRIP_RATIO * max(abs(wheels), abs(car))

    def _with_grip(self, speed: float, sigma: float, dt: float) -> float:
        """The deviation [m/s] to use for a sample, from the one it has when the wheels grip."""
        x = self._planar.x
        vx = float(x[VX])
        apart = abs(speed - vx * (1.0 + float(x[SCALE])))
        contradicted = apart > 3.0 * sigma if self._grip else apart < 2.0 * sigma
        self._since = self._since + dt if contradicted else 0.0
        if self._since > (LOST_S if self._grip else FOUND_S):
            self._grip, self._since = not self._grip, 0.0
        return sigma if self._grip else sigma + self._adrift(speed, vx)
