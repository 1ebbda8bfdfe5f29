"""Uncertainty against closed forms: correlated noise, the linear Gaussian posterior, frozen directions."""

from __future__ import annotations

import numpy as np
import pytest

from calibration.confidence import (
    autocorrelation_time,
    marginalised,
    resolve,
    spread,
)


def test_the_autocorrelation_time_of_a_first_order_process_is_known() -> None:
    rng, kept = np.random.default_rng(0), 0.8
    x = np.zeros((40, 2000))
    x[:, 0] = rng.standard_normal(40)
    for k in range(1, x.shape[1]):
        x[:, k] = kept * x[:, k - 1] + np.sqrt(1 - kept**2) * rng.standard_normal(40)
    assert autocorrelation_time(x) == pytest.approx((1 + kept) / (1 - kept), rel=0.1)
    x[:, ::7] = np.nan
    assert autocorrelation_time(x) == pytest.approx((1 + kept) / (1 - kept), rel=0.1)
    assert autocorrelation_time(rng.standard_normal((40, 2000))) == pytest.approx(1.0, abs=0.02)


def test_the_covariance_is_that_of_the_linear_gaussian_posterior() -> None:
    jacobian = 5.0 * np.random.default_rng(1).standard_normal((50, 4))
    exact = np.linalg.inv(jacobian.T @ jacobian + np.eye(4))
    found = resolve(jacobian)
    np.testing.assert_allclose(found.covariance, exact, rtol=1e-9)
    assert len(found.frozen) == 0


def test_a_ratio_that_alone_is_told_freezes_the_product() -> None:
    """Two parameters of which only the difference of deviates (a ratio) matters."""
    column = 20.0 * np.random.default_rng(2).standard_normal((30, 1))
    found = resolve(column @ np.array([[1.0, -1.0]]))
    (frozen,) = found.frozen
    np.testing.assert_allclose(np.abs(frozen), np.sqrt(0.5) * np.ones(2), rtol=1e-9)
    assert frozen[0] * frozen[1] > 0
    # Each alone is as uncertain as half the prior and more; their difference is sharp.
    np.testing.assert_allclose(found.remaining(), 0.5 * np.ones(2), atol=1e-3)
    ratio = np.array([1.0, -1.0])
    assert ratio @ found.covariance @ ratio < 1e-3


def test_fewer_data_than_parameters_leave_the_prior() -> None:
    found = resolve(np.array([[3.0, 0.0, 0.0]]))
    np.testing.assert_allclose(found.covariance, np.diag([0.1, 1.0, 1.0]), atol=1e-12)
    assert len(found.frozen) == 2


def test_marginalising_nuisances_gives_the_joint_posterior_s_block() -> None:
    rng = np.random.default_rng(4)
    jacobian, nuisances = 4.0 * rng.standard_normal((60, 3)), 3.0 * rng.standard_normal((60, 5))
    joint = np.hstack((jacobian, nuisances))
    exact = np.linalg.inv(joint.T @ joint + np.eye(8))[:3, :3]
    np.testing.assert_allclose(resolve(marginalised(joint.T @ joint, 3)).covariance, exact, rtol=1e-8)


def test_what_hangs_together_in_a_chunk_counts_once() -> None:
    rng = np.random.default_rng(3)
    chunks, samples = 4000, 25
    jacobian = rng.standard_normal((chunks, samples, 2)) * [1.0, 0.0] + [0.0, 1.0]
    white = rng.standard_normal((chunks, samples))
    np.testing.assert_allclose(spread(jacobian, white), [1.0, 1.0], rtol=0.05)
    # A constant of its own in each: a mean sees it once a chunk, what averages out in a chunk as white noise.
    together = white + 2.0 * rng.standard_normal((chunks, 1))
    np.testing.assert_allclose(spread(jacobian, together), np.sqrt([5.0, 1.0 + samples * 4.0]), rtol=0.05)


def test_no_deviate_becomes_wider_than_its_prior() -> None:
    resolved = resolve(np.diag([10.0, 1.2]))
    found = resolved.widened(np.array([3.0, 3.0])).remaining()
    np.testing.assert_allclose(found, [9.0 / 101.0, 1.0])
