"""An extended Kalman filter of planar motion that takes late measurements in their place, in bounded time.

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

The last ``KEEP`` steps keep their inputs, corrections and result. A late measurement corrects the step it was
taken at, and the steps since are run again: the same arithmetic in the same order as if it had come in time,
so the result is the same to the last bit, and late sources may cross. ``KEEP`` steps bound the cost.
"""

from __future__ import annotations

import bisect
import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

X, Y, YAW, VX, VY, GYRO, AX, AY, SCALE, OX, OY = range(11)
STATE = ("x", "y", "yaw", "vx", "vy", "gyro", "ax", "ay", "scale", "ox", "oy")
N = len(STATE)
KEEP = 25
"""Steps that stay open to late measurements: 0.25 s at 100 Hz."""
LENGTH = 4 * KEEP
PACK: Callable[..., None] = struct.Struct(f"{N}d").pack_into
"""Writes a state; a third of the time of an assignment to an array."""


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


class Inputs(NamedTuple):
    """What drives one step, as measured: mean yaw rate [rad/s] and horizontal specific force at the centre of
    mass [m/s^2] over the step, and their standard deviations."""

    rate: float
    ax: float
    ay: float
    rate_sigma: float
    acceleration_sigma: float


Row = tuple[tuple[int, float], ...]
"""A measurement's derivative by the state, as (index, value) of what is not zero."""


class Correction(Protocol):
    """A measurement that can be applied to the step it belongs to, again and again."""

    def apply(self, planar: PlanarFilter, gate: float) -> bool:
        """Correct ``planar.x`` and ``planar.P``, or leave them and return False where the squared Mahalanobis
        distance exceeds ``gate``."""


NO_INPUTS = Inputs(0.0, 0.0, 0.0, 0.0, 0.0)


