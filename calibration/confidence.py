"""How certain a least-squares estimate is: correlated residuals, and directions that the data do not tell."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import t as student

from sim.plant import Array

SMALLEST = 0.05
"""Autocorrelation below which the rest is taken for noise [1]."""


def student_over_normal(freedom: int) -> float:
    """How many times as large a standard deviation has to be told that comes from so many degrees of freedom,
    so that the normal 95 % interval made of it is as wide as Student's."""
    return float(student.ppf(0.975, freedom)) / 1.959964


def autocorrelation_time(residuals: Array) -> float:
    """How many neighbouring samples tell as much as one independent one: 1 + 2 sum of the autocorrelation
    up to where it first falls below ``SMALLEST`` (Geyer 1992, initial positive sequence). ``residuals``,
    shape (N, T), of zero expectation, NaN where there are none."""
    known = np.isfinite(residuals)
    values = np.where(known, residuals, 0.0)
    variance = float((values**2).sum()) / max(int(known.sum()), 1)
    total = 1.0
    for lag in range(1, residuals.shape[1] // 2):
        pairs = known[:, lag:] & known[:, :-lag]
        if not pairs.any() or variance == 0.0:
            break
        share = float((values[:, lag:] * values[:, :-lag]).sum()) / int(pairs.sum()) / variance
        if share < SMALLEST:
            break
        total += 2.0 * share
    return total


@dataclass(frozen=True)
class Resolved:
    """``told``: singular values of the whitened Jacobian by direction, largest first, shape (n,): how many
    times as precise as the prior the data are; ``directions``: rows of unit vectors in deviates, shape (n,
    n); ``covariance`` of the deviates, shape (n, n)."""

    told: Array
    directions: Array
    covariance: Array

    @property
    def frozen(self) -> Array:
        """Directions of which the data say less than the prior, shape (k, n)."""
        return np.asarray(self.directions[self.told < 1.0])

    def remaining(self) -> Array:
        """Of each deviate's prior variance, 1, what is left [1], shape (n,)."""
        return np.asarray(np.diag(self.covariance))

    def widened(self, times: Array) -> Resolved:
        """With each deviate's standard deviation so many times as large, shape (n,), at most the prior's."""
        scale = np.minimum(times, np.maximum(1.0, 1.0 / np.sqrt(self.remaining())))
        return replace(self, covariance=self.covariance * np.outer(scale, scale))


def marginalised(information: Array, n: int) -> Array:
    """A square Jacobian, shape (n, n), that tells as much of the first ``n`` as ``information``, shape
    (n + k, n + k), does when of the other k only their standard normal priors are known: the Schur
    complement."""
    cross = information[:n, n:]
    inner = information[n:, n:] + np.eye(len(information) - n)
    left = information[:n, :n] - cross @ np.linalg.solve(inner, cross.T)
    values, vectors = np.linalg.eigh(left)
    return np.asarray(np.sqrt(np.maximum(values, 0.0))[:, None] * vectors.T)


def resolve(jacobian: Array) -> Resolved:
    """From the Jacobian of residuals that are white with variance 1, in deviates whose prior is a standard
    normal, shape (m, n). Along a singular direction the posterior variance is 1 / (1 + s^2) (Gauss-Newton);
    where s < 1 the direction is frozen and keeps the prior's variance, 1."""
    _, told, directions = np.linalg.svd(jacobian, full_matrices=True)
    told = np.concatenate((told, np.zeros(len(directions) - len(told))))
    variance = np.where(told < 1.0, 1.0, 1.0 / (1.0 + told**2))
    return Resolved(told, directions, np.asarray(directions.T * variance @ directions))


def spread(jacobian: Array, residuals: Array) -> Array:
    """How many times as large as white noise of variance 1 makes them the standard deviations of an estimate
    are if only chunks are independent, and what is in one may hang together as it likes: the cluster-robust
    covariance (Liang and Zeger 1986, "Longitudinal data analysis using generalized linear models").
    ``jacobian``, shape (N, m, k), in deviates of standard normal priors; ``residuals`` at the estimate, shape
    (N, m); returns shape (k,)."""
    n, _, k = jacobian.shape
    flat = jacobian.reshape(-1, k)
    inverse = np.linalg.inv(flat.T @ flat + np.eye(k))
    scores = np.einsum("nmk,nm->nk", jacobian, residuals)
    covariance = inverse @ (scores.T @ scores) @ inverse * (n / (n - 1))
    return np.asarray(np.sqrt(np.diag(covariance) / np.diag(inverse)))
