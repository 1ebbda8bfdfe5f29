"""G2, whether the twin is this robot: windows of its logs replayed open loop, and how fast twin and log part.

Even a perfect twin parts from the log, because it starts from an estimate and is compared with one. So the
replay is held against a *noise floor*: the twin's own replays, each started once more from a state that is
wrong by an error drawn from what the estimator was measured to have (``sim.estimate_errors``), and compared
with the first replay as an estimator of that error would have logged it. A twin that is the robot stays at
the floor, at every horizon.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robot.spec import RobotSpec
from robot.validation_report import GateResult
from sim.estimate_errors import EstimateErrors
from sim.log_windows import ELEMENTS, HEADING, Flags, Windows
from sim.plant import Array
from sim.replay import replay

QUANTITIES = ("position", "heading", "speed", "yaw rate")
UNITS = ("m", "rad", "m/s", "rad/s")
HORIZONS_S = (0.5, 1.0, 5.0)


@dataclass(frozen=True)
class Divergence:
    """How far twin and log, and twin and twin, are apart: ``measured`` and ``floor`` of ``QUANTITIES``, shape
    (N, slots + 1, 4), NaN where there is nothing to compare; ``time_s`` since each window began, shape
    (slots + 1,); ``replayed``: the twin's own states, shape (N, slots + 1, 6)."""

    windows: Windows
    time_s: Array
    replayed: Array
    measured: Array
    floor: Array


def divergence(
    spec: RobotSpec, errors: EstimateErrors, windows: Windows, seed: int = 0, threads: int = 0
) -> Divergence:
    """Replay every window from the log, and once more from a wrong start for the floor."""
    n, rng = len(windows), np.random.default_rng(seed)
    wrong = estimate_errors(spec, errors, n, windows.slots + 1, rng)
    start = windows.states[:, windows.lead]
    begin = np.concatenate((start, start + wrong[:, 0]))
    both = replay(spec, windows.take(np.tile(np.arange(n), 2)), begin=begin, threads=threads)
    ours, theirs = both[:n], both[n:]
    return Divergence(
        windows=windows,
        time_s=np.arange(windows.slots + 1) / spec.rates.guardian_hz,
        replayed=ours,
        measured=apart(ours, windows.states[:, windows.lead :], windows.known),
        floor=apart(theirs, ours + wrong, windows.known),
    )


def estimate_errors(
    spec: RobotSpec, errors: EstimateErrors, count: int, slots: int, rng: np.random.Generator
) -> Array:
    """Errors of estimates of ``log_windows.ELEMENTS``, slot by slot: drift, a first-order Gauss-Markov
    process, and white noise; shape (count, slots, 6)."""
    index = [spec.state_layout.index(name) for name in ELEMENTS]
    drift, noise = errors.drift[index], errors.noise[index]
    kept = np.exp(-1.0 / (spec.rates.guardian_hz * errors.drift_time_s[index]))
    found = np.empty((count, slots, len(index)))
    state = drift * rng.standard_normal((count, len(index)))
    for slot in range(slots):
        found[:, slot] = state
        state = kept * state + np.sqrt(1.0 - kept**2) * drift * rng.standard_normal(state.shape)
    return np.asarray(found + noise * rng.standard_normal(found.shape))


def apart(ours: Array, theirs: Array, known: Flags) -> Array:
    """Distances of ``QUANTITIES`` between states of ``log_windows.ELEMENTS``, shape (N, T, 4)."""
    gap = ours - theirs
    turned = np.remainder(gap[..., HEADING] + np.pi, 2 * np.pi) - np.pi
    speed = np.hypot(ours[..., 3], ours[..., 4]) - np.hypot(theirs[..., 3], theirs[..., 4])
    found = np.stack((np.hypot(gap[..., 0], gap[..., 1]), turned, speed, gap[..., 5]), axis=-1)
    return np.where(known[..., None], np.abs(found), np.nan)
