"""What stands between a log and the twin that follows it: noise, sensors that are a little off and a little
late, and stretches in which something else happened. Channels as in ``calibration.chunks``."""

from __future__ import annotations

import numpy as np

from calibration.confidence import autocorrelation_time
from sim.plant import Array

HANGS_TOGETHER = np.array([10.0, 10.0, 10.0, 1.0, 1.0])
"""So many neighbouring samples of a channel [1] are never taken to tell more than one: what the twin does not
know about a car lasts as long as its motions, 0.2 s."""
USUAL = 2.0
"""A chunk whose residuals are so many times the usual counts less: something else than driving was in it,
such as a wall."""
BOUNDED, REDESCENDING = 0.5, 2.0
"""By which power: the farther out, the pull stays as it is (Huber's M-estimator, with chunks as samples), or
becomes smaller and smaller. The first ends at one place wherever it begins; the second, from afar, would
leave out what is far only from where it begins."""
SENSOR_BIAS = np.array([0.002, 0.012, 0.015, 0.1, 0.02])
"""Standard deviations of what a channel may be off all along, in its unit: the gyroscope after its bias was
estimated, the velocities' drift (sim/estimates), a current shunt's and a divider's offset."""
SENSOR_SCALE = np.array([0.003, 0.01, 0.01, 0.01, 0.005])
"""Standard deviations of what a channel may be off in proportion [1]: a gyroscope's scale, speeds that an
estimator takes in part from wheels of another size, a shunt and a divider."""
SENSOR_LAG_S = 0.002
"""Standard deviation of how late a channel may be beyond what is known [s]: estimates' lags are measured to
the millisecond, and what keeps a command on its way keeps the question to the motor's controller as well."""
SENSOR_ERRORS = 3 * len(SENSOR_BIAS)
"""What may be off: a bias, a scale and a lag in each channel, in this order."""
PROPORTIONAL = slice(len(SENSOR_BIAS), SENSOR_ERRORS)
"""Rows of the scales and the lags among them."""


def nuisances(model: Array, slopes: Array) -> Array:
    """What each channel's sensor may add at one standard deviation: a constant, a share of its value, and,
    being late, its slope; shape (15, N, T, 5). ``model``: the channels as the twin has them, ``slopes``: in
    time [unit/s], shape (N, T, 5) each."""
    eye = np.eye(slopes.shape[-1])[:, None, None, :]
    constants = eye * SENSOR_BIAS + np.zeros_like(slopes)
    return np.concatenate((constants, eye * SENSOR_SCALE * model, eye * SENSOR_LAG_S * slopes))


def trust(residuals: Array, power: float = REDESCENDING) -> Array:
    """How much each chunk counts, shape (N, 1, 1), from residuals (N, T, channels): 1 for a usual one."""
    with np.errstate(invalid="ignore"):
        squares = np.nanmean(np.square(residuals), axis=1)
    ratio = np.sqrt(squares / np.maximum(np.median(squares, axis=0), 1e-18)).max(axis=1)
    return np.asarray(np.minimum(1.0, (USUAL / np.maximum(ratio, 1e-9)) ** power))[:, None, None]


def noise_of(residuals: Array) -> tuple[Array, Array]:
    """Standard deviation and autocorrelation time [samples] by channel of residuals (N, T, channels), NaN
    where there are none."""
    channels = range(residuals.shape[-1])
    noise = np.array([np.sqrt(np.nanmean(np.square(residuals[..., c]))) for c in channels])
    times = np.array([autocorrelation_time(residuals[..., c]) for c in channels])
    return noise, np.maximum(times, HANGS_TOGETHER)
