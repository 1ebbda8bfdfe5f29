"""How certain a least-squares estimate is: correlated residuals, and directions that the data do not tell."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sim.plant import Array

ALONE = 0.7
"""Share of what is known along a direction [1] that no single chunk is believed."""
SMALLEST = 0.05
"""Autocorrelation below which the rest is taken for noise [1]."""


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

    def without_frozen(self, deviates: Array) -> Array:
        """Deviates moved to the prior's 0 along every direction that the data do not tell, shape (n,)."""
        kept = self.directions[self.told >= 1.0]
        return np.asarray(kept.T @ (kept @ deviates))

    def remaining(self) -> Array:
        """Of each deviate's prior variance, 1, what is left [1], shape (n,)."""
        return np.asarray(np.diag(self.covariance))

    def widened(self, times: Array) -> Resolved:
        """With each deviate's standard deviation so many times as large, shape (n,), at most the prior's."""
        scale = np.minimum(times, np.maximum(1.0, 1.0 / np.sqrt(self.remaining())))
        return replace(self, covariance=self.covariance * np.outer(scale, scale))


def marginalised(jacobian: Array, nuisances: Array) -> Array:
    """A square Jacobian, shape (n, n), that tells as much of the parameters as ``jacobian``, shape (m, n),
    does when of ``nuisances``, columns (m, k), only their standard normal priors are known: the Schur
    complement of the joint information."""
    inner = np.eye(nuisances.shape[1]) + nuisances.T @ nuisances
    cross = nuisances.T @ jacobian
    information = jacobian.T @ jacobian - cross.T @ np.linalg.solve(inner, cross)
    values, vectors = np.linalg.eigh(information)
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


def alone(jacobian: Array) -> NDArray[np.bool_]:
    """Which chunks, of a ``jacobian`` of shape (N, m, k) in deviates of standard normal priors, tell more
    than ``ALONE`` of what is known along some direction: shape (N,).

    Nothing confirms them, and a replay that jumps, because a wheel lifts or the rear lets go, has derivatives
    as large as its steps are small: it seems to tell everything. Without it such a direction stays uncertain.
    """
    information = np.einsum("nmk,nml->nkl", jacobian, jacobian)
    total = information.sum(axis=0) + np.eye(jacobian.shape[-1])
    found = np.zeros(len(jacobian), bool)
    while True:
        root = np.linalg.inv(np.linalg.cholesky(total))
        share = np.linalg.eigvalsh(root @ information @ root.T)[:, -1]
        share[found] = 0.0
        worst = int(np.argmax(share))
        if share[worst] <= ALONE:
            return found
        found[worst] = True
        total = total - information[worst]
