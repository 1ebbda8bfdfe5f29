"""G2, whether the twin is this robot: windows of its logs replayed open loop, and how fast twin and log part.

Even a perfect twin parts from the log, because it starts from an estimate and is compared with one. So the
replay is held against a *noise floor*: every window is replayed once more from a log that is wrong by errors
drawn from what the estimator was measured to have (``sim.estimate_errors``), and compared with the first
replay as an estimator of those errors would have logged it. How fast the drift changes depends on the
manoeuvre, so at a window's start and at the comparison it is drawn independently: the most it can add. A twin
that is the robot stays near the floor, at every horizon.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from robot.errors import SandlotError
from robot.spec import RobotSpec
from robot.validation_report import GateResult
from sim.estimate_errors import EstimateErrors
from sim.log_windows import ELEMENTS, HEADING, Flags, Recording, Windows, cut, join
from sim.plant import Array
from sim.replay import replay
from sim.validation.targets import Targets

QUANTITIES = ("position", "heading", "speed", "yaw rate")
UNITS = ("m", "rad", "m/s", "rad/s")
HORIZONS_S = (0.5, 1.0, 5.0)
STRIDE_S = 2.5
"""From the start of a window to the next [s]: each moment is in two of the longest."""
MOST = 40
"""Windows that are replayed, taken evenly from all."""
QUARTILE = 0.75
FEWEST = 5
"""Windows without which nothing is said of a horizon."""
NAME = "G2 twin validity"


@dataclass(frozen=True)
class Growth:
    """Upper quartiles over the windows at one horizon: ``measured`` and ``floor`` of ``QUANTITIES``, shape
    (4,), of ``windows`` windows. Not root mean squares: a car that just slides or just does not decides
    about a mean, on either side."""

    horizon_s: float
    windows: int
    measured: Array
    floor: Array

    @property
    def ratio(self) -> Array:
        """How many times the floor, shape (4,); infinite where either diverged: a twin that cannot be
        compared with itself says nothing of a robot."""
        with np.errstate(invalid="ignore", divide="ignore"):
            found = self.measured / self.floor
        return np.where(np.isfinite(self.floor) & ~np.isnan(found), found, np.inf)


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
    spec: RobotSpec,
    errors: EstimateErrors,
    windows: Windows,
    seed: int = 0,
    threads: int = 0,
    truth: Mapping[str, float] | None = None,
) -> Divergence:
    """Replay every window from the log, and once more from a wrong log for the floor. ``truth``: values of
    ``sim.car.CarParameters`` in which the car differs from the ``spec`` that its log was driven under."""
    n, rng = len(windows), np.random.default_rng(seed)
    shape, lead = (n, windows.states.shape[1]), windows.lead
    begun = estimate_errors(spec, errors, shape, rng)
    ended = estimate_errors(spec, errors, shape, rng)[:, lead:]
    twice = join([windows, replace(windows, states=windows.states + begun)])
    both = replay(spec, twice, [truth or {}] * 2 * n, threads=threads)
    ours, theirs = both[:n], both[n:]
    return Divergence(
        windows=windows,
        time_s=np.arange(windows.slots + 1) / spec.rates.guardian_hz,
        replayed=ours,
        measured=apart(ours, windows.states[:, lead:], windows.known),
        floor=apart(theirs, ours + ended, windows.known),
    )


def estimate_errors(
    spec: RobotSpec, errors: EstimateErrors, shape: tuple[int, int], rng: np.random.Generator
) -> Array:
    """Errors of estimates of ``log_windows.ELEMENTS`` in (count, slots) = ``shape``: drift, the same all
    along, and white noise; shape (count, slots, 6)."""
    index = [spec.state_layout.index(name) for name in ELEMENTS]
    drift = errors.drift[index] * rng.standard_normal((shape[0], 1, len(index)))
    return np.asarray(drift + errors.noise[index] * rng.standard_normal((*shape, len(index))))


def apart(ours: Array, theirs: Array, known: Flags) -> Array:
    """Distances of ``QUANTITIES`` between states of ``log_windows.ELEMENTS``, shape (N, T, 4)."""
    gap = ours - theirs
    turned = np.remainder(gap[..., HEADING] + np.pi, 2 * np.pi) - np.pi
    speed = np.hypot(ours[..., 3], ours[..., 4]) - np.hypot(theirs[..., 3], theirs[..., 4])
    found = np.stack((np.hypot(gap[..., 0], gap[..., 1]), turned, speed, gap[..., 5]), axis=-1)
    return np.where(known[..., None], np.abs(found), np.nan)


def windows_of(
    spec: RobotSpec, errors: EstimateErrors, recordings: Sequence[Recording], most: int = MOST
) -> Windows:
    """Of several logs, no more than ``most``, evenly from all. Raises SandlotError if there are none."""
    parts = [cut(spec, errors, r, HORIZONS_S[-1], HORIZONS_S[0], STRIDE_S) for r in recordings]
    every = join(parts)
    if not len(every):
        raise SandlotError(
            "in no stretch of the logs did the robot drive for a second without touching anything"
        )
    if len(every) <= most:
        return every
    return every.take(np.linspace(0, len(every) - 1, most).astype(np.intp))


def growth(found: Divergence) -> list[Growth]:
    """At each of ``HORIZONS_S`` that enough windows reach. A replay whose physics diverged is infinitely far
    apart."""
    told = []
    for horizon in HORIZONS_S:
        slot = int(np.searchsorted(found.time_s, horizon - 1e-9))
        if slot == len(found.time_s):
            break  # windows are shorter
        reached = found.windows.known[:, slot]
        if reached.sum() >= FEWEST:
            both = [
                np.quantile(
                    np.nan_to_num(values[reached, slot], nan=np.inf), QUARTILE, axis=0, method="higher"
                )
                for values in (found.measured, found.floor)
            ]
            told.append(Growth(horizon, int(reached.sum()), *both))
    return told


def twin_validity_gate(told: Sequence[Growth], targets: Targets, source: str) -> GateResult:
    """G2 of logs called ``source``."""
    rule = (
        f"replayed open loop for {', '.join(f'{h:g}' for h in HORIZONS_S)} s, twin and log part by at most "
        f"{targets.twin_ratio:g} times the noise floor, upper quartiles over windows; measured: the worst"
    )
    if not told:
        why = f"{source}: fewer than {FEWEST} windows in which the robot drove and touched nothing"
        return GateResult(NAME, "skipped", rule, detail=why)
    worst = max(float(found.ratio.max()) for found in told)
    return GateResult(
        NAME,
        "pass" if worst <= targets.twin_ratio else "fail",
        rule,
        worst,
        targets.twin_ratio,
        f"{source}: " + "; ".join(words(found) for found in told),
    )


def words(found: Growth) -> str:
    """One horizon's line."""
    parts = (
        f"{name} {ours:.2g} {unit} (floor {floor:.2g})"
        for name, ours, unit, floor in zip(QUANTITIES, found.measured, UNITS, found.floor, strict=True)
    )
    return f"after {found.horizon_s:g} s {', '.join(parts)}"
