"""Where on a car a satellite antenna sits: dead reckoning between rests, fitted to the antenna's positions.

In complex numbers an antenna at (x, y) before and left of the rear axle's middle is seen at

    z = c + s D + exp(i phi) (x + i y - k v),    D = integral of v exp(i phi) dt,

with the rear axle's speed v by the wheels and the heading phi by the gyroscope. What cannot be known is
fitted along: where each stretch began, c; how far the gyroscope's heading has drifted, and goes on to; the
scales of wheels and gyroscope; and k [s], by which tyres that slip aside and positions that are late move the
antenna back by speed. In reverse k moves it forward: turns that are driven both ways tell it from x, whatever
its law. The centres of turns to either side lie on one line through the rear axle, which shows the heading
without a compass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import cumulative_trapezoid
from scipy.linalg import cholesky, solve_triangular

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]

SHARED = 5
"""Parameters of all stretches: x, y [m], k [s], and the scales of wheels and gyroscope less 1."""
WHEELS, GYROSCOPE = 3, 4
OWN = 4
"""Parameters of each: the heading's offset in its middle [rad], its drift [rad/s], and where it began, east
and north [m]."""
ITERATIONS = 12
SETTLED = 1e-6
"""Gauss-Newton has converged once no parameter moves by more, in its unit."""


@dataclass(frozen=True)
class Track:
    """A stretch without a rest. ``fixes`` [m], shape (n,), at ``fix_s`` [s]; the rear axle's ``speed`` [m/s]
    and ``turned``, the heading since the drive began [rad], at ``time_s``, shape (m,), which spans the
    fixes."""

    fix_s: Array
    fixes: Complex
    time_s: Array
    speed: Array
    turned: Array

    @property
    def middle_s(self) -> float:
        return float(self.time_s.mean())


@dataclass(frozen=True)
class Noise:
    """Of positions: ``slow`` [m], correlated over ``slow_s`` [s], and ``white`` [m]. Of the gyroscope: its
    angle's random ``walk`` [rad/sqrt(s)], its ``bias``, left over from a rest [rad/s], and the ``bias_walk``
    [rad/s/sqrt(s)]. ``scale``: what wheels and gyroscope may be off [1]."""

    slow: float
    slow_s: float
    white: float
    walk: float
    bias_walk: float
    bias: float = 0.001
    scale: float = 0.02


@dataclass(frozen=True)
class Lever:
    """``x``, ``y`` before and left of the rear axle [m] with their ``covariance``, shape (2, 2); ``k`` [s]
    and its ``k_sigma``; ``left`` [m], what is left of the positions of each stretch; ``scale``: of that by
    the noise that was stated [1]."""

    x: float
    y: float
    covariance: Array
    k: float
    k_sigma: float
    left: tuple[Complex, ...]
    scale: float


def fit(tracks: Sequence[Track], noise: Noise) -> Lever:
    """Least squares by Gauss-Newton; positions are whitened by their covariance (Gauss-Markov and white)."""
    whitening = [_cholesky(track.fix_s, noise) for track in tracks]
    x = np.zeros(SHARED + OWN * len(tracks))
    for number, track in enumerate(tracks):
        x[_own(number)] = _start(track)
    prior = _prior(tracks, noise)
    for _ in range(ITERATIONS):
        rows, values = [prior], [-prior @ x]
        for number, (track, factor) in enumerate(zip(tracks, whitening, strict=True)):
            model, slopes = seen(track, x[:SHARED], x[_own(number)])
            jacobian = np.zeros((len(model), len(x)), np.complex128)
            jacobian[:, :SHARED], jacobian[:, _own(number)] = slopes[:, :SHARED], slopes[:, SHARED:]
            for part in (np.real, np.imag):
                rows.append(solve_triangular(factor, part(jacobian), lower=True))
                values.append(solve_triangular(factor, part(track.fixes - model), lower=True))
        whole, left = np.vstack(rows), np.concatenate(values)
        step, *_ = np.linalg.lstsq(whole, left, rcond=None)
        x = x + step
        if np.abs(step).max() < SETTLED:
            break
    freedom = len(left) - len(prior) - len(x)
    scale = float(np.sqrt((left[len(prior) :] ** 2).sum() / max(freedom, 1)))
    # What the noise does not explain widens the interval; what it explains too well does not narrow it.
    covariance = np.asarray(max(scale, 1.0) ** 2 * np.linalg.inv(whole.T @ whole), np.float64)
    remains = tuple(t.fixes - seen(t, x[:SHARED], x[_own(k)])[0] for k, t in enumerate(tracks))
    k_sigma = float(np.sqrt(covariance[2, 2]))
    return Lever(float(x[0]), float(x[1]), covariance[:2, :2], float(x[2]), k_sigma, remains, scale)


def seen(track: Track, shared: Array, own: Array) -> tuple[Complex, Complex]:
    """Where the antenna is [m], shape (n,), and the derivatives in the ``SHARED`` and the ``OWN`` parameters,
    shape (n, 9)."""
    x, y, k, wheels, gyroscope = shared.tolist()
    offset, drift, east, north = own.tolist()
    clock, late = track.time_s, track.time_s - track.middle_s
    facing = np.exp(1j * (offset + (1.0 + gyroscope) * track.turned + drift * late))
    way, way_turned, way_late = (
        _integral(track, track.speed * facing * weight)
        for weight in (np.ones_like(clock), track.turned, late)
    )
    turned, speed = (np.interp(track.fix_s, clock, column) for column in (track.turned, track.speed))
    late = track.fix_s - track.middle_s
    ahead = np.exp(1j * (offset + (1.0 + gyroscope) * turned + drift * late))
    lever, scale = ahead * (x + 1j * y - k * speed), 1.0 + wheels
    moved, ones = scale * way + lever, np.ones_like(ahead)
    slopes = (
        *(ahead, 1j * ahead, -speed * ahead, way, 1j * (scale * way_turned + turned * lever)),
        *(1j * moved, 1j * (scale * way_late + late * lever), ones, 1j * ones),
    )
    return np.asarray(east + 1j * north + moved), np.stack(slopes, axis=-1)


def _own(number: int) -> slice:
    """Where a stretch's own parameters lie among all."""
    first = SHARED + OWN * number
    return slice(first, first + OWN)


