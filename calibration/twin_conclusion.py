"""What is concluded from driving about the twin: a distribution of its parameters, and whether it is better.

A third of the drive is kept from the fit; there the twin must have become better, or the entry does not
count.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from calibration.chunks import CHANNELS, EVERY, SECONDS, UNITS, Chunks, chunks_of
from calibration.drive import Drive
from calibration.entry import Check, Finding, Quantity
from calibration.identification import Fit, Identification
from calibration.noise_model import trust
from calibration.procedure import Array, Estimate, Panel, Series
from calibration.twin_parameters import MOST, twin_parameters
from calibration.twin_work import TwinWork
from sim.estimate_errors import load_errors

HELD_OUT = 3
"""Every so many-th chunk is."""
MOST_HALF_WIDTH = 0.2
"""A 95 % interval whose half is more of its value is not told by the data (reference, gate b)."""
MOST_LEFT = 2.0
"""Held-out residuals may be so many times the fit's own: with more, something happened in the log that the
twin does not know, and the intervals do not speak of it."""
AT_BOUND = 0.99
"""Share of the bound beyond which an estimate, of the car or of a sensor's error, is at it (reference, gate
c)."""
TOLD = 0.5
"""A parameter whose prior variance is left by more than this share was told by the prior."""
NAMED = 0.35
"""Loadings of a direction from which on a parameter is named with it [1]."""


def estimate(drives: Sequence[Drive], work: TwinWork) -> Estimate:
    """Raises CalibrationError if there is too little to fit."""
    spec = drives[0].spec
    chunks = chunks_of(spec, load_errors(spec), drives, work.most_chunks)
    kept, held = split(chunks)
    # Commands mean what they did to the robot that sent them; what is likely follows from all that is known.
    parameters = twin_parameters(work.known or spec)
    work.progress(
        f"{len(chunks)} stretches of {SECONDS:g} s and {len(parameters)} parameters: a minute or two"
    )
    fit = Identification(spec, kept, parameters, work).fit()
    judge = Identification(spec, held, parameters, work)
    before = judge.residuals(np.zeros((len(parameters), 1)))[0]
    return conclusion(fit, held, before, judge.unexplained(fit), 1.0 / spec.rates.guardian_hz)


def split(chunks: Chunks) -> tuple[Chunks, Chunks]:
    """To fit, and to judge by."""
    rows = range(len(chunks))
    return (
        chunks.take([row for row in rows if row % HELD_OUT != HELD_OUT - 1]),
        chunks.take([row for row in rows if row % HELD_OUT == HELD_OUT - 1]),
    )


def conclusion(fit: Fit, held: Chunks, before: Array, after: Array, slot_s: float) -> Estimate:
    """From a fit, and the held-out residuals at the priors' middles and at the fit, shape (N, T, 5) each;
    ``slot_s``: the guardian's period [s]."""
    values, found = fit.values(), np.concatenate((fit.deviates, fit.sensors))
    quantities = tuple(Quantity(p.name, p.unit, values[p.name]) for p in fit.parameters)
    worse, better = error(before, fit.noise), error(after, fit.noise)
    told = [
        f"{name}: held-out error {b:.3g} {unit} before, {a:.3g} after"
        for name, unit, b, a in zip(CHANNELS, UNITS, rms(before), rms(after), strict=True)
    ]
    return Estimate(
        method="maximum a posteriori on replayed chunks, Gauss-Newton covariance",
        quantities=quantities,
        covariance=fit.covariance(),
        checks=(
            Check("held-out error, of that before", "1", better / worse, 1.0),
            Check("held-out error, of what the fit leaves of its own", "1", better, MOST_LEFT),
            Check("largest deviate, of its bound", "1", float(np.abs(found).max()) / MOST, AT_BOUND),
        ),
        findings=tuple(
            Finding(f"held-out {name}", unit, float(value))
            for name, unit, value in zip(CHANNELS, UNITS, rms(after), strict=True)
        ),
        panels=(*_traces(held, before, after, slot_s), _intervals(fit)),
        lines=tuple(told),
        frozen=frozen(fit),
    )


def rms(residuals: Array) -> list[float]:
    """By channel, of (N, T, 5) with NaN where there are none; a replay that diverged is infinitely wrong."""
    return [float(np.sqrt(np.nanmean(np.square(residuals[..., c])))) for c in range(residuals.shape[-1])]


def error(residuals: Array, noise: Array) -> float:
    """Root mean square over the channels, each in its own noise [1]. An odd stretch counts less, as in a fit,
    but a replay that diverged is infinitely wrong."""
    with np.errstate(invalid="ignore"):
        counted = np.where(np.isinf(residuals), np.inf, trust(residuals) * residuals)
    return float(np.sqrt(np.mean(np.square(np.array(rms(counted)) / noise))))


def frozen(fit: Fit) -> tuple[str, ...]:
    """What the data could not tell, each in words: directions, and single parameters."""
    found = []
    for direction in fit.resolved.frozen:
        parts = [
            f"{share:+.2f} {p.name}"
            for share, p in zip(direction, fit.parameters, strict=True)
            if abs(share) > NAMED
        ]
        if len(parts) > 1:
            found.append("together only: " + " ".join(parts))
    remaining = fit.resolved.remaining()
    for row, p in enumerate(fit.parameters):
        low, high = fit.interval(row)
        within = f"{p.name}: 95 % in {low:.4g} to {high:.4g} {p.unit}"
        if remaining[row] > TOLD:
            found.append(f"{within}, hardly more than was known before")
        elif not p.offset and (high - low) / 2 > MOST_HALF_WIDTH * abs(p.value):
            found.append(f"{within}, too wide to rely on")
    if not fit.settled:
        found.append(
            "all: the last step still promised something, so that the end may be farther off than the "
            "intervals say; identify again with more driving"
        )
    return tuple(found)


def _traces(held: Chunks, before: Array, after: Array, slot_s: float) -> list[Panel]:
    """Of the held-out chunk that was replayed worst: what was measured, and the twin before and after."""
    worst = int(np.nanargmax(np.nanmean(np.square(before[..., 0]), axis=1)))
    measured = held.measured[worst]
    time = np.asarray(np.arange(1, len(measured) + 1) * (EVERY * slot_s), np.float64)
    found = []
    for c in (0, 1, 3):
        series = (
            Series("measured", time, measured[:, c]),
            Series("twin before", time, measured[:, c] + before[worst, :, c], "line"),
            Series("twin after", time, measured[:, c] + after[worst, :, c], "line"),
        )
        found.append(Panel(f"{CHANNELS[c]}, held out", "time [s]", UNITS[c], series))
    return found


def _intervals(fit: Fit) -> Panel:
    rows = np.arange(len(fit.parameters), dtype=np.float64)
    half = 1.96 * np.sqrt(fit.resolved.remaining())
    bars = [
        Series(p.name, np.array([z - h, z + h]), np.array([row, row]), "line")
        for p, z, h, row in zip(fit.parameters, fit.deviates, half, rows, strict=True)
    ]
    return Panel(
        "deviates with 95 % intervals",
        "prior standard deviations from the file",
        "parameter",
        (Series("estimate", fit.deviates, rows), *bars),
    )
