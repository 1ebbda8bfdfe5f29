"""Stretches of a log as identification compares them with the twin: windows, and what was measured in them.

Velocities, not positions: what a wheeled robot does is decided by its commands, so that an error of the
estimate at a window's start does not grow, and a chunk can be several seconds long. Motor current and supply
voltage tell forces, which velocities alone do not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from calibration.drive import Drive
from calibration.procedure import CalibrationError
from robot.spec import RobotSpec
from sim.estimate_errors import EstimateErrors
from sim.log_windows import ELEMENTS, Windows, cut, join
from sim.plant import Array
from sim.replay import Replayed

SECONDS = 2.0
"""Of a chunk: four times its lead-in [s]."""
LEAST_S = 1.0
"""A chunk that a crash cuts off is used if so much of it is left [s]."""
FEWEST = 8
"""Chunks without which nothing is identified."""
STATES: Final = ("yaw_rate", "velocity_body_x", "velocity_body_y")
CHANNELS: Final = ("yaw rate", "forward speed", "leftward speed", "motor current", "supply voltage")
UNITS: Final = ("rad/s", "m/s", "m/s", "A", "V")
GUESSES: Final = np.array([0.02, 0.03, 0.03, 1.0, 0.06])
"""Of the residuals' standard deviations, to begin with."""
HALF_VOLT_STEP = 0.05
"""A VESC reports its supply in steps of 0.1 V, cut towards zero: so much more is meant on average [V]."""
EVERY = 2
"""Only every so many slots are compared: neighbouring ones say the same."""


@dataclass(frozen=True)
class Chunks:
    """``measured`` at the ends of every other slot, in the order of ``CHANNELS``, shape (N, T, 5); NaN where
    the log cannot be compared."""

    windows: Windows
    measured: Array

    def __len__(self) -> int:
        return len(self.windows)

    def take(self, rows: Sequence[int]) -> Chunks:
        return Chunks(self.windows.take(rows), self.measured[list(rows)])


def chunks_of(spec: RobotSpec, errors: EstimateErrors, drives: Sequence[Drive], most: int) -> Chunks:
    """No more than ``most``, evenly from all drives. Raises CalibrationError if there are too few."""
    parts = [chunks_in(spec, errors, drive) for drive in drives]
    windows, measured = join([p.windows for p in parts]), np.concatenate([p.measured for p in parts])
    if len(windows) < FEWEST:
        raise CalibrationError(
            f"the logs have {len(windows)} stretches of {LEAST_S:g} s and more in which the robot drove and "
            f"touched nothing; at least {FEWEST} are needed: drive for a minute or two"
        )
    every = Chunks(windows, measured)
    if len(every) <= most:
        return every
    return every.take(np.linspace(0, len(every) - 1, most).astype(int).tolist())


def modelled(replayed: Replayed) -> Array:
    """The same channels as the twin has them, shape (N, T, 5)."""
    states = replayed.states[:, 1:, [ELEMENTS.index(name) for name in STATES]]
    every = np.concatenate((states, replayed.current[..., None], replayed.voltage[..., None]), axis=-1)
    return np.asarray(every[:, EVERY - 1 :: EVERY])


def chunks_in(spec: RobotSpec, errors: EstimateErrors, drive: Drive) -> Chunks:
    """All of one drive."""
    if drive.recording is None:
        raise CalibrationError("the drive was not prepared for replay; give a run's folder")
    windows = cut(spec, errors, drive.recording, SECONDS, LEAST_S, SECONDS)
    period_s = 1.0 / spec.rates.guardian_hz
    start_s = (windows.start_ns - drive.start_ns)[:, None] * 1e-9
    ends_s = start_s + np.arange(1, windows.slots + 1) * period_s
    motor, layout = drive.sensor("drive"), next(s.layout for s in spec.sensors if s.name == "drive")
    columns = [windows.states[:, windows.lead + 1 :, ELEMENTS.index(name)] for name in STATES]
    # The controller reports the mean current since it was last asked.
    columns.append(motor.at(ends_s, layout.index("motor_current")))
    columns.append(motor.at(ends_s, layout.index("input_voltage")) + HALF_VOLT_STEP)
    measured = np.where(windows.known[:, 1:, None], np.stack(columns, axis=-1), np.nan)
    return Chunks(windows, measured[:, EVERY - 1 :: EVERY])
