"""An extended Kalman filter of planar motion that takes late measurements exactly and in bounded time.

The inertial sensors drive the prediction; everything else corrects it. State, in order (``STATE``):

| index | name | unit | model |
|---|---|---|---|
| X, Y | position of the centre of mass, world frame | m | integrated |
| YAW | heading, not wrapped | rad | gyroscope less bias |
| VX, VY | velocity of the centre of mass, body frame | m/s | specific force less bias, rotated |
| GYRO | gyroscope bias | rad/s | random walk |
| AX, AY | accelerometer bias with the ground's slope | m/s^2 | Gauss-Markov |
| SCALE | relative error of the wheel speed (tyre radius, creep) | 1 | Gauss-Markov |
| OX, OY | slow error of satellite positions (multipath) | m | Gauss-Markov |

A late measurement of the state at an earlier time s needs the covariance between the errors then and now.
That is the product of the error transitions A = (1 - K H) F since s, times P(s). The filter keeps state, P
and A of the last ``KEEP`` steps, so a late measurement costs one small product per step passed instead of a
refiltering, and it also corrects the stored steps, so the next one may be late too. For a linear system
this equals processing in order (Larsen et al. 1998, "Incorporation of time delayed measurements in a
discrete-time Kalman filter"; stochastic cloning is the same algebra).
"""

from __future__ import annotations

import bisect
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

X, Y, YAW, VX, VY, GYRO, AX, AY, SCALE, OX, OY = range(11)
STATE = ("x", "y", "yaw", "vx", "vy", "gyro", "ax", "ay", "scale", "ox", "oy")
N = len(STATE)
KEEP = 40
"""Steps that stay available to late measurements: 0.4 s at 100 Hz."""
LENGTH = 2 * KEEP


@dataclass(frozen=True)
class Noise:
    """Process noise. Gauss-Markov parts have a stationary deviation and a correlation time [s]."""

    gyro_walk: float
    """[rad/s/sqrt(s)]"""
    accelerometer: float
    """Stationary deviation of the accelerometer's bias and the ground's slope [m/s^2]."""
    accelerometer_time: float
    scale: float
    """Stationary deviation of the wheel speed's relative error [1]."""
    scale_time: float
    offset: float
    """Stationary deviation of the satellite position's slow error [m]."""
    offset_time: float


