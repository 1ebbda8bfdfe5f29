"""How wrong the robot's own estimate is: the real estimator on emulated sensors against the twin's truth.

Scripted drives in lockstep, each on another car, course and speed (``launch.bench.faults_drive``). What comes
out is the error model that stands for the estimator where many cars drive at once (``sim.estimate_errors``).
The same drives are then driven once more with it (``sim.rollout``): what the whole robot in lockstep and its
stand-in do must agree.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any, cast

import msgspec
import numpy as np
import tomli_w

from launch.bench.faults_drive import Drive
from launch.episodes import course_setting
from robot.drivers.vesc_protocol import Command
from robot.layout import Layout
from robot.teleop.pure_pursuit import PurePursuit
from sim.estimate_errors import ElementError, ErrorFile, EstimateErrors
from sim.fleet_course import FleetCourse
from sim.fleet_pilots import ScriptedPilots
from sim.plant import Array
from sim.randomisation import draw, nominal
from sim.rollout import Setting, rollout
from sim.twin import CarTwin

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
    estimates, truths, deviations, delays, cases = [], [], [], [], []
    for seed in range(first_seed, first_seed + drives):
        with tempfile.TemporaryDirectory() as runs:
            drive = Drive(seed, Path(runs))
            estimate, truth, deviation, arrivals = _follow(drive, seconds)
        progress(f"drive {seed}: {drive.course} at up to {drive.top_speed:.1f} m/s")
        cases.append(_Case(drive.course, drive.top_speed, asdict(cast(CarTwin, drive.twin).car)))
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
    file = ErrorFile(drive.spec.name, f"{source}, {date.today()}", elements)
    return file, figures | _agreement(cases, truths, file, seconds)


@dataclass(frozen=True)
class _Case:
    """A drive: on which course, how fast [m/s], by what car."""

    course: str
    top_speed: float
    car: Mapping[str, float]


def _agreement(
    cases: Sequence[_Case], truths: Sequence[Array], file: ErrorFile, seconds: float
) -> dict[str, float]:
    """Mean speed and root-mean-square distance from the line, in lockstep and with the stand-in."""
    figures: dict[str, list[float]] = {}
    for case, truth in zip(cases, truths, strict=True):
        setting = course_setting("racer", case.course, seconds)
        layout, course = setting.spec.state_layout, FleetCourse(setting.course)
        for name, states in (("lockstep", truth), ("fleet", _again(setting, case, file))):
            forward = states[:, layout["velocity_body"].start]
            _, aside = course.project(*states[:, layout["position_world"]].T)
            figures.setdefault(f"{name}_speed", []).append(float(forward.mean()))
            figures.setdefault(f"{name}_aside", []).append(float(np.sqrt(np.square(aside).mean())))
    table = {name: np.array(values) for name, values in figures.items()}
    return {
        "worst_speed_ratio": float(np.max(np.abs(table["fleet_speed"] / table["lockstep_speed"] - 1.0))),
        "worst_aside_difference_m": float(np.max(np.abs(table["fleet_aside"] - table["lockstep_aside"]))),
        **{f"mean_{name}": float(values.mean()) for name, values in table.items()},
    }


def _again(setting: Setting, case: _Case, file: ErrorFile) -> Array:
    """The same drive with the error model in the estimator's place: true states, (ticks, n_state), from when
    it is up to speed."""
    spec, course = setting.spec, setting.course
    setting = replace(setting, errors=EstimateErrors(spec, file), endless=True)
    pilots = ScriptedPilots(spec, setting.contract, lambda: PurePursuit(spec, course, case.top_speed), 1)
    draws = draw(nominal(spec), 1, seed=0).having(dict(case.car) | {"start_speed": 0.7 * case.top_speed})
    tape = rollout(setting, pilots, draws, record=(0,)).trajectories[0]
    return tape.truth[round(spec.rates.guardian_hz) :]


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
