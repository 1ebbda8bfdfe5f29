"""How wrong the robot's own estimate is: the real estimator on emulated sensors against the twin's truth.

Scripted drives in lockstep, each on another car, course and speed (``launch.bench.faults_drive``). What comes
out is the error model that stands for the estimator where many cars drive at once (``sim.estimate_errors``).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import tomli_w

from launch.bench.faults_drive import Drive
from robot.drivers.vesc_protocol import Command
from robot.layout import Layout
from sim.estimate_errors import ElementError, ErrorFile
from sim.plant import Array

LAGS_S = np.arange(0.0, 0.041, 0.001)
"""Lags that are tried [s]."""
LONGEST_S = 10.0
"""A drift's correlation time is looked for up to here [s]."""
DIGITS = 4
"""Of a figure that are kept."""


def run(
    drives: int, seconds: float, first_seed: int, progress: Callable[[str], None]
) -> tuple[ErrorFile, dict[str, float]]:
    """The error model, and figures to show: by element, and how long a command takes to arrive [s]."""
    estimates, truths, deviations, delays = [], [], [], []
    for seed in range(first_seed, first_seed + drives):
        with tempfile.TemporaryDirectory() as runs:
            drive = Drive(seed, Path(runs))
            estimate, truth, deviation, arrivals = _follow(drive, seconds)
        progress(f"drive {seed}: {drive.course} at up to {drive.top_speed:.1f} m/s")
        estimates.append(estimate)
        truths.append(truth)
        deviations.append(deviation)
        delays += arrivals
        layout, rate = drive.spec.state_layout, drive.spec.rates.guardian_hz
    elements = fit(layout, rate, estimates, truths, deviations)
    source = f"sandlot bench estimate --drives {drives} --seconds {seconds:g} --seed {first_seed}"
    figures = {"command_delay_s": float(np.median(delays)), "ticks": float(sum(map(len, truths)))}
    for element in elements:
        figures[f"{element.name}_noise"] = element.noise
        figures[f"{element.name}_drift"] = element.drift
    return ErrorFile(drive.spec.name, f"{source}, {date.today()}", elements), figures


def save(file: ErrorFile, path: Path) -> None:
    """Write what ``sim.estimate_errors.load_errors`` reads."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(tomli_w.dumps(msgspec.to_builtins(file)))


def _follow(drive: Drive, seconds: float) -> tuple[Array, Array, Array, list[float]]:
    """Estimates, truths and deviations, shape (ticks, n_state), and delays of commands [s]."""
    arrivals: list[float] = []
    device: Any = drive.rig.devices["vesc"]
    obey = device._obey

    def noted(payload: bytes, now_ns: int) -> None:
        if payload[0] == Command.SET_RPM:
            arrivals.append((now_ns - drive.now_ns) * 1e-9 % (drive.period_ns * 1e-9))
        obey(payload, now_ns)

    device._obey = noted
    drive.until_driving()
    arrivals.clear()
    layout = drive.spec.state_layout
    rows: list[tuple[Array, Array, Array]] = []
    for _ in range(round(seconds * 1e9) // drive.period_ns):
        drive.tick()
        record = drive.board.state.read()
        if record is not None:
            truth = true_state(layout, drive.twin, device)
            rows.append((record["state"][0].copy(), truth, record["deviation"][0].copy()))
    estimate, truth, deviation = (np.array(part) for part in zip(*rows, strict=True))
    return estimate, truth, deviation, arrivals


def true_state(layout: Layout, twin: Any, device: Any) -> Array:
    """The twin's truth in the state layout; forces are what the sensor's own filter passes, ``impact`` is 0,
    and of the gyroscope's bias nothing is told."""
    truth = np.zeros(layout.size)
    x, y, heading = twin.pose()
    forward, left, rate = twin.velocity_body()
    truth[layout["position_world"]] = x, y
    truth[layout.index("heading")] = heading
    truth[layout["velocity_body"]] = forward, left
    truth[layout.index("yaw_rate")] = rate
    truth[layout["specific_force"]] = device._imu[:3]
    truth[layout.index("upright")] = twin.upright()
    return truth


def fit(
    layout: Layout, rate: float, estimates: list[Array], truths: list[Array], deviations: list[Array]
) -> tuple[ElementError, ...]:
    """Each element's error model from drives, (ticks, n_state) each, sampled at ``rate`` [Hz]."""
    found = []
    for at, name in enumerate(layout.names):
        angle = name == "heading"
        errors = [_errors(e[:, at], t[:, at], rate, angle) for e, t in zip(estimates, truths, strict=True)]
        squares = np.mean([np.square(e).mean(axis=1) for e in errors], axis=0)
        best = int(np.argmin(squares))
        if name == "impact":  # made of the forces, so it has their errors
            noise = drift = time_s = lag_s = 0.0
        else:
            noise, drift, time_s = _decompose([e[best] for e in errors], rate)
            lag_s = float(LAGS_S[best])
        deviation = float(np.median(np.concatenate([d[:, at] for d in deviations])))
        figures = [round(float(f"{f:.{DIGITS}g}"), 9) for f in (lag_s, noise, drift, time_s, deviation)]
        found.append(ElementError(name, *figures))
    return tuple(found)


def _errors(estimate: Array, truth: Array, rate: float, angle: bool) -> Array:
    """Estimate less truth of each lag ago, shape (n_lags, ticks)."""
    if angle:
        truth = np.unwrap(truth)
    ticks = np.arange(len(truth))
    late = [np.interp(ticks - lag * rate, ticks, truth) for lag in LAGS_S]
    errors = estimate - np.array(late)
    return np.remainder(errors + np.pi, 2 * np.pi) - np.pi if angle else errors


def _decompose(errors: list[Array], rate: float) -> tuple[float, float, float]:
    """Standard deviations of white noise and of drift, and the drift's correlation time [s]: white noise is
    what neighbouring ticks do not share."""

    def shared(lag: int) -> float:
        return float(np.mean([np.mean(e[lag:] * e[: len(e) - lag]) for e in errors if len(e) > lag]))

    total, drift = shared(0), max(shared(1), 0.0)
    lags = [round(lag) for lag in np.geomspace(2, LONGEST_S * rate, 40)]
    below = next((lag for lag in lags if shared(lag) < drift / np.e), lags[-1])
    return float(np.sqrt(max(total - drift, 0.0))), float(np.sqrt(drift)), below / rate
