"""The estimator by itself, on a twin that is a few lines of arithmetic: it ends at the optimum, and its
intervals hold as often as they say."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binomtest

from calibration.chunks import EVERY, Chunks, modelled, slopes
from calibration.identification import Identification
from calibration.noise_model import HANGS_TOGETHER, nuisances
from calibration.twin_conclusion import error, split
from calibration.twin_parameters import TwinParameter
from calibration.twin_work import Replays, TwinWork
from robot.spec import RobotSpec, load_spec
from sim.log_windows import ELEMENTS, Windows
from sim.replay import Replayed
from sim.steering_memory import POINTS

SPEC = load_spec(Path(__file__).parents[2] / "launch/robots/racer.toml")
SLOTS, CHUNKS = 200, 10
NOISE = np.array([0.003, 0.01, 0.01, 0.3, 0.04])
"""Standard deviations by channel."""
PARAMETERS = (
    TwinParameter("servo_gain", "1", 1.0, 0.08, ""),
    TwinParameter("wheel_radius", "m", 0.05, 0.03, ""),
    TwinParameter("mass", "kg", 3.5, 0.08, ""),
    TwinParameter("battery_resistance", "ohm", 0.02, 0.5, ""),
)
GRIP, SPINS = TwinParameter("tyre_friction", "1", 1.0, 0.2, ""), 1.3
JUMPS_AT = 60
"""Slot, even: in the second before its end the motor's controller switches or does not."""


def twin(
    spec: RobotSpec,
    windows: Windows,
    truths: Sequence[Mapping[str, float]],
    delays_s: NDArray[np.float64],
    timestep: float,
) -> Replayed:
    """Sines, whose phase is a window's first number."""
    gain, radius, mass, resistance = (
        np.array([truth[p.name] / p.value for truth in truths])[:, None] for p in PARAMETERS
    )
    phase = windows.states[:, 0, 0, None]
    at, ms = 0.01 * np.arange(SLOTS + 1), 0.001 * (np.arange(SLOTS * 10) + 0.5)
    states = np.zeros((len(windows), SLOTS + 1, len(ELEMENTS)))
    states[..., ELEMENTS.index("velocity_body_x")] = radius * (2.0 + np.sin(2.0 * at + phase))
    yaw_rate = gain * radius * np.sin(3.0 * at + phase)
    states[..., ELEMENTS.index("yaw_rate")] = yaw_rate
    states[..., ELEMENTS.index("velocity_body_y")] = spec.scalar("rear_axle") * yaw_rate
    current = 20.0 * mass * radius * np.cos(2.0 * ms + phase)
    current[:, 10 * JUMPS_AT - 10 : 10 * JUMPS_AT] += np.where(mass > 1.0, 30.0, 0.0)
    voltage = 12.0 - 0.02 * resistance * current
    shape = (len(windows), SLOTS, 10)
    return Replayed(states, current.reshape(shape), voltage.reshape(shape))


Change = Callable[[Replayed, Windows, Sequence[Mapping[str, float]], NDArray[np.float64]], None]


def changed(change: Change) -> Replays:
    """The same, changed in place."""

    def replays(
        spec: RobotSpec,
        windows: Windows,
        truths: Sequence[Mapping[str, float]],
        delays_s: NDArray[np.float64],
        timestep: float,
    ) -> Replayed:
        found = twin(spec, windows, truths, delays_s, timestep)
        change(found, windows, truths, delays_s)
        return found

    return replays


def lacking(windows: Windows, truths: Sequence[Mapping[str, float]]) -> NDArray[np.float64]:
    """How much less friction there is than ``SPINS``, in windows whose second number is 1."""
    lacks = np.array([max(SPINS - truth[GRIP.name], 0.0) for truth in truths])
    return np.asarray(windows.states[:, 0, 1] * lacks)[:, None]


def spin(
    found: Replayed, windows: Windows, truths: Sequence[Mapping[str, float]], delays_s: NDArray[np.float64]
) -> None:
    """Turn faster and faster for want of friction."""
    ramp = lacking(windows, truths) * np.linspace(0.0, 0.15, SLOTS + 1)
    found.states[..., ELEMENTS.index("yaw_rate")] += ramp
    found.states[..., ELEMENTS.index("velocity_body_y")] += SPEC.scalar("rear_axle") * ramp


