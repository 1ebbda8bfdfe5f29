"""The twin's parameters from driving: all together, by nonlinear least squares on batched replays.

Maximum a posteriori: residuals in channels of white noise, and a prior on each parameter and on each sensor's
constant error and lateness, which are estimated along and marginalised (``nuisances``). Gauss-Newton; a
Jacobian is one batch of replays, every chunk with every parameter changed. How noisy a
channel is, and how far its neighbouring samples say the same, is taken from the residuals themselves, so that
whatever the twin cannot explain widens the intervals.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from calibration.chunks import EVERY, GUESSES, Chunks, modelled
from calibration.confidence import Resolved, autocorrelation_time, marginalised, resolve
from calibration.twin_parameters import MOST, TwinParameter
from robot.errors import SandlotError
from robot.spec import RobotSpec
from sim.plant import Array
from sim.replay import TIMESTEP, replay_drive

COARSE = 0.002
"""Step of the physics for derivatives [s]: half the cost, and they need not be exact."""
ROUNDS = (4, 3, 2)
"""Iterations, at most, with guessed noise, then twice with what the residuals say."""
USUAL = 2.0
"""A chunk whose residuals are so many times the usual counts less: something else than driving was in it,
such as a wall. The farther out, the smaller its pull (a redescending M-estimator, with chunks as samples)."""
NEARBY = 0.4
"""Derivatives are computed anew once a parameter is so many deviates from where they were."""
ENOUGH = 0.02
"""Of the objective [1], which is a log-likelihood: a step that promises less is a fifth of a standard
deviation, and the last."""
SHARES = (1.0, 0.5, 0.25)
"""Of a step, tried in turn."""
SENSOR_BIAS = np.array([0.002, 0.012, 0.015, 0.1, 0.02])
"""Standard deviations of what a channel may be off all along, in its unit: the gyroscope after its bias was
estimated, the velocities' drift (sim/estimates), a current shunt's and a divider's offset."""
SENSOR_LAG_S = np.array([0.002, 0.002, 0.002, 0.001, 0.0])
"""Of how late a channel may be beyond what is known [s]: estimates' lags are measured to the millisecond."""
DIVERGED = 30.0
"""A residual of a replay whose physics diverged [standard deviations]."""

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Fit:
    """``deviates`` of ``parameters``, shape (n,), and how certain they are; ``noise``: standard deviations of
    the residuals by channel, ``correlation``: their autocorrelation times [samples], shape (5,) each;
    ``residuals`` in the channels' units, shape (N, T, 5)."""

    parameters: tuple[TwinParameter, ...]
    deviates: Array
    resolved: Resolved
    noise: Array
    correlation: Array
    residuals: Array

    def values(self) -> dict[str, float]:
        """By name, with what the data do not tell at its prior."""
        return {p.name: p.at(z) for p, z in zip(self.parameters, self.deviates.tolist(), strict=True)}

    def covariance(self) -> Array:
        """Of the values in their units, shape (n, n)."""
        slopes = np.array([p.slope(z) for p, z in zip(self.parameters, self.deviates.tolist(), strict=True)])
        return np.asarray(self.resolved.covariance * np.outer(slopes, slopes))

    def interval(self, row: int, sigmas: float = 1.959964) -> tuple[float, float]:
        """Of one parameter; 95 % as a default. In its own logarithm where it is a scale, so not symmetric."""
        p, z = self.parameters[row], float(self.deviates[row])
        half = sigmas * float(np.sqrt(self.resolved.covariance[row, row]))
        low, high = p.at(z - half), p.at(z + half)
        return min(low, high), max(low, high)


