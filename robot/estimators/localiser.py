"""Where the car is in the world: position fixes, velocity fixes and poses into the filter.

It knows three things the filter cannot: that a car at rest has no heading until it has moved (or somebody
says so), that a fix may be wrong, and that the car may have been picked up and put elsewhere.
"""

from __future__ import annotations

import math

from robot.estimators.alignment import CourseAlignment
from robot.estimators.corrections import Pose, Position, Velocity
from robot.estimators.planar_filter import OX, OY, VX, VY, YAW, PlanarFilter, X, Y

UNKNOWN_HEADING = math.pi / math.sqrt(3.0)
"""[rad]: the deviation of a uniform heading."""
GATE_2, GATE_3 = 20.0, 23.0
"""Squared Mahalanobis distance in two and three dimensions that one good measurement in 20,000 exceeds."""
REJECTED_S = 1.0
"""[s] of nothing but rejections after which the filter is at fault, not the fixes."""
AGAIN_S = 0.3
"""[s] likewise while the car is still being carried."""
CARRIED_S = 3.0
"""[s] within which relocations belong to one carrying."""
LOST_S = 2.0
"""[s] of rejections on a rolling car that no shift explains: the heading is wrong."""
SHIFT_SPREAD = 0.3
"""[m] within which residuals count as one shift."""
ROLLING = 0.3
"""[m/s] of speed by wheels and inertia from which the car rolls."""
CARRIED_SIGMA = 0.2
"""[rad] that the heading loses while the car is carried, though the gyroscope follows."""
DISTRUST_S = 0.5
"""[s] of rejections after which the estimate may not be relied on."""
SETTLE_S = 1.0
"""[s] after a relocation in which it may not either: the car may still be in somebody's hands."""
LATENESS_S = 0.1
"""[s]: about how much later a fix arrives than it was taken."""


class Localiser:
    """Feeds a PlanarFilter. ``placed``: it has a position; ``aligned``: it has a heading; ``rejected``: how
    many measurements were refused; ``relocations``: how often the position was taken anew."""

    def __init__(self, planar: PlanarFilter, heading: float | None, heading_sigma: float) -> None:
        """``heading`` [rad]: how a person has put the car down, None if nobody has said."""
        self.placed = False
        self.aligned = False
        self.rejected = 0
        self.relocations = 0
        self._planar = planar
        self._prior = heading_sigma**2 if heading is not None else None
        if heading is not None:
            planar.x[YAW] = heading
        self._alignment = CourseAlignment()
        self._streak_ns: int | None = None
        self._streak_count = 0
        self._anchor = (0.0, 0.0)
        self._spread = 0.0
        self._rolled = False
        self._relocated_ns: int | None = None

    def trusted(self, now_ns: int) -> bool:
        """Whether the position has neither been contradicted for some time nor been taken anew just now."""
        doubted = self._streak_ns is not None and now_ns - self._streak_ns > DISTRUST_S * 1e9
        moved = self._relocated_ns is not None and now_ns - self._relocated_ns < SETTLE_S * 1e9
        return self.placed and self.aligned and not doubted and not moved

    def satellites(self, fix: Position, velocity: Velocity) -> tuple[bool, bool]:
        """Position and velocity of one fix. Returns for each whether it was used."""
        planar = self._planar
        step = planar.step_at(fix.time_ns)
        if step is None:
            return False, False
        if self.aligned:
            position_taken, velocity_taken = planar.correct_late(step, (fix, velocity), GATE_2)
            self.rejected += not velocity_taken
            self._judge(fix, position_taken)
            return position_taken, velocity_taken
        state = planar.at(step)[1]
        found = self._alignment.course(velocity, float(state[YAW]), float(state[VX]), float(state[VY]))
        yaw_variance = UNKNOWN_HEADING**2
        if self._prior is not None:
            yaw_variance, self.aligned, self._prior = self._prior, True, None
        elif found is not None:
            yaw_variance = found[1]
            self._turn(*found)
        self._shift(fix, yaw_variance)
        return True, True

    def pose(self, pose: Pose) -> bool:
        """Returns whether it was used."""
        planar = self._planar
        fix = Position(pose.time_ns, pose.x, pose.y, max(pose.variance[:2]), (0.0, 0.0), False)
        if self.aligned:
            step = planar.step_at(pose.time_ns)
            if step is None:
                return False
            taken = planar.correct_late(step, (pose,), GATE_3)[0]
            if not self._judge(fix, taken):
                return taken
        turn = planar.inputs.rate * LATENESS_S
        self._turn(pose.residual(planar)[0][2], pose.variance[2] + turn * turn)
        self._shift(fix, pose.variance[2] + turn * turn)
        return True

    def _turn(self, angle: float, variance: float) -> None:
        """Turn the heading by an angle [rad]; its error starts anew."""
        planar = self._planar
        planar.x[YAW] += angle
        planar.P[YAW, :] = 0.0
        planar.P[:, YAW] = 0.0
        planar.P[YAW, YAW] = variance
        planar.forget()
        self.aligned = True

    def _shift(self, fix: Position, yaw_variance: float) -> None:
        """Put the newest step where a fix says, carried on along the newest velocity."""
        planar = self._planar
        rx, ry = fix.residual(planar)[0]
        offset = planar.offset**2 if fix.satellite else 0.0
        moved = LATENESS_S * math.hypot(float(planar.x[VX]), float(planar.x[VY]))
        variance = fix.variance + offset + (moved * min(math.sqrt(yaw_variance), 1.0)) ** 2
        x, y = float(planar.x[X]) + rx, float(planar.x[Y]) + ry
        if fix.satellite:  # the estimate of the slow error is dropped
            x, y = x + float(planar.x[OX]), y + float(planar.x[OY])
        planar.place(x, y, variance, offset, yaw_variance)
        self.placed = True

    def _judge(self, fix: Position, taken: bool) -> bool:
        """Keep count of rejected positions; after enough of them move the filter. Returns whether it did."""
        if taken:
            self._streak_ns = None
            return False
        self.rejected += 1
        planar, time_ns = self._planar, fix.time_ns
        rx, ry = fix.residual(planar)[0]
        if self._streak_ns is None:
            self._streak_ns, self._streak_count = time_ns, 0
            self._anchor, self._spread, self._rolled = (rx, ry), 0.0, False
        self._streak_count += 1
        self._spread = max(self._spread, math.hypot(rx - self._anchor[0], ry - self._anchor[1]))
        self._rolled = self._rolled or abs(float(planar.x[VX])) > ROLLING
        seconds = (time_ns - self._streak_ns) * 1e-9
        again = self._relocated_ns is not None and time_ns - self._relocated_ns < CARRIED_S * 1e9
        if self._streak_count < 4 or seconds < (AGAIN_S if again else REJECTED_S):
            return False
        if self._rolled and self._spread > SHIFT_SPREAD:
            if seconds < LOST_S:
                return False
            yaw_variance, self.aligned = UNKNOWN_HEADING**2, False
        else:
            yaw_variance = float(planar.P[YAW, YAW]) + (0.0 if again else CARRIED_SIGMA**2)
        self._shift(fix, min(yaw_variance, UNKNOWN_HEADING**2))
        self.relocations += 1
        self._relocated_ns = time_ns
        self._streak_ns = None
        return True