def let_go(
    found: Replayed, windows: Windows, truths: Sequence[Mapping[str, float]], delays_s: NDArray[np.float64]
) -> None:
    """Slide sideways for want of friction."""
    ramp = lacking(windows, truths) * np.minimum(np.arange(SLOTS + 1) / 20.0, 1.0)
    found.states[..., ELEMENTS.index("velocity_body_y")] -= 4.0 * ramp


def measured(truth: Mapping[str, float], rng: np.random.Generator) -> Chunks:
    """What is measured of it by sensors with errors as the model of the noise has them; nothing at first, and
    in every third chunk from the middle on."""
    ends = np.broadcast_to(np.arange(EVERY, SLOTS + 1.0, EVERY), (CHUNKS, SLOTS // EVERY))
    states = np.zeros((CHUNKS, SLOTS + 1, len(ELEMENTS)))
    states[:, 0, 0] = rng.uniform(0.0, 2.0 * np.pi, CHUNKS)
    none, memory, steered = np.zeros(CHUNKS), np.zeros((CHUNKS, 2)), np.zeros((CHUNKS, POINTS))
    known, late = np.ones((CHUNKS, SLOTS + 1), bool), np.zeros((CHUNKS, SLOTS), np.int64)
    windows = Windows(
        0, np.zeros((CHUNKS, SLOTS, 2)), late, states, memory, steered, known, none.astype(np.int64)
    )
    found = Chunks(windows, np.zeros((*ends.shape, 5)), ends - 1.0, ends)
    exact = twin(SPEC, windows, [truth] * CHUNKS, none, 0.001)
    model = modelled(found, exact)
    sensors = nuisances(model, slopes(found, exact) * SPEC.rates.guardian_hz)
    values = (
        model + np.tensordot(rng.standard_normal(len(sensors)), sensors, 1) + NOISE * together(rng, model)
    )
    values[:, :20] = np.nan
    values[::3, SLOTS // (2 * EVERY) :] = np.nan
    return replace(found, measured=values)


def together(rng: np.random.Generator, like: NDArray[np.float64]) -> NDArray[np.float64]:
    """Noise of variance 1 whose samples hang together as much as identification takes them to at least."""
    share = (HANGS_TOGETHER - 1.0) / (HANGS_TOGETHER + 1.0)
    noise = rng.standard_normal(like.shape)
    for k in range(1, noise.shape[1]):
        noise[:, k] = share * noise[:, k - 1] + np.sqrt(1.0 - share**2) * noise[:, k]
    return noise


def truth_of(deviates: Sequence[float]) -> dict[str, float]:
    return {p.name: p.at(z) for p, z in zip(PARAMETERS, deviates, strict=True)}


def identification(chunks: Chunks) -> Identification:
    return Identification(SPEC, chunks, PARAMETERS, TwinWork(replays=twin))


@pytest.mark.slow
def test_intervals_hold_as_often_as_they_say() -> None:
    rng = np.random.default_rng(11)
    held, widths = 0, []
    draws = 60
    for _ in range(draws):
        truth = truth_of(np.clip(rng.standard_normal(len(PARAMETERS)), -2.0, 2.0).tolist())
        fit = identification(measured(truth, rng)).fit()
        for row, p in enumerate(PARAMETERS):
            low, high = fit.interval(row)
            held += low <= truth[p.name] <= high
        widths.append(np.sqrt(fit.resolved.remaining()))
    assert binomtest(held, draws * len(PARAMETERS), 0.95).pvalue > 0.01, held
    # And they are worth something: speeds tell the radius as well as a sensor's scale is known, 1 % of 3 %.
    assert np.median(widths, axis=0).max() < 0.5


def test_what_was_kept_from_a_fit_is_judged_by_what_it_found_of_the_sensors() -> None:
    found = []
    for seed in range(4):
        kept, held = split(measured(truth_of([0.5, -0.5, 1.5, 0.2]), np.random.default_rng(seed)))
        fit, judge = identification(kept).fit(), identification(held)
        raw = judge.residuals(fit.deviates[:, None])[0]
        found.append((error(judge.unexplained(fit), fit.noise), error(raw, fit.noise)))
    explained, unexplained = np.median(found, axis=0)
    assert explained < 1.15
    assert unexplained > 1.4


def test_one_odd_stretch_is_not_held_against_the_twin_and_one_that_diverged_is() -> None:
    left = np.random.default_rng(0).standard_normal((8, 60, 5))
    left[2, 40:] = np.nan
    usual = error(left, np.ones(5))
    assert usual == pytest.approx(1.0, abs=0.05)
    left[3] *= 30.0
    assert error(left, np.ones(5)) < 1.2 * usual
    assert error(5.0 * left, np.ones(5)) == pytest.approx(5.0 * error(left, np.ones(5)))
    left[3, 7, 1] = np.inf
    assert error(left, np.ones(5)) == np.inf


def slides(seed: int) -> Chunks:
    """Measured of a car of much grip; the twin spins in the two chunks whose second number is 1."""
    chunks = measured(truth_of([0.5, -0.5, 0.1, 0.2]), np.random.default_rng(seed))
    chunks.windows.states[4:6, 0, 1] = 1.0
    return chunks


def test_a_chunk_counts_again_once_the_twin_does_not_spin_in_it() -> None:
    """Friction is told by two chunks alone, in which the twin spins until it has as much as the robot."""
    for seed in range(3):
        work = TwinWork(replays=changed(spin))
        fit = Identification(SPEC, slides(seed), (*PARAMETERS, GRIP), work).fit()
        assert fit.values()["tyre_friction"] > SPINS - 0.03


def test_where_the_twin_lets_go_and_no_derivative_tells_other_frictions_are_tried() -> None:
    chunks, work = slides(0), TwinWork(replays=changed(let_go))
    fit = Identification(SPEC, chunks, (*PARAMETERS, GRIP), work)
    derivatives, _ = fit.derivatives(np.zeros(len(PARAMETERS) + 1))
    assert not np.nan_to_num(derivatives[-1]).any()
    assert fit.fit().values()["tyre_friction"] > SPINS - 0.03


def test_where_tyres_begin_to_slide_the_twin_does_not_jump() -> None:
    there = np.append(np.zeros(len(PARAMETERS)), GRIP.deviate(SPINS))
    chunks = slides(0)
    chunks.windows.states[4:6, 0, 1] = 10.0
    fit = Identification(SPEC, chunks, (*PARAMETERS, GRIP), TwinWork(replays=changed(spin)))
    derivatives, jumps = fit.derivatives(there)
    assert np.nanmax(np.abs(derivatives[-1, 4, :, 0])) > 0.0
    assert not jumps[..., :3].any()


def test_a_jump_of_the_twin_tells_nothing() -> None:
    chunks = measured(truth_of([0.5, -0.5, 0.1, 0.2]), np.random.default_rng(2))
    derivatives, jumps = identification(chunks).derivatives(np.zeros(len(PARAMETERS)))
    sample = JUMPS_AT // EVERY - 1
    silent = np.isnan(chunks.measured[:, sample, 3])
    np.testing.assert_array_equal(jumps[:, sample, 3], ~silent)
    jumps[:, sample, 3:] = False
    assert not jumps.any()
    mass = [p.name for p in PARAMETERS].index("mass")
    assert np.nanmax(np.abs(derivatives[mass, :, : sample - 2, 3])) == pytest.approx(20.0 * 0.08, rel=0.05)


def test_between_two_milliseconds_of_delay_lies_what_both_make_of_the_log() -> None:
    delay = TwinParameter("command_delay", "s", 0.003, 0.004, "", offset=True)

    def late(
        found: Replayed,
        windows: Windows,
        truths: Sequence[Mapping[str, float]],
        delays_s: NDArray[np.float64],
    ) -> None:
        found.states[..., ELEMENTS.index("yaw_rate")] += (1e3 * delays_s[:, None]) ** 2

    chunks = measured(truth_of([0.0] * len(PARAMETERS)), np.random.default_rng(0))
    identification = Identification(SPEC, chunks, (*PARAMETERS, delay), TwinWork(replays=changed(late)))
    wanted_s = np.array([0.002, 0.0023, 0.003, 0.0059])
    deviates = np.zeros((len(PARAMETERS) + 1, len(wanted_s)))
    deviates[-1] = [delay.deviate(s) for s in wanted_s]
    yaw_rate = identification.residuals(deviates)[..., 0]
    made = yaw_rate - yaw_rate[0] + 4.0
    np.testing.assert_allclose(np.nanmean(made, axis=(1, 2)), [4.0, 5.5, 9.0, 34.9])
