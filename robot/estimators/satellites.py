"""Satellite fixes into the localiser: which to use, and how far to believe them.

The error of a position is split in two: a slow part (multipath, atmosphere) that is a Gauss-Markov state of
the filter, and a part that is new with every epoch. A hundred fixes in ten seconds then count as the few
independent ones that they are, and the filter's position never claims to be better than the slow part.
"""

from __future__ import annotations

import math

from robot.estimators.corrections import Position, Velocity
from robot.estimators.intake import Intake
from robot.estimators.localiser import Localiser
from robot.estimators.planar_filter import OX, OY, PlanarFilter
from robot.interface import Measurements
from robot.spec import RobotSpec

TIMING = 0.001
"""[s]: how well the time of a fix is known after the link."""
WORST = 20.0
"""[m], [m/s] of claimed accuracy beyond which a fix says nothing."""
EPOCH_PART = 0.3
"""[1]: of an error larger than the calibrated one, what is new with every epoch."""
USED = (3.0, 4.0)
"""u-blox fix types: three-dimensional, and with dead reckoning. 5 is time only, 2 has no height."""
FIELDS = (
    *("position_world_x", "position_world_y", "velocity_world_x", "velocity_world_y"),
    *("horizontal_accuracy", "speed_accuracy", "fix_type"),
)


class Satellites:
    """Takes the ``gnss`` sensor of a robot that has one."""

    def __init__(self, spec: RobotSpec, intake: Intake, planar: PlanarFilter, localiser: Localiser) -> None:
        sensor = next((s for s in spec.sensors if s.name == "gnss"), None)
        self._index = [sensor.layout.index(f) for f in FIELDS] if sensor is not None else []
        self._intake, self._planar, self._localiser = intake, planar, localiser
        x, y, _ = spec.vector("gnss_antenna")
        self._lever = (x, y)
        self._white = spec.scalar("gnss_white_noise")
        self._slow = spec.scalar("gnss_noise")
        self._velocity = spec.scalar("gnss_velocity_noise")
        self._time_ns = 0
        self._fix: tuple[float, ...] = ()

    def take(self, now_ns: int, measurements: Measurements) -> None:
        """Use the newest fix if there is one."""
        if not self._index:
            return
        intake, localiser = self._intake, self._localiser
        time_ns = intake.take("gnss", now_ns, self._time_ns, measurements)
        if not time_ns:
            return
        values = measurements.values("gnss").tolist()
        px, py, vx, vy, accuracy, speed_accuracy, kind = fix = tuple(values[i] for i in self._index)
        if not (abs(px) + abs(py) < 1e6 and abs(vx) + abs(vy) < 100.0):  # false for NaN too
            intake.refuse("gnss_not_plausible")
            return
        self._time_ns = time_ns
        if kind not in USED or not (0.0 <= accuracy < WORST and 0.0 <= speed_accuracy < WORST):
            intake.refuse("gnss_no_fix")
            return
        if fix == self._fix:  # at rest too the last digit moves
            intake.refuse("gnss_frozen")
            return
        self._fix = fix
        axis = accuracy / math.sqrt(2.0)  # claimed for the plane
        white, slow = self._white, self._slow
        if axis > 1.5 * math.hypot(white, slow):
            white, slow = max(white, EPOCH_PART * axis), axis
        self._set_quality(slow)
        blur = TIMING * math.hypot(vx, vy)
        sigma = speed_accuracy if speed_accuracy > 3.0 * self._velocity else self._velocity
        position_taken, velocity_taken = localiser.satellites(
            Position(time_ns, px, py, white * white + blur * blur, self._lever, True),
            Velocity(vx, vy, sigma * sigma, self._lever),
        )
        if not position_taken:
            intake.refuse("gnss_position_rejected")
        if not velocity_taken:
            intake.refuse("gnss_velocity_rejected")

    def _set_quality(self, slow: float) -> None:
        """Another quality of fix has another slow error [m]: start it anew."""
        planar = self._planar
        if 0.67 < slow / planar.offset < 1.5:
            return
        planar.offset = slow
        for index in (OX, OY):
            planar.P[index, :] = 0.0
            planar.P[:, index] = 0.0
            planar.P[index, index] = slow * slow
            planar.x[index] = 0.0
        planar.forget()
