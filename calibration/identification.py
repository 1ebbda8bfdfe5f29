"""The twin's parameters from driving: all together, by nonlinear least squares on batched replays.

Maximum a posteriori: residuals in channels of white noise, and a prior on each parameter and on each sensor's
constant error and lateness, which are estimated along and marginalised (``nuisances``). Gauss-Newton; a
Jacobian is one batch of replays, every chunk with every parameter changed. How noisy a channel is, and how
far its neighbouring samples say the same, is taken from the residuals themselves, and so is how far chunks
disagree: whatever the twin cannot explain widens the intervals.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from calibration.chunks import GUESSES, STATES, Chunks, modelled, slopes, spun
from calibration.confidence import Resolved, marginalised, resolve, spread
from calibration.noise_model import HANGS_TOGETHER, noise_of, nuisances, trust
from calibration.twin_parameters import MOST, TwinParameter, truth_of
from calibration.twin_work import HERE, TwinWork
from robot.errors import SandlotError
from robot.spec import RobotSpec
from sim.log_windows import Windows
from sim.plant import Array
from sim.randomisation import command_delay
from sim.replay import TIMESTEP, Replayed, replay_drive

COARSE = 0.002
"""Step of the physics for derivatives [s]: half the cost, and they need not be exact."""
ROUGH, ROUGH_ITERATIONS = 3, 4
"""Far from the end every so many-th chunk tells enough, with guessed noise, for so many iterations."""
ROUNDS = (6, 3)
"""Iterations, at most, with what the residuals say of the noise."""
NEARBY, AT_LAST = 0.8, 0.2
"""Derivatives are computed anew once a parameter is so many deviates from where they were; before a descent
ends, already at so many."""
ENOUGH = 0.02
"""Of the objective [1], which is a log-likelihood: a step that promises less is a fifth of a standard
deviation, and the last."""
SHARES = (1.0, 0.5, 0.25)
"""Of a step, tried in turn."""
JUMP = 0.1
"""The twin jumps where the mean of replays with a parameter a step higher and lower is farther than this from
the replay between them [standard deviations of white noise], and than half of what either differs from it."""
DIVERGED = 30.0
"""A residual of a replay whose physics diverged [standard deviations]."""

Car = tuple[dict[str, float], float]
"""Its parameters, and how long its commands are on the wire [ms]."""


def replay_freely(
    spec: RobotSpec,
    windows: Windows,
    truths: Sequence[Mapping[str, float]],
    delays_s: Array,
    timestep: float,
    threads: int,
) -> Replayed:
    """The replays of an identification, on this machine: the twin is put where each window's lead-in begins,
    and drives on its own from there (``calibration.chunks.FORGETS_S``)."""
    return replay_drive(spec, windows, truths, delays_s, timestep, threads, held=False)


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
    """``chunks`` of a log of the robot with this ``spec``."""

    def __init__(
        self,
        spec: RobotSpec,
        chunks: Chunks,
        parameters: tuple[TwinParameter, ...],
        work: TwinWork = HERE,
    ) -> None:
        self._spec, self._chunks, self._parameters, self._work = spec, chunks, parameters, work
        self._weights = 1.0 / (GUESSES * np.sqrt(HANGS_TOGETHER))
        self._trust: Array = np.ones((len(chunks), 1, 1))
        """In each chunk [1]."""
        self._smooth: Array = np.ones(chunks.measured.shape)
        """0 for samples in which the twin jumps: the motor's controller goes from driving to braking a
        millisecond sooner or later, and a derivative there is as large as its step is small."""
        self._derivatives: tuple[Array, Array] | None = None
        """Where, shape (n,), and of the residuals in their units, shape (n, N, T, 5)."""
        self._nuisances: Array = np.zeros((0, *chunks.measured.shape))
        """What the sensors add to the residuals at one standard deviation, shape (k, N, T, 5)."""

    def residuals(self, deviates: Array, timestep: float = TIMESTEP) -> Array:
        """Twin less log in the channels' units, for columns of deviates (n, m): shape (m, N, T, 5); NaN where
        the log is silent, infinite where the physics diverged. The twin delays commands by whole
        milliseconds: between two of them lies what both make of the log."""
        cars = [self._car(column) for column in deviates.T]
        delays = np.array([delay for _, delay in cars])
        below = np.floor(delays + 1e-6)
        found = self._channels(cars, below, timestep)
        between = np.flatnonzero(delays - below > 1e-6)
        if between.size:
            above = self._channels([cars[k] for k in between.tolist()], below[between] + 1.0, timestep)
            share = (delays - below)[between, None, None, None]
            found[between] = (1.0 - share) * found[between] + share * above
        found[np.isnan(found)] = np.inf
        return np.asarray(found - self._chunks.measured)

    def _car(self, deviates: Array) -> Car:
        truth = truth_of(self._parameters, deviates)
        return truth, max(1e3 * truth.pop("command_delay", command_delay(self._spec)), 0.0)

    def _channels(self, cars: Sequence[Car], delays_ms: Array, timestep: float) -> Array:
        """As each car has them, its commands ``delays_ms`` [whole ms] on the wire, shape (m,); NaN where it
        diverged: shape (m, N, T, 5)."""
        n = len(self._chunks)
        chunks = self._chunks.take(np.tile(np.arange(n), len(cars)))
        replayed = self._replayed(chunks, [truth for truth, _ in cars for _ in range(n)], delays_ms, timestep)
        return modelled(chunks, replayed).reshape(len(cars), n, -1, len(self._weights))

    def _replayed(
        self, chunks: Chunks, truths: list[dict[str, float]], delays_ms: Array, timestep: float
    ) -> Replayed:
        delays_s = np.repeat(1e-3 * delays_ms, len(truths) // len(delays_ms))
        make = self._work.replays or partial(replay_freely, threads=self._work.threads)
        return make(self._spec, chunks.windows, truths, delays_s, timestep)

    def fit(self) -> Fit:
        """Raises SandlotError if the twin cannot follow the log at all."""
        n = len(self._parameters)
        few = self._chunks.take(range(0, len(self._chunks), ROUGH))
        rough = Identification(self._spec, few, self._parameters, self._work)
        at, _ = rough._descend(*rough._begin(np.zeros(n)), ROUGH_ITERATIONS)
        self._work.progress("roughly there")
        at, left = self._begin(at[:n])
        noise, correlation = self._weigh(left)
        for iterations in ROUNDS:
            at, left = self._descend(at, left, iterations)
            self._work.progress(f"objective {self._objective(left, at):.4g}")
            noise, correlation = self._weigh(left)
        if self._moved(at) > AT_LAST:
            self._differentiate(at)
        by_chunk = self._jacobian(at)[: -len(at)].reshape(len(left), -1, len(at))
        resolved = resolve(marginalised(np.einsum("cmk,cml->kl", by_chunk, by_chunk), n))
        wider = spread(by_chunk, self._weighted(left, at)[: -len(at)].reshape(len(left), -1))[:n]
        resolved = resolved.widened(np.maximum(wider, 1.0))
        return Fit(self._parameters, at[:n], resolved, noise, correlation, left)

    def _begin(self, deviates: Array) -> tuple[Array, Array]:
        """Sensors' shares and trust as of ``deviates``, shape (n,); returns them with nuisances of 0, and the
        residuals there."""
        left = self.residuals(deviates[:, None])[0]
        self._trust = trust(left)
        truth, delay_ms = self._car(deviates)
        replayed = self._replayed(self._chunks, [truth] * len(self._chunks), np.rint([delay_ms]), COARSE)
        model, slope = modelled(self._chunks, replayed), slopes(self._chunks, replayed)
        found = nuisances(*map(np.nan_to_num, (model, slope * self._spec.rates.guardian_hz)))
        self._nuisances = np.where(np.isnan(self._chunks.measured), 0.0, found)
        self._derivatives, self._smooth = None, np.ones_like(self._smooth)
        return np.concatenate((deviates, np.zeros(len(self._nuisances)))), left

    def _weigh(self, left: Array) -> tuple[Array, Array]:
        """Weights from what residuals say of the noise; noise and correlation. Raises SandlotError."""
        if not np.isfinite(left[~np.isnan(left)]).all():
            raise SandlotError("the twin's physics diverged on the estimate; is the log a car's?")
        self._trust = trust(left)
        noise, correlation = noise_of(np.where(self._smooth > 0.0, left * self._trust, np.nan))
        self._weights = 1.0 / (noise * np.sqrt(correlation))
        return noise, correlation

    def _descend(self, at: Array, left: Array, iterations: int) -> tuple[Array, Array]:
        """Gauss-Newton from ``at``, shape (n + k,), with the residuals there: where it ends, and those there.

        Not ``mujoco.minimize``: its search for a damping factor asks for up to 140 replays once derivatives,
        which come from a coarser twin, no longer tell the last digits; here such a step is the last one.
        """
        for _ in range(iterations):
            if self._moved(at) > NEARBY:
                self._differentiate(at)
            better = self._step(at, left)
            if better is not None:
                at, left = better
            elif self._moved(at) > AT_LAST:
                self._differentiate(at)
            else:
                break
        return at, left

    def _step(self, at: Array, left: Array) -> tuple[Array, Array] | None:
        """Where one step ends, and the residuals there; None if no step is worth it."""
        jacobian, objective = self._jacobian(at), self._objective(left, at)
        slope = jacobian.T @ self._weighted(left, at)
        step = -np.linalg.solve(jacobian.T @ jacobian, slope)
        if -0.5 * float(slope @ step) < ENOUGH:
            return None
        for share in SHARES:
            trial = np.clip(at + share * step, -MOST, MOST)
            there = self._left(trial)
            if self._objective(there, trial) < objective:
                return trial, there
        return None

    def _left(self, at: Array) -> Array:
        """Residuals with the sensors' share, for parameters and nuisances ``at``, shape (N, T, 5)."""
        n = len(self._parameters)
        return np.asarray(self.residuals(at[:n, None])[0] + np.tensordot(at[n:], self._nuisances, 1))

    def _weighted(self, left: Array, at: Array) -> Array:
        """Residuals in standard deviations, the priors' last, shape (m + n + k,)."""
        scaled = np.nan_to_num(left * self._scale(), nan=0.0, posinf=DIVERGED, neginf=-DIVERGED)
        return np.concatenate((scaled.ravel(), at))

    def _objective(self, left: Array, at: Array) -> float:
        weighted = self._weighted(left, at)
        return 0.5 * float(weighted @ weighted)

    def _scale(self) -> Array:
        """What residuals in their units are multiplied by, shape (N, T, 5)."""
        return np.asarray(self._weights * self._trust * self._smooth)

    def _moved(self, at: Array) -> float:
        """How far the derivatives are from here [deviates]; infinite if there are none."""
        if self._derivatives is None:
            return math.inf
        where, _ = self._derivatives
        return float(np.abs(at[: len(where)] - where).max())

    def _differentiate(self, at: Array) -> None:
        """Derivatives, and where the twin is smooth, at the parameters ``at``."""
        here = at[: len(self._parameters)].copy()
        derivatives, jumps = self.derivatives(here)
        self._derivatives, self._smooth = (here, derivatives), np.where(jumps, 0.0, 1.0)

    def _jacobian(self, at: Array) -> Array:
        """Of ``_weighted``, shape (m + n + k, n + k)."""
        assert self._derivatives is not None
        every = np.concatenate((self._derivatives[1], self._nuisances)) * self._scale()
        scaled = np.nan_to_num(every, nan=0.0, posinf=0.0, neginf=0.0)
        return np.concatenate((scaled.reshape(len(at), -1).T, np.eye(len(at))))

    def derivatives(self, at: Array) -> tuple[Array, NDArray[np.bool_]]:
        """Central differences of ``residuals`` in the coarse twin, at the whole millisecond of delay that is
        nearest, shape (n, N, T, 5), and the samples in which the twin jumps with any parameter, shape
        (N, T, 5)."""
        n = len(at)
        steps = np.array([p.step for p in self._parameters])
        at, change = self._whole_delay(np.clip(at, steps - MOST, MOST - steps)), np.diag(steps)
        every = self.residuals(np.column_stack((at, at[:, None] + change, at[:, None] - change)), COARSE)
        self._work.progress("derivatives computed")
        # Where the twin spins, as it may far from the truth, differences say nothing.
        model = np.moveaxis(every + self._chunks.measured, -1, 0)
        lost = spun(model[: len(STATES)], self._spec.scalar("rear_axle"))
        lost = lost[0] | lost[1 : n + 1] | lost[n + 1 :]
        with np.errstate(invalid="ignore"):
            ahead, behind = every[1 : n + 1] - every[0], every[0] - every[n + 1 :]
            mean, bend = ((ahead + behind) / 2.0, (ahead - behind) / 2.0)
        mean, bend = (np.where(lost[..., None], 0.0, one) for one in (mean, bend))
        jumps = np.abs(bend) > np.maximum(JUMP / self._weights, np.abs(mean) / 2.0)
        return mean / steps[:, None, None, None], jumps.any(axis=0)

    def _whole_delay(self, at: Array) -> Array:
        found = at.copy()
        for row, p in enumerate(self._parameters):
            if p.name == "command_delay":
                found[row] = p.deviate(1e-3 * round(1e3 * p.at(float(at[row]))))
        return found
