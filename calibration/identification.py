"""The twin's parameters from driving: all together, by nonlinear least squares on batched replays.

Maximum a posteriori: residuals in channels of white noise, and a prior on each parameter and on each sensor's
bias, scale and lateness, which are estimated along and marginalised (``nuisances``). Gauss-Newton; a Jacobian
is one batch of replays, every chunk with every parameter changed both ways. How noisy a channel is, and how
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
from calibration.noise_model import (
    BOUNDED,
    HANGS_TOGETHER,
    PROPORTIONAL,
    REDESCENDING,
    SENSOR_ERRORS,
    USUAL,
    noise_of,
    nuisances,
    trust,
)
from calibration.procedure import CalibrationError
from calibration.twin_parameters import MOST, TwinParameter, truth_of
from calibration.twin_work import HERE, TwinWork
from robot.spec import RobotSpec
from sim.log_windows import Windows
from sim.plant import Array
from sim.randomisation import command_delay
from sim.replay import TIMESTEP, Replayed, replay_drive

COARSE = 0.002
"""Step of the physics for derivatives [s]: half the cost, and they need not be exact."""
ROUGH, ROUGH_ITERATIONS = 3, 4
"""Far from the end every so many-th chunk tells enough, with guessed noise and differences to one side, for
so many iterations."""
ROUNDS = ((6, False), (6, True))
"""Iterations, at most, with what the residuals say of the noise, and whether the twin is nearly there. Until
then sensors are off by constants only. What all of them are late by looks like a delay of the commands, and
as much of both as nothing explains is a valley that ends elsewhere; and a gyroscope and speeds off by a share
of their values look like other wheels on another floor, where the best is short of the truth. And chunks that
are odd keep their pull: the twin spins in some of them until its friction is the robot's. In both rounds
chunks are weighed anew after every step (iteratively reweighted least squares): a twin that follows a chunk
at last is told more by it."""
NEARBY, AT_LAST = 0.8, 0.2
"""Derivatives are computed anew once a parameter is so many deviates from where they were; before a descent
ends, already at so many."""
ENOUGH = 0.02
"""Of the objective [1], which is a log-likelihood: a step that promises less is a fifth of a standard
deviation, and the last."""
SHARES = (1.0, 0.5, 0.25)
"""Of a step, tried in turn."""
SEARCHED, OTHERS = "tyre_friction", (-0.5, -0.25, 0.25, 0.5, 1.0)
"""A parameter that no step may lead to, and by how many deviates other values of it are tried: in chunks in
which the twin spins for want of grip derivatives say nothing, just where the robot shows how much it has."""
SIGMAS, FARTHEST = 2.0, 1.0
"""In the end derivatives are differences over so many standard deviations of what is not known, and no more
than so many deviates, to either side."""
JUMP = 0.1
"""Current and voltage jump where the mean of replays with a parameter a step higher and lower is farther than
this from the replay between them [standard deviations of white noise], and than half of what either differs
from it. Velocities look like that where tyres begin to slide, but cannot jump."""
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
    """``deviates`` of ``parameters``, shape (n,), and how certain they are; ``sensors``: how far theirs are
    off (``noise_model.nuisances``) [standard deviations], shape (k,); ``noise``: standard deviations of the
    residuals by channel in its unit, shape (5,); ``settled``: no step promised more, where it ended."""

    parameters: tuple[TwinParameter, ...]
    deviates: Array
    resolved: Resolved
    sensors: Array
    noise: Array
    settled: bool

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


@dataclass(frozen=True)
class Linear:
    """The twin near ``at``, shape (n,). ``columns``: what residuals change by in their units, for a deviate
    of each parameter and for a standard deviation of each sensor's error, shape (n + k, N, T, 5); 0 where
    nothing was measured. ``smooth``: 0 for samples in which the twin jumps, shape (N, T, 5): the motor's
    controller goes from driving to braking a millisecond sooner or later, and a derivative is as large as its
    step is small."""

    at: Array
    columns: Array
    smooth: Array


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
        self._axes: Array = np.diag([p.step for p in parameters])
        """Along what derivatives are taken, and how far to either side: columns of deviates."""
        self._nearly_there = False
        self._rough = False
        """Whether noise is as guessed, and derivatives are differences to one side."""
        self._linear: Linear | None = None
        """Where it was last computed."""

    def residuals(self, deviates: Array, timestep: float = TIMESTEP) -> Array:
        """Twin less log in the channels' units, for columns of deviates (n, m): shape (m, N, T, 5); NaN where
        the log is silent, infinite where the physics diverged. The twin delays commands by whole
        milliseconds: between two of them lies what both make of the log."""
        cars = [self._car(column) for column in deviates.T]
        delays = np.array([delay for _, delay in cars])
        below = np.floor(delays + 1e-6)
        between = np.flatnonzero(delays - below > 1e-6)
        # In one batch: few cars take the time that Python takes for a step.
        every = cars + [cars[k] for k in between.tolist()]
        found = self._channels(every, np.concatenate((below, below[between] + 1.0)), timestep)
        found, above = found[: len(cars)], found[len(cars) :]
        share = (delays - below)[between, None, None, None]
        found[between] = (1.0 - share) * found[between] + share * above
        found[np.isnan(found)] = np.inf
        return np.asarray(found - self._chunks.measured)

    def unexplained(self, fit: Fit) -> Array:
        """Residuals that are left of what a fit, of these chunks or others, found of car and sensors, shape
        (N, T, 5)."""
        left = self.residuals(fit.deviates[:, None])[0]
        return np.asarray(left + np.tensordot(fit.sensors, self._sensors(fit.deviates, TIMESTEP), 1))

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
        """Raises CalibrationError if the twin cannot follow the log at all."""
        n = len(self._parameters)
        few = self._chunks.take(range(0, len(self._chunks), ROUGH))
        rough = Identification(self._spec, few, self._parameters, self._work)
        rough._rough = True
        at, _, _ = rough._descend(*rough._begin(np.zeros(n)), ROUGH_ITERATIONS)
        self._work.progress("roughly there")
        at, left = self._begin(at[:n])
        for iterations, self._nearly_there in ROUNDS:
            at, left = self._searched(at, left)
            self._weigh(left, at)
            at, left, settled = self._descend(at, left, iterations)
            self._work.progress(f"objective {self._objective(left, at):.4g}")
            noise = self._weigh(left, at)
            by_chunk = self._jacobian(at)[: -len(at)].reshape(len(left), -1, len(at))
            resolved = resolve(marginalised(np.einsum("cmk,cml->kl", by_chunk, by_chunk), n))
            self._axes = self._principal_axes(resolved.covariance)
        wider = spread(by_chunk, self._weighted(left, at)[: -len(at)].reshape(len(left), -1))[:n]
        resolved = resolved.widened(np.maximum(wider, 1.0))
        return Fit(self._parameters, at[:n], resolved, at[n:], noise, settled)

    def _principal_axes(self, covariance: Array) -> Array:
        """Of what is not known: along them the twin is as good as linear as far as the truth may be. Changed
        one by one as far as that, mass and friction throw a car off its line that together keep it there. A
        delay has an axis of its own."""
        covariance = covariance.copy()
        steps = np.array([p.step for p in self._parameters])
        own = [row for row, p in enumerate(self._parameters) if p.name == "command_delay"]
        for row in own:
            covariance[row, :] = covariance[:, row] = 0.0
        variances, axes = np.linalg.eigh(covariance)
        axes = axes * np.minimum(SIGMAS * np.sqrt(np.maximum(variances, 0.0)), FARTHEST)
        for row in own:  # its variance is the least now, and its axis the first
            axes[:, 0], axes[row, 0] = 0.0, steps[row]
        return np.asarray(axes)

    def _begin(self, deviates: Array) -> tuple[Array, Array]:
        """Trust as of ``deviates``, shape (n,); they, with sensors' errors of 0, and the residuals there."""
        left = self.residuals(deviates[:, None])[0]
        self._trust, self._linear = trust(left, BOUNDED), None
        return np.concatenate((deviates, np.zeros(SENSOR_ERRORS))), left

    def _weigh(self, left: Array, at: Array) -> Array:
        """Weights from what residuals say of the noise, and that noise. Raises CalibrationError."""
        if not np.isfinite(left[~np.isnan(left)]).all():
            raise CalibrationError(
                "the twin's physics diverged on what was found; expected the log of a car on a flat floor: "
                "leave out logs in which it was carried or flipped"
            )
        left, smooth = self._corrected(left, at), self._smooth()
        self._trust = trust(left, REDESCENDING if self._nearly_there else BOUNDED)
        noise, correlation = noise_of(np.where(smooth > 0.0, left * self._trust, np.nan))
        self._weights = 1.0 / (noise * np.sqrt(correlation))
        return noise

    def _descend(self, at: Array, left: Array, iterations: int) -> tuple[Array, Array, bool]:
        """Gauss-Newton from ``at``, shape (n + k,), with the residuals there: where it ends, those there, and
        whether it ended by itself.

        Not ``mujoco.minimize``: its search for a damping factor asks for up to 140 replays once derivatives,
        which come from a coarser twin, no longer tell the last digits; here such a step is the last one.
        """
        self._linear = self._linearised(at)
        for _ in range(iterations):
            better = self._step(at, left)
            at, left = better or (at, left)
            if better and not self._rough:
                self._weigh(left, at)
            if self._moved(at) > (NEARBY if better else AT_LAST):
                self._linear = self._linearised(at)
            elif not better:
                return at, left, True
        return at, left, False

    def _searched(self, at: Array, left: Array) -> tuple[Array, Array]:
        """From ``at`` along ``SEARCHED`` as long as a value of it is better, however much chunks that are odd
        are left out for now: where that ends, and the residuals there."""
        names = [p.name for p in self._parameters]
        if SEARCHED not in names:
            return at, left
        row, n, best = names.index(SEARCHED), len(names), at
        found = self.residuals(at[:n, None], COARSE)[0]
        usual = float(np.median(self._by_chunk(found, at)))
        cost = self._bounded(found, at, usual)
        while True:
            others = np.tile(best[:, None], len(OTHERS))
            others[row] = np.clip(others[row] + OTHERS, -MOST, MOST)
            costs = [self._bounded(one, at, usual) for one in self.residuals(others[:n], COARSE)]
            if min(costs) > cost - ENOUGH:
                break
            cost, best = min(costs), others[:, int(np.argmin(costs))]
        return (at, left) if best is at else (best, self.residuals(best[:n, None])[0])

    def _by_chunk(self, left: Array, at: Array) -> Array:
        """Mean square of the corrected residuals [standard deviations], shape (N,)."""
        scaled = self._corrected(left, at) * self._weights * self._smooth()
        lost = np.nan_to_num(scaled, nan=np.nan, posinf=DIVERGED, neginf=-DIVERGED)
        return np.asarray(np.nanmean(np.square(lost), axis=(1, 2)))

    def _bounded(self, left: Array, at: Array, usual: float) -> float:
        """The data's part of the objective with a pull of each chunk that is bounded (``BOUNDED``)."""
        squares = self._by_chunk(left, at)
        samples = np.isfinite(self._chunks.measured).sum(axis=(1, 2))
        return 0.5 * float((samples * squares * np.minimum(1.0, USUAL / np.sqrt(squares / usual))).sum())

    def _step(self, at: Array, left: Array) -> tuple[Array, Array] | None:
        """Where one step ends, and the residuals there; None if no step is worth it."""
        jacobian, objective = self._jacobian(at), self._objective(left, at)
        slope = jacobian.T @ self._weighted(left, at)
        step = -np.linalg.solve(jacobian.T @ jacobian, slope)
        if -0.5 * float(slope @ step) < ENOUGH:
            return None
        for share in SHARES:
            trial = np.clip(at + share * step, -MOST, MOST)
            there = self.residuals(trial[: len(self._parameters), None])[0]
            if self._objective(there, trial) < objective:
                return trial, there
        return None

    def _corrected(self, left: Array, at: Array) -> Array:
        """Residuals with the sensors' errors ``at``, shape (N, T, 5)."""
        if self._linear is None:
            return left
        n = len(self._parameters)
        return np.asarray(left + np.tensordot(at[n:], self._linear.columns[n:], 1))

    def _weighted(self, left: Array, at: Array) -> Array:
        """Corrected residuals in standard deviations, the priors' last, shape (m + n + k,)."""
        scaled = self._corrected(left, at) * self._scale()
        scaled = np.nan_to_num(scaled, nan=0.0, posinf=DIVERGED, neginf=-DIVERGED)
        return np.concatenate((scaled.ravel(), at))

    def _objective(self, left: Array, at: Array) -> float:
        weighted = self._weighted(left, at)
        return 0.5 * float(weighted @ weighted)

    def _smooth(self) -> Array:
        return np.ones(self._chunks.measured.shape) if self._linear is None else self._linear.smooth

    def _scale(self) -> Array:
        """What residuals in their units are multiplied by, shape (N, T, 5)."""
        return np.asarray(self._weights * self._trust * self._smooth())

    def _jacobian(self, at: Array) -> Array:
        """Of ``_weighted``, shape (m + n + k, n + k)."""
        assert self._linear is not None
        scaled = (self._linear.columns * self._scale()).reshape(len(at), -1)
        return np.concatenate((scaled.T, np.eye(len(at))))

    def _moved(self, at: Array) -> float:
        """How far it is from where the twin was linearised [deviates]; infinite if it was not."""
        if self._linear is None:
            return math.inf
        return float(np.abs(at[: len(self._parameters)] - self._linear.at).max())

    def _linearised(self, at: Array) -> Linear:
        """At the parameters ``at``."""
        here = at[: len(self._parameters)].copy()
        derivatives, jumps = self.derivatives(here)
        errors = self._sensors(here, COARSE)
        if not self._nearly_there:
            errors[PROPORTIONAL] = 0.0
        columns = np.concatenate((derivatives, errors))
        columns[:, np.isnan(self._chunks.measured)] = 0.0
        columns = np.nan_to_num(columns, nan=0.0, posinf=0.0, neginf=0.0)
        return Linear(here, columns, np.where(jumps, 0.0, 1.0))

    def _sensors(self, deviates: Array, timestep: float) -> Array:
        """What each of the sensors' errors adds at one standard deviation, shape (k, N, T, 5), at the whole
        millisecond of delay that is nearest."""
        chunks = self._chunks
        truth, delay_ms = self._car(deviates)
        replayed = self._replayed(chunks, [truth] * len(chunks), np.rint([delay_ms]), timestep)
        slope = slopes(chunks, replayed) * self._spec.rates.guardian_hz
        return nuisances(modelled(chunks, replayed), slope)

    def derivatives(self, at: Array) -> tuple[Array, NDArray[np.bool_]]:
        """Differences of ``residuals`` in the coarse twin, at the whole millisecond of delay that is nearest,
        shape (n, N, T, 5), and the samples in which the twin jumps with any parameter, shape (N, T, 5), which
        only central ones tell."""
        axes = self._axes
        sides = (axes,) if self._rough else (axes, -axes)
        room = MOST - np.abs(axes).max(axis=1)
        at = self._whole_delay(np.clip(at, -room, room))
        every = self.residuals(np.column_stack((at, *(at[:, None] + side for side in sides))), COARSE)
        self._work.progress("derivatives computed")
        # Where the twin spins, as it may far from the truth, differences say nothing.
        model = np.moveaxis(every + self._chunks.measured, -1, 0)
        lost = spun(model[: len(STATES)], self._spec.scalar("rear_axle"))
        lost = lost[0] | lost[1:].reshape(len(sides), len(at), *lost.shape[1:]).any(axis=0)
        with np.errstate(invalid="ignore"):
            changes = np.split(every[1:] - every[0], len(sides))
            mean = changes[0] if self._rough else (changes[0] - changes[1]) / 2.0
            bend = np.zeros_like(mean) if self._rough else (changes[0] + changes[1]) / 2.0
        mean, bend = (np.where(lost[..., None], 0.0, one) for one in (mean, bend))
        jumps = np.abs(bend) > np.maximum(JUMP / self._weights, np.abs(mean) / 2.0)
        jumps[..., : len(STATES)] = False
        return np.tensordot(np.linalg.inv(axes), mean, (0, 0)), jumps.any(axis=0)

    def _whole_delay(self, at: Array) -> Array:
        found = at.copy()
        for row, p in enumerate(self._parameters):
            if p.name == "command_delay":
                found[row] = p.deviate(1e-3 * round(1e3 * p.at(float(at[row]))))
        return found