class PlanarFilter:
    """The filter and its history. ``x``, ``P``: live views of the newest step, shapes (N,) and (N, N)."""

    x: Array
    P: Array

    def __init__(self, noise: Noise, deviation: Array, time_ns: int = 0) -> None:
        """``deviation``: of the initial state, shape (N,)."""
        self.noise = noise
        self.offset = noise.offset
        self._states: Array = np.zeros((LENGTH, N))
        self._joint: Array = np.zeros((LENGTH, 2 * N, N))  # rows: P, then A transposed
        self._times = [0] * LENGTH
        self._F: Array = np.eye(N)
        self._f: Any = self._F.reshape(-1).data  # writes through it are thrice as fast as through numpy
        self._Q: Array = np.zeros((N, N))
        self._q: Any = self._Q.reshape(-1).data
        self._FP: Array = np.empty((N, N))
        self._h: Array = np.zeros(N)
        self._c: Array = np.empty(2 * N)
        self._K: Array = np.empty(N)
        self._outer: Array = np.empty((2 * N, N))
        self._cross: Array = np.empty((KEEP + 1, N, 3))
        self._views = [(s, j[:N], j[N:]) for s, j in zip(self._states, self._joint, strict=True)]
        self.last = 0
        self.first = 0
        self._times[0] = time_ns
        self._joint[0, :N][np.diag_indices(N)] = np.square(deviation)
        self._newest()

    @property
    def time_ns(self) -> int:
        """The time of the newest step [ns]."""
        return self._times[self.last]

    def start(self, time_ns: int) -> None:
        """Set the time of the newest step [ns], before the first prediction."""
        self._times[self.last] = time_ns

    def _newest(self) -> None:
        self.x, self.P, self._At = self._views[self.last]

    def predict(
        self, time_ns: int, rate: float, ax: float, ay: float, rate_sigma: float, acceleration_sigma: float
    ) -> None:
        """Advance to ``time_ns`` with mean inputs over the step: yaw rate [rad/s] and horizontal specific
        force at the centre of mass [m/s^2], as measured, and their deviations."""
        dt = (time_ns - self._times[self.last]) * 1e-9
        x, y, yaw, vx, vy, gyro, bias_x, bias_y, scale, ox, oy = self.x.tolist()
        rate -= gyro
        ax -= bias_x
        ay -= bias_y
        half = 0.5 * dt
        c, s = math.cos(yaw + rate * half), math.sin(yaw + rate * half)
        cr, sr = math.cos(rate * dt), math.sin(rate * dt)
        px, py = vx + ax * half, vy + ay * half
        vx_new = cr * px + sr * py + ax * half
        vy_new = cr * py - sr * px + ay * half
        mx, my = 0.5 * (vx + vx_new), 0.5 * (vy + vy_new)
        dx, dy = (c * mx - s * my) * dt, (s * mx + c * my) * dt
        n = self.noise
        slope_keep = math.exp(-dt / n.accelerometer_time)
        scale_keep = math.exp(-dt / n.scale_time)
        offset_keep = math.exp(-dt / n.offset_time)

        f = self._f
        f[2], f[3], f[4] = -dy, c * dt, -s * dt
        f[13], f[14], f[15] = dx, s * dt, c * dt
        f[27] = -dt
        f[36], f[37], f[38], f[39] = cr, sr, -vy * dt, -dt
        f[47], f[48], f[49], f[51] = -sr, cr, vx * dt, -dt
        f[72] = f[84] = slope_keep
        f[96] = scale_keep
        f[108] = f[120] = offset_keep
        qr = rate_sigma * rate_sigma * dt * dt
        qa = acceleration_sigma * acceleration_sigma * dt * dt
        q = self._q
        q[24] = qr
        q[25] = q[35] = qr * vy
        q[26] = q[46] = -qr * vx
        q[36] = qr * vy * vy + qa
        q[37] = q[47] = -qr * vx * vy
        q[48] = qr * vx * vx + qa
        q[60] = n.gyro_walk * n.gyro_walk * dt
        q[72] = q[84] = n.accelerometer**2 * (1.0 - slope_keep * slope_keep)
        q[96] = n.scale**2 * (1.0 - scale_keep * scale_keep)
        q[108] = q[120] = self.offset**2 * (1.0 - offset_keep * offset_keep)

        previous = self.P
        self._grow(time_ns)
        np.matmul(self._F, previous, out=self._FP)
        np.matmul(self._FP, self._F.T, out=self.P)
        np.add(self.P, self._Q, out=self.P)
        self._At[:] = self._F.T
        self.x[:] = (
            *(x + dx, y + dy, yaw + rate * dt, vx_new, vy_new, gyro),
            *(
                bias_x * slope_keep,
                bias_y * slope_keep,
                scale * scale_keep,
                ox * offset_keep,
                oy * offset_keep,
            ),
        )

    def _grow(self, time_ns: int) -> None:
        if self.last == LENGTH - 1:
            start = LENGTH - KEEP
            self._states[:KEEP] = self._states[start:]
            self._joint[:KEEP] = self._joint[start:]
            self._times[:KEEP] = self._times[start:]
            self.last = KEEP - 1
            self.first = max(self.first - start, 0)
        self.last += 1
        self.first = max(self.first, self.last - KEEP)
        self._times[self.last] = time_ns
        self._newest()

    def correct(
        self, innovation: float, sigma: float, terms: tuple[tuple[int, float], ...], bound: float = 3.0
    ) -> float:
        """Take a scalar measurement of the newest step whose derivative by the state is ``terms`` (index,
        value). Beyond ``bound`` deviations its weight falls so that its pull stays bounded (Huber). Returns
        the normalised innovation [1]."""
        h, c, K = self._h, self._c, self._K
        h[:] = 0.0
        for index, value in terms:
            h[index] = value
        np.matmul(self._joint[self.last], h, out=c)
        variance = sigma * sigma
        for index, value in terms:
            variance += value * float(c[index])
        ratio = innovation * innovation / variance
        if ratio > bound * bound:
            variance = innovation * innovation / (bound * bound)
        np.multiply(c[:N], 1.0 / variance, out=K)
        np.multiply(c[:, None], K, out=self._outer)
        joint = self._joint[self.last]
        np.subtract(joint, self._outer, out=joint)
        K *= innovation
        self.x += K
        return math.copysign(math.sqrt(ratio), innovation)

    def step_at(self, time_ns: int) -> int | None:
        """The stored step nearest to a time, None if it has been forgotten."""
        if time_ns < self._times[self.first] - 10_000_000:
            return None
        after = bisect.bisect_left(self._times, time_ns, self.first, self.last + 1)
        if after > self.last:
            return self.last
        if after > self.first and time_ns - self._times[after - 1] < self._times[after] - time_ns:
            after -= 1
        return after

    def at(self, step: int) -> tuple[int, Array, Array]:
        """Time [ns], state and covariance of a stored step (views)."""
        state, covariance, _ = self._views[step]
        return self._times[step], state, covariance

    def fuse(self, step: int, innovation: Array, H: Array, R: Array, gate: float) -> tuple[bool, float]:
        """Take a measurement of a stored step: innovation (m,), derivative (m, N), covariance (m, m), m <= 3.

        It is rejected if its squared Mahalanobis distance exceeds ``gate``. Returns whether it was taken, and
        that distance. Steps before ``step`` are forgotten: their errors' link to now is no longer kept.
        """
        m = len(innovation)
        cross = self._cross[:, :, :m]
        np.matmul(self._views[step][1], H.T, out=cross[0])
        S_inverse = np.linalg.inv(H @ cross[0] + R)
        distance = float(innovation @ S_inverse @ innovation)
        if not distance <= gate:
            return False, distance
        count = self.last - step + 1
        for k in range(1, count):
            np.matmul(self._views[step + k][2].T, cross[k - 1], out=cross[k])
        gain = cross[:count] @ S_inverse
        self._states[step : self.last + 1] += gain @ innovation
        P = self._joint[step : self.last + 1, :N]
        P -= gain @ cross[:count].transpose(0, 2, 1)
        self.first = step
        P += P.transpose(0, 2, 1).copy()  # rounding must not make P asymmetric over hours
        P *= 0.5
        return True, distance

    def forget(self) -> None:
        """Keep only the newest step, as after changing ``x`` or ``P`` by hand."""
        self.first = self.last

    def place(self, x: float, y: float, variance: float, shared: float, yaw_variance: float | None) -> None:
        """Set the position [m] with its variance [m^2], of which ``shared`` comes from the satellite offset.
        The heading keeps its mean; with ``yaw_variance`` [rad^2] its error starts anew."""
        P = self.P
        for index in (X, Y, OX, OY, *(() if yaw_variance is None else (YAW,))):
            P[index, :] = 0.0
            P[:, index] = 0.0
        self.x[X], self.x[Y], self.x[OX], self.x[OY] = x, y, 0.0, 0.0
        for position, offset in ((X, OX), (Y, OY)):
            P[position, position] = variance
            P[offset, offset] = self.offset**2
            P[position, offset] = P[offset, position] = -shared
        if yaw_variance is not None:
            P[YAW, YAW] = yaw_variance
        self.forget()