def _start(track: Track) -> tuple[float, float, float, float]:
    """Its own parameters, as if the antenna were on the rear axle."""
    way = _integral(track, track.speed * np.exp(1j * track.turned))
    heading = float(np.angle(((way - way.mean()).conj() * track.fixes).sum()))
    begin = complex((track.fixes - np.exp(1j * heading) * way).mean())
    return heading, 0.0, begin.real, begin.imag


def _integral(track: Track, rate: Complex) -> Complex:
    """From the first sample to each fix."""
    along = cumulative_trapezoid(rate, track.time_s, initial=0.0)
    parts = (np.interp(track.fix_s, track.time_s, part) for part in (along.real, along.imag))
    east, north = parts
    return np.asarray(east + 1j * north)


def _prior(tracks: Sequence[Track], noise: Noise) -> Array:
    """Rows of what is expected to be zero, in standard deviations: the scales, the bias after the first rest,
    and what the heading and its drift do from one stretch to the next: a random walk, and an integrated
    one."""
    found = [np.zeros(SHARED + OWN * len(tracks)) for _ in range(3)]
    found[0][WHEELS] = found[1][GYROSCOPE] = 1.0 / noise.scale
    found[2][SHARED + 1] = 1.0 / noise.bias
    for k in range(len(tracks) - 1):
        apart, heading, after = (
            tracks[k + 1].middle_s - tracks[k].middle_s,
            SHARED + OWN * k,
            SHARED + OWN * (k + 1),
        )
        steps = np.zeros((2, len(found[0])))
        steps[0, [heading, heading + 1, after]] = -1.0, -apart, 1.0
        steps[1, [heading + 1, after + 1]] = -1.0, 1.0
        walk, bias_walk = noise.walk**2 * apart, noise.bias_walk**2 * apart
        both = bias_walk * np.array([[apart**2 / 3.0, apart / 2.0], [apart / 2.0, 1.0]])
        found += list(
            solve_triangular(cholesky(both + np.diag([walk, 1e-12]), lower=True), steps, lower=True)
        )
    return np.array(found)


def _cholesky(times: Array, noise: Noise) -> Array:
    """Lower factor of the positions' covariance along one axis, shape (n, n)."""
    slow = noise.slow**2 * np.exp(-np.abs(times[:, None] - times) / noise.slow_s)
    return np.asarray(cholesky(slow + noise.white**2 * np.eye(len(times)), lower=True))