class PlanarFilter:
    """The filter and its last steps. ``x`` and ``P``, shapes (N,) and (N, N), are live views of the newest
    step (while a correction is applied, of the step it belongs to); ``inputs``, ``time_ns``: that step's."""

    x: Array
    P: Array
    inputs: Inputs
    time_ns: int

    def __init__(self, noise: Noise, deviation: Array) -> None:
        """``deviation``: of the initial state, shape (N,)."""
        self.noise = noise
        self.offset = noise.offset
        self._steps: Array = np.zeros((LENGTH, N + 1, N))  # P, and below it x: one operation corrects both
        self._views = [(step, step[:N], step[N]) for step in self._steps]
        self._times = [0] * LENGTH
        self._inputs = [NO_INPUTS] * LENGTH
        self._corrections: list[list[Correction]] = [[] for _ in range(LENGTH)]
        # The prediction F P F' + Q is [F, I] [P F'; Q]. Writes through memoryviews (lower case) are thrice as
        # fast as through numpy.
        stacked: Array = np.concatenate((np.eye(N), np.eye(N)))
        self._FI: Array = stacked.T  # kept transposed, so that F' is contiguous
        self._F_transposed: Array = stacked[:N]
        self._f: Any = self._F_transposed.reshape(-1).data
        self._PFQ: Array = np.zeros((2 * N, N))
        self._PF: Array = self._PFQ[:N]
        self._q: Any = self._PFQ[N:].reshape(-1).data
        self._H: Array = np.zeros(N)
        self._h: Any = self._H.data
        column: Array = np.empty(N + 1)  # P h, and the innovation with its sign turned
        self._C: Array = column[:N]
        self._c: Any = column.data
        self._column, self._row = column[:, None], self._C[None, :]
        self._scale: Array = np.empty((1, 1))
        self._scale_value: Any = self._scale.reshape(-1).data
        self._K: Array = np.empty((1, N))
        self._change: Array = np.empty((N + 1, N))
        self._kept: Array = np.empty((N + 1, N))
        self.first = self.last = 0
        np.fill_diagonal(self._views[0][1], np.square(deviation))
        self._look_at(0)

    def start(self, time_ns: int) -> None:
        """Set the time of the newest step [ns], before the first prediction."""
        self._times[self.last] = self.time_ns = time_ns

    def _look_at(self, step: int) -> None:
        self._step, self.P, self.x = self._views[step]
        self.inputs, self.time_ns = self._inputs[step], self._times[step]

    def predict(self, time_ns: int, inputs: Inputs) -> None:
        """Begin a new step that ends at ``time_ns``."""
        if self.last == LENGTH - 1:
            start = LENGTH - KEEP
            self._steps[:KEEP] = self._steps[start:]
            self._times[:KEEP] = self._times[start:]
            self._inputs[:KEEP] = self._inputs[start:]
            self._corrections[:KEEP] = self._corrections[start:]
            self.last, self.first = KEEP - 1, max(self.first - start, 0)
        self.last += 1
        self.first = max(self.first, self.last - KEEP + 1)
        self._times[self.last] = time_ns
        self._inputs[self.last] = inputs
        self._corrections[self.last] = []
        self._advance(self.last)

    def correct(self, correction: Correction) -> None:
        """Apply a correction to the newest step, whatever its distance."""
        correction.apply(self, math.inf)
        self._corrections[self.last].append(correction)

    def correct_late(self, step: int, corrections: Sequence[Correction], gate: float) -> list[bool]:
        """Apply corrections to a stored step, all but those beyond ``gate``, and run the steps since again.
        Returns for each whether it was taken."""
        self._look_at(step)
        taken = [correction.apply(self, gate) for correction in corrections]
        self._corrections[step] += [c for c, good in zip(corrections, taken, strict=True) if good]
        if any(taken):
            for k in range(step + 1, self.last + 1):
                self._advance(k)
                for past in self._corrections[k]:
                    past.apply(self, math.inf)
        self._look_at(self.last)
        return taken

    def step_at(self, time_ns: int) -> int | None:
        """The stored step nearest to a time [ns], None if that has been forgotten."""
        times, first, last = self._times, self.first, self.last
        if time_ns < times[first] - 5_000_000:
            return None
        after = bisect.bisect_left(times, time_ns, first, last + 1)
        if after > last:
            return last
        return after - 1 if after > first and time_ns - times[after - 1] < times[after] - time_ns else after

    def at(self, step: int) -> tuple[int, Array]:
        """Time [ns] and state (a view) of a stored step."""
        return self._times[step], self._views[step][2]

    def forget(self) -> None:
        """Keep only the newest step, as after changing ``x`` or ``P`` by hand."""
        self.first = self.last

    def scalar(self, innovation: float, sigma: float, row: Row, bound: float) -> None:
        """For corrections: a scalar measurement with its deviation and its derivative. Beyond ``bound``
        deviations its weight falls so that its pull is bounded (Huber)."""
        variance = self._variance(row, sigma * sigma)
        self._pull(innovation, max(variance, innovation * innovation / (bound * bound)))

    def vector(
        self, innovations: Sequence[float], rows: Sequence[Row], variances: Sequence[float], gate: float
    ) -> bool:
        """For corrections: independent measurements of one moment, with their derivatives at the present
        state. Returns False, and changes nothing, if their squared Mahalanobis distance exceeds ``gate``.

        One after the other they give what they would give together, without a matrix to invert (Bierman 1977,
        Factorization Methods for Discrete Sequential Estimation), and the distance as a sum.
        """
        x, distance = self.x, 0.0
        np.copyto(self._kept, self._step)
        before = x.tolist()
        for innovation, row, variance in zip(innovations, rows, variances, strict=True):
            now = x.tolist()
            for index, value in row:  # less what the ones before have explained of it
                innovation -= value * (now[index] - before[index])
            total = self._variance(row, variance)
            distance += innovation * innovation / total
            if not distance <= gate:
                np.copyto(self._step, self._kept)
                return False
            self._pull(innovation, total)
        P, symmetric = self.P, self._PF
        np.add(P, P.T, out=symmetric)  # rounding must not make P asymmetric over hours
        np.multiply(symmetric, 0.5, out=P)
        return True

    def _variance(self, row: Row, variance: float) -> float:
        """Variance of an innovation from that of its measurement; leaves its covariance with the state."""
        h, c = self._h, self._c
        self._H.fill(0.0)
        for index, value in row:
            h[index] = value
        self.P.dot(self._H, self._C)
        for index, value in row:
            variance += value * c[index]
        return variance

    def _pull(self, innovation: float, variance: float) -> None:
        """Correct by the innovation whose covariance with the state ``_variance`` has just left."""
        self._c[N] = -innovation
        self._scale_value[0] = 1.0 / variance
        self._scale.dot(self._row, self._K)  # half the time of a product with a number
        self._column.dot(self._K, self._change)
        np.subtract(self._step, self._change, out=self._step)

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

    def _advance(self, step: int) -> None:
        """Predict a step from the one before. The force acts half before and half after the turn."""
        dt = (self._times[step] - self._times[step - 1]) * 1e-9
        _, P_before, before = self._views[step - 1]
        self._look_at(step)
        inputs, n = self.inputs, self.noise
        x, y, yaw, vx, vy, gyro, bias_x, bias_y, scale, ox, oy = before.tolist()
        rate, ax, ay = inputs.rate - gyro, inputs.ax - bias_x, inputs.ay - bias_y
        half = 0.5 * dt
        c, s = math.cos(yaw + rate * half) * dt, math.sin(yaw + rate * half) * dt
        cr, sr = math.cos(rate * dt), math.sin(rate * dt)
        push_x, push_y = ax * half, ay * half
        px, py = vx + push_x, vy + push_y
        turned_x, turned_y = cr * px + sr * py, cr * py - sr * px
        vx_new, vy_new = turned_x + push_x, turned_y + push_y
        turn_x, turn_y = turned_y, -turned_x  # derivative by the angle turned
        mx, my = 0.5 * (vx + vx_new), 0.5 * (vy + vy_new)
        dx, dy = c * mx - s * my, s * mx + c * my
        slope_keep = math.exp(-dt / n.accelerometer_time)
        scale_keep = math.exp(-dt / n.scale_time)
        offset_keep = math.exp(-dt / n.offset_time)

        f = self._f  # column * N + row
        f[22], f[33], f[44] = -dy, c, -s
        f[23], f[34], f[45] = dx, s, c
        f[57] = f[69] = f[81] = -dt
        f[36], f[47], f[58] = cr, sr, -turn_x * dt
        f[37], f[48], f[59] = -sr, cr, -turn_y * dt
        f[72] = f[84] = slope_keep
        f[96] = scale_keep
        f[108] = f[120] = offset_keep
        qr = (inputs.rate_sigma * dt) ** 2
        qa = (inputs.acceleration_sigma * dt) ** 2
        q = self._q
        q[24] = qr
        q[25] = q[35] = qx = qr * turn_x
        q[26] = q[46] = qy = qr * turn_y
        q[36], q[48] = qx * turn_x + qa, qy * turn_y + qa
        q[37] = q[47] = qx * turn_y
        q[60] = n.gyro_walk * n.gyro_walk * dt
        q[72] = q[84] = n.accelerometer**2 * (1.0 - slope_keep * slope_keep)
        q[96] = n.scale**2 * (1.0 - scale_keep * scale_keep)
        q[108] = q[120] = self.offset**2 * (1.0 - offset_keep * offset_keep)

        P_before.dot(self._F_transposed, self._PF)  # matmul takes half as long again
        self._FI.dot(self._PFQ, self.P)
        ax, ay, scale = bias_x * slope_keep, bias_y * slope_keep, scale * scale_keep
        ox, oy = ox * offset_keep, oy * offset_keep
        PACK(self.x, 0, x + dx, y + dy, yaw + rate * dt, vx_new, vy_new, gyro, ax, ay, scale, ox, oy)
