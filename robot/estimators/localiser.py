"""Where the car is in the world: position fixes, velocity fixes and poses into the filter.

It knows three things the filter cannot: that a car at rest has no heading until it has moved (or somebody
says so), that a fix may be wrong, and that the car may have been picked up and put elsewhere.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from robot.estimators.planar_filter import OX, OY, VX, VY, YAW, N, PlanarFilter, X, Y

Array = NDArray[np.float64]

UNKNOWN_HEADING = math.pi / math.sqrt(3.0)
"""[rad]: the deviation of a uniform heading."""
GATES = {2: 20.0, 3: 23.0}
"""Squared Mahalanobis distance by dimension beyond which a measurement is refused: 1 in 20,000 by chance."""
ALIGN_SPEED = 0.4
"""[m/s] from which the course over ground tells the heading."""
ALIGN_SIGMA = 0.1
"""[rad] that the heading from the course over ground must reach."""
ALIGN_MODEL = 0.03
"""[rad]: side slip not known at low speed."""
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
"""[m/s] of wheel speed."""
CARRIED_SIGMA = 0.2
"""[rad] that the heading loses while being carried, gyroscope followed."""
BACK_S = 0.15
"""[s] by which a measurement may be older than one already fused (two sources with unlike delays)."""


class Localiser:
    """Feeds a PlanarFilter. ``placed``: it has a position; ``aligned``: it has a heading."""

    def __init__(self, planar: PlanarFilter, heading: float | None, heading_sigma: float) -> None:
        """``heading`` [rad]: how a person has put the car down, None if nobody has said."""
        self.planar = planar
        self.placed = False
        self.aligned = False
        self.rejected = 0
        self.relocations = 0
        self._prior = heading_sigma if heading is not None else None
        if heading is not None:
            planar.x[YAW] = heading
        self._sum = 0j
        self._weight = 0.0
        self._count = 0
        self._streak_ns: int | None = None
        self._streak_count = 0
        self._anchor = (0.0, 0.0)
        self._spread = 0.0
        self._rolled = False
        self._relocated_ns: int | None = None
        self._H2: Array = np.zeros((2, N))
        self._H3: Array = np.zeros((3, N))

    def rejected_for(self, now_ns: int) -> float:
        """How long nothing but rejected positions have come [s]."""
        return 0.0 if self._streak_ns is None else (now_ns - self._streak_ns) * 1e-9

    def position(
        self, time_ns: int, z: tuple[float, float], variance: float, lever: tuple[float, float], shared: bool
    ) -> bool:
        """A position [m] of a point ``lever`` [m] from the centre of mass, body frame, with its variance per
        axis; ``shared``: the satellites' slow error is in it. Returns whether it was used."""
        step = self._step(time_ns)
        if step is None:
            return False
        hx, hy, H = self._predicted(step, time_ns, lever)
        H[0, OX] = H[1, OY] = 1.0 if shared else 0.0
        planar = self.planar
        if shared:
            state = planar.at(step)[1]
            hx, hy = hx + float(state[OX]), hy + float(state[OY])
        residual = np.array([z[0] - hx, z[1] - hy])
        if not self.aligned:
            prior = None if self._prior is None else self._prior**2
            self._shift(residual, variance, shared, UNKNOWN_HEADING**2 if prior is None else prior)
            self.aligned = prior is not None
            self._prior = None
            return True
        taken, _ = planar.fuse(step, residual, H, np.eye(2) * variance, GATES[2])
        if taken:
            self._streak_ns = None
        else:
            self._refused(time_ns, residual, variance, shared)
        return taken

    def velocity(
        self, time_ns: int, z: tuple[float, float], variance: float, lever: tuple[float, float]
    ) -> bool:
        """A world-frame velocity [m/s] of the same point. Returns whether it was used."""
        step = self._step(time_ns)
        if step is None:
            return False
        planar = self.planar
        _, state, _ = planar.at(step)
        yaw, vx, vy = float(state[YAW]), float(state[VX]), float(state[VY])
        if not self.aligned:
            self._course(z, variance, yaw, vx, vy)
            return True
        rate = self._rate(step)
        bx, by = vx - rate * lever[1], vy + rate * lever[0]
        c, s = math.cos(yaw), math.sin(yaw)
        wx, wy = c * bx - s * by, s * bx + c * by
        H = self._H2
        H[:] = 0.0
        H[0, YAW], H[0, VX], H[0, VY] = -wy, c, -s
        H[1, YAW], H[1, VX], H[1, VY] = wx, s, c
        taken, _ = planar.fuse(step, np.array([z[0] - wx, z[1] - wy]), H, np.eye(2) * variance, GATES[2])
        self.rejected += not taken
        return taken

    def pose(
        self, time_ns: int, pose: tuple[float, float, float], variance: tuple[float, float, float]
    ) -> bool:
        """An external pose: x, y [m], yaw [rad], with variances. Returns whether it was used."""
        step = self._step(time_ns)
        if step is None:
            return False
        planar = self.planar
        hx, hy, H2 = self._predicted(step, time_ns, (0.0, 0.0))
        turn = self._rate(step) * (time_ns - planar.at(step)[0]) * 1e-9
        error = math.remainder(pose[2] - float(planar.at(step)[1][YAW]) - turn, math.tau)
        if not self.aligned:
            self._turn(error, variance[2])
            hx, hy, _ = self._predicted(planar.last, time_ns, (0.0, 0.0))
            self._shift(np.array([pose[0] - hx, pose[1] - hy]), max(variance[:2]), False, variance[2])
            return True
        H = self._H3
        H[:] = 0.0
        H[:2] = H2
        H[2, YAW] = 1.0
        H[:2, OX:] = 0.0
        residual = np.array([pose[0] - hx, pose[1] - hy, error])
        taken, _ = planar.fuse(step, residual, H, np.diag(variance), GATES[3])
        if taken:
            self._streak_ns = None
        elif self._refused(time_ns, residual[:2], max(variance[:2]), False):
            self._turn(error, variance[2])
        return taken

    def _step(self, time_ns: int) -> int | None:
        """The step a measurement belongs to; the oldest allowed one if a later one has been fused already."""
        step = self.planar.step_at(time_ns)
        if step is not None:
            return step
        first = self.planar.first
        return first if (self.planar.at(first)[0] - time_ns) * 1e-9 < BACK_S else None

    def _rate(self, step: int) -> float:
        """Yaw rate over the step [rad/s]."""
        planar = self.planar
        if step == 0:
            return 0.0
        t1, now, _ = planar.at(step)
        t0, before, _ = planar.at(step - 1)
        rate = (float(now[YAW]) - float(before[YAW])) * 1e9 / (t1 - t0) if t1 > t0 else 0.0
        return rate if abs(rate) < 50.0 else 0.0

    def _predicted(self, step: int, time_ns: int, lever: tuple[float, float]) -> tuple[float, float, Array]:
        """Where a step puts a point of the car at a time near it, along the arc; its derivative (2, N)."""
        t, state, _ = self.planar.at(step)
        dt = (time_ns - t) * 1e-9
        yaw, vx, vy = float(state[YAW]), float(state[VX]), float(state[VY])
        turn = self._rate(step) * dt
        c, s = math.cos(yaw + 0.5 * turn), math.sin(yaw + 0.5 * turn)
        ce, se = math.cos(yaw + turn), math.sin(yaw + turn)
        dx = (c * vx - s * vy) * dt + ce * lever[0] - se * lever[1]
        dy = (s * vx + c * vy) * dt + se * lever[0] + ce * lever[1]
        H = self._H2
        H[:] = 0.0
        H[0, X] = H[1, Y] = 1.0
        H[0, YAW], H[0, VX], H[0, VY] = -dy, c * dt, -s * dt
        H[1, YAW], H[1, VX], H[1, VY] = dx, s * dt, c * dt
        return float(state[X]) + dx, float(state[Y]) + dy, H

    def _course(self, z: tuple[float, float], variance: float, yaw: float, vx: float, vy: float) -> None:
        """Collect headings from courses over ground until they are sharp enough."""
        ground, wheels = math.hypot(*z), math.hypot(vx, vy)
        if ground < ALIGN_SPEED or abs(ground - wheels) > 0.3 + 0.1 * ground:
            self._sum, self._weight, self._count = 0j, 0.0, 0
            return
        error = math.atan2(z[1], z[0]) - math.atan2(vy, vx) - yaw
        if (
            self._count
            and abs(math.remainder(error - math.atan2(self._sum.imag, self._sum.real), math.tau)) > 0.5
        ):
            self._sum, self._weight, self._count = 0j, 0.0, 0
        weight = ground * ground / variance
        self._sum += weight * complex(math.cos(error), math.sin(error))
        self._weight += weight
        self._count += 1
        if self._count >= 3 and self.placed:
            sigma2 = 1.0 / self._weight + ALIGN_MODEL**2
            if sigma2 < ALIGN_SIGMA**2:
                self._turn(math.atan2(self._sum.imag, self._sum.real), sigma2)
                self._sum, self._weight, self._count = 0j, 0.0, 0

    def _turn(self, angle: float, variance: float) -> None:
        """Turn the heading by an angle [rad]; the position keeps its own error."""
        planar = self.planar
        planar.x[YAW] += angle
        planar.P[YAW, :] = 0.0
        planar.P[:, YAW] = 0.0
        planar.P[YAW, YAW] = variance
        planar.forget()
        self.aligned = True

    def _shift(self, residual: Array, variance: float, shared: bool, yaw_variance: float) -> None:
        planar = self.planar
        satellite = planar.offset**2 if shared else 0.0
        # The shift is applied to now, not to the fix's time: the heading's error has moved the car since.
        late = 0.1 * float(np.hypot(planar.x[VX], planar.x[VY]))
        own = variance + satellite + (late * min(math.sqrt(yaw_variance), 1.0)) ** 2
        x, y = float(planar.x[X]) + float(residual[0]), float(planar.x[Y]) + float(residual[1])
        if shared:
            x, y = x + float(planar.x[OX]), y + float(planar.x[OY])
        planar.place(x, y, own, satellite, yaw_variance)
        self.placed = True

    def _refused(self, time_ns: int, residual: Array, variance: float, shared: bool) -> bool:
        """Count a rejected position; after enough of them move the filter. Returns whether it was moved."""
        self.rejected += 1
        planar = self.planar
        rx, ry = float(residual[0]), float(residual[1])
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
        self._shift(residual, variance, shared, min(yaw_variance, UNKNOWN_HEADING**2))
        self.relocations += 1
        self._relocated_ns = time_ns
        self._streak_ns = None
        return True