class Identification:
    """``chunks`` of a log of the robot with this ``spec``. ``threads`` step the physics (0: all)."""

    def __init__(
        self,
        spec: RobotSpec,
        chunks: Chunks,
        parameters: tuple[TwinParameter, ...],
        threads: int = 0,
        progress: Progress = lambda _: None,
    ) -> None:
        self._spec, self._chunks, self._parameters = spec, chunks, parameters
        self._threads, self._progress = threads, progress
        self._weights = 1.0 / GUESSES
        self._trust: Array = np.ones((len(chunks), 1, 1))
        """In each chunk [1]."""
        self._derivatives: tuple[Array, Array] | None = None
        """Where, shape (n,), and of the residuals in their units, shape (n, N, T, 5)."""
        self._nuisances: Array = np.zeros((0, *chunks.measured.shape))
        """What the sensors add to the residuals at one standard deviation, shape (k, N, T, 5)."""

    def residuals(self, deviates: Array, timestep: float = TIMESTEP) -> Array:
        """Twin less log in the channels' units, for columns of deviates (n, m): shape (m, N, T, 5); NaN where
        the log is silent, infinite where the physics diverged."""
        windows, count = self._chunks.windows, deviates.shape[1]
        n = len(windows)
        values = [[p.at(z) for p, z in zip(self._parameters, column, strict=True)] for column in deviates.T]
        names = [p.name for p in self._parameters]
        truths = [dict(zip(names, row, strict=True)) for row in values]
        delays = np.array([truth.pop("command_delay", np.nan) for truth in truths])
        replayed = replay_drive(
            self._spec,
            windows.take(np.tile(np.arange(n), count)),
            [truth for truth in truths for _ in range(n)],
            None if np.isnan(delays).any() else np.maximum(np.repeat(delays, n), 0.0),
            timestep,
            self._threads,
        )
        found = modelled(replayed).reshape(count, n, -1, len(self._weights))
        found[np.isnan(found)] = np.inf
        return np.asarray(found - self._chunks.measured)

    def fit(self) -> Fit:
        """Raises SandlotError if the twin cannot follow the log at all."""
        n = len(self._parameters)
        self._derivatives = None
        at_file = self.residuals(np.zeros((n, 1)))[0]
        self._nuisances = nuisances(at_file + self._chunks.measured, EVERY / self._spec.rates.guardian_hz)
        self._trust = trust(at_file)
        at = np.zeros(n + len(self._nuisances))
        for number, iterations in enumerate(ROUNDS):
            at, objective = self._descend(at, iterations)
            self._progress(f"round {number + 1} of {len(ROUNDS)}: objective {objective:.4g}")
            left = self._left(at)
            if not np.isfinite(left[~np.isnan(left)]).all():
                raise SandlotError("the twin's physics diverged on the estimate; is the log a car's?")
            self._trust = trust(left)
            noise, correlation = noise_of(left * self._trust)
            self._weights = 1.0 / (noise * np.sqrt(correlation))
        jacobian = self._jacobian(at)[: -len(at)]
        # What is rounded to a grain is off by up to half of it, which all that is fitted along makes up for.
        rounded = [row for row, p in enumerate(self._parameters) if p.grain]
        halves = np.array([p.grain / 2.0 / p.sigma for p in self._parameters if p.grain])
        unknown = np.concatenate((jacobian[:, n:], jacobian[:, rounded] * halves), axis=1)
        resolved = resolve(marginalised(jacobian[:, :n], unknown))
        return Fit(self._parameters, resolved.without_frozen(at[:n]), resolved, noise, correlation, left)

    def _descend(self, at: Array, iterations: int) -> tuple[Array, float]:
        """Gauss-Newton from ``at``, shape (n + k,): where it ends, and half the squared residuals there.

        Not ``mujoco.minimize``: its search for a damping factor asks for up to 140 replays once derivatives,
        which come from a coarser twin, no longer tell the last digits; here such a step is the last one.
        """
        left = self._weighted(at)
        objective = 0.5 * float(left @ left)
        for _ in range(iterations):
            jacobian = self._jacobian(at)
            slope = jacobian.T @ left
            step = -np.linalg.solve(jacobian.T @ jacobian, slope)
            if -0.5 * float(slope @ step) < ENOUGH:
                break
            for share in SHARES:
                trial = np.clip(at + share * step, -MOST, MOST)
                there = self._weighted(trial)
                found = 0.5 * float(there @ there)
                if found < objective:
                    at, left, objective = trial, there, found
                    break
            else:
                break
        return at, objective

    def _left(self, at: Array) -> Array:
        """Residuals with the sensors' share, for parameters and nuisances ``at``, shape (N, T, 5)."""
        n = len(self._parameters)
        return np.asarray(self.residuals(at[:n, None])[0] + np.tensordot(at[n:], self._nuisances, 1))

    def _weighted(self, at: Array) -> Array:
        """In standard deviations, the priors' last, shape (m + n + k,)."""
        scaled = self._left(at) * (self._weights * self._trust)
        scaled = np.nan_to_num(scaled, nan=0.0, posinf=DIVERGED, neginf=-DIVERGED)
        return np.concatenate((scaled.ravel(), at))

    def _jacobian(self, at: Array) -> Array:
        """Of ``_weighted``, shape (m + n + k, n + k)."""
        here = at[: len(self._parameters)]
        if self._derivatives is None or np.abs(here - self._derivatives[0]).max() > NEARBY:
            self._derivatives = (here.copy(), self.derivatives(here))
        every = np.concatenate((self._derivatives[1], self._nuisances)) * (self._weights * self._trust)
        scaled = np.nan_to_num(every, nan=0.0, posinf=0.0, neginf=0.0)
        return np.concatenate((scaled.reshape(len(at), -1).T, np.eye(len(at))))

    def derivatives(self, at: Array) -> Array:
        """Forward differences of ``residuals`` in the coarse twin, shape (n, N, T, 5)."""
        steps = np.array([p.step for p in self._parameters])
        steps = np.where(at + steps > MOST, -steps, steps)
        every = self.residuals(np.column_stack((at, at[:, None] + np.diag(steps))), COARSE)
        self._progress("derivatives computed")
        with np.errstate(invalid="ignore"):
            return np.asarray((every[1:] - every[0]) / steps[:, None, None, None])


def nuisances(model: Array, period_s: float) -> Array:
    """What each channel's sensor may add at one standard deviation: a constant, and, being late, its slope;
    shape (10, N, T, 5). ``model``: the channels as the twin has them, shape (N, T, 5)."""
    slopes = np.gradient(np.nan_to_num(model, posinf=0.0), period_s, axis=1)
    eye = np.eye(model.shape[-1])
    constants = eye[:, None, None, :] * SENSOR_BIAS + np.zeros_like(model)
    return np.asarray(np.concatenate((constants, eye[:, None, None, :] * SENSOR_LAG_S * slopes)))


def trust(residuals: Array) -> Array:
    """How much each chunk counts, shape (N, 1, 1), from residuals (N, T, channels): 1 for a usual one."""
    with np.errstate(invalid="ignore"):
        squares = np.nanmean(np.square(residuals), axis=1)
    ratio = np.sqrt(squares / np.maximum(np.median(squares, axis=0), 1e-18)).max(axis=1)
    return np.asarray(np.minimum(1.0, np.square(USUAL / np.maximum(ratio, 1e-9))))[:, None, None]


def noise_of(residuals: Array) -> tuple[Array, Array]:
    """Standard deviation and autocorrelation time by channel of residuals (N, T, channels), NaN where there
    are none."""
    channels = range(residuals.shape[-1])
    noise = np.array([np.sqrt(np.nanmean(np.square(residuals[..., c]))) for c in channels])
    return noise, np.array([autocorrelation_time(residuals[..., c]) for c in channels])
