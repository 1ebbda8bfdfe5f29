"""Stretches of a log as identification compares them with the twin: windows, and what was measured in them.

Velocities, not positions: what a wheeled robot does is decided by its commands, so that an error of the
estimate at a window's start does not grow, and a chunk can be several seconds long. Motor current and supply
voltage tell forces, which velocities alone do not. The yaw rate is the gyroscope's, at its samples' own
times: an estimate has the newest sample, which on a slow line is now and then one of a tick ago.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from calibration.drive import Drive
from calibration.procedure import CalibrationError
from robot.spec import RobotSpec
from sim.estimate_errors import EstimateErrors
from sim.log_windows import ELEMENTS, Windows, cut, join
from sim.plant import Array
from sim.replay import Replayed

SECONDS = 2.0
"""Of a chunk: four times its lead-in [s]."""
FORGETS_S = 0.6
"""After the lead-in nothing is compared for so long [s]: the estimate that the twin began with is off by a
centimetre a second or two, and while the speed loop makes up for it the current tells of that alone."""
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
SPIN = 0.2
"""A chunk ends where the rear tyres slip by more than this angle [rad]; a car that corners as hard as it can
has half of it. What a spinning one does hangs on trifles, the twin's too: replays that differ by nothing jump
apart, so their differences say nothing of a parameter."""
SLOW = 0.3
"""Below this speed a slip angle is not told [m/s]."""
NEAR = 0.2
"""Step of derivatives in time [slots]: as wide as that of a command's delay, so that the delay and sensors
that are all late are told apart by their priors alone."""
EXACT = 1e-4
"""Of a slot: what times are rounded by."""
HARDLY_S = 0.1
"""Of a chunk's shortest part may be unanswered by the motor's controller [s]."""
GAP = 3.0
"""Without an answer for so many slots the motor controller's mean says too little."""
GYROSCOPE_LAG_S = 0.002
"""Of a gyroscope that is filtered at 80 Hz (BMI160 data sheet, 2.4.1: normal mode, 200 Hz) [s]."""
EVERY = 2
"""Only every so many slots are compared: neighbouring ones say the same."""


@dataclass(frozen=True)
class Chunks:
    """``measured`` at the ends of every other slot, in the order of ``CHANNELS``, shape (N, T, 5); NaN where
    the log cannot be compared. The motor's current is the mean from ``since`` to ``until``, the supply's
    voltage that at ``until``: when the controller was asked [slots from the chunk's begin], shape (N, T)."""

    windows: Windows
    measured: Array
    since: Array
    until: Array

    def __len__(self) -> int:
        return len(self.windows)

    def take(self, rows: Sequence[int] | NDArray[np.intp]) -> Chunks:
        """These chunks, in this order; any may come more than once."""
        chosen = np.asarray(rows, np.intp)
        return Chunks(
            self.windows.take(chosen), self.measured[chosen], self.since[chosen], self.until[chosen]
        )


def chunks_of(spec: RobotSpec, errors: EstimateErrors, drives: Sequence[Drive], most: int) -> Chunks:
    """No more than ``most``, evenly from all drives. Raises CalibrationError if there are too few."""
    parts = [chunks_in(spec, errors, drive) for drive in drives]
    every = Chunks(
        join([part.windows for part in parts]),
        *(np.concatenate([getattr(part, n) for part in parts]) for n in ("measured", "since", "until")),
    )
    if len(every) < FEWEST:
        raise CalibrationError(
            f"the logs have {len(every)} stretches of {LEAST_S:g} s and more in which the robot drove, "
            f"touched nothing and did not spin; at least {FEWEST} are needed: drive for a minute or two"
        )
    if len(every) <= most:
        return every
    return every.take(np.linspace(0, len(every) - 1, most).astype(int).tolist())


def modelled(chunks: Chunks, replayed: Replayed, late: float = 0.0) -> Array:
    """The same channels as the twin has them, so much later than the log says [slots], shape (N, T, 5)."""
    at = np.arange(EVERY, replayed.states.shape[1], EVERY) + late
    ends = np.broadcast_to(at, chunks.until.shape)
    states = [between(replayed.states[..., ELEMENTS.index(name)], ends) for name in STATES]
    n, _, slot_ms = replayed.current.shape
    since, until = ((slots + late) * slot_ms for slots in (chunks.since, chunks.until))
    charge = np.cumsum(np.pad(replayed.current.reshape(n, -1), ((0, 0), (1, 0))), axis=1)
    current = (between(charge, until) - between(charge, since)) / (until - since)
    voltage = between(replayed.voltage.reshape(n, -1), until - 1.0)
    return np.stack((*states, current, voltage), axis=-1)


def slopes(chunks: Chunks, replayed: Replayed) -> Array:
    """Of the channels in time [unit/slot], shape (N, T, 5)."""
    after, before = (modelled(chunks, replayed, late) for late in (NEAR, -NEAR))
    return np.asarray((after - before) / (2.0 * NEAR))


def between(values: Array, at: Array) -> Array:
    """Linearly between the columns of ``values``, shape (N, K), at places ``at``, shape (N, T)."""
    left = np.clip(np.floor(at).astype(np.intp), 0, values.shape[1] - 2)
    rows = np.arange(len(values))[:, None]
    share = at - left
    return np.asarray((1.0 - share) * values[rows, left] + share * values[rows, left + 1])


def chunks_in(spec: RobotSpec, errors: EstimateErrors, drive: Drive) -> Chunks:
    """All of one drive."""
    if drive.recording is None:
        raise CalibrationError("the drive was not prepared for replay; give a run's folder")
    windows = cut(spec, errors, drive.recording, SECONDS, LEAST_S, SECONDS)
    motor, layout = drive.sensor("drive"), next(s.layout for s in spec.sensors if s.name == "drive")
    start_s = (windows.start_ns - drive.start_ns)[:, None] * 1e-9
    asked = (motor.time_s - start_s) * spec.rates.guardian_hz  # (N, samples), in slots
    ends = np.arange(EVERY, windows.slots + 1, EVERY)
    sample = np.empty((len(windows), len(ends)), np.intp)
    for row, samples in enumerate(asked):
        sample[row] = np.searchsorted(samples, ends - EXACT)
    answered = (sample > 0) & (sample < len(motor.time_s))
    sample = np.where(answered, sample, 1)
    since, until = np.take_along_axis(asked, sample - 1, 1), np.take_along_axis(asked, sample, 1)
    heard = answered & (until <= windows.slots + EXACT) & (since >= -EXACT) & (until - since < GAP)
    columns = [windows.states[:, windows.lead + EVERY :: EVERY, ELEMENTS.index(name)] for name in STATES]
    columns[STATES.index("yaw_rate")] = turning(drive, start_s + ends / spec.rates.guardian_hz)
    known = windows.known[:, EVERY::EVERY] & ~spun(columns, spec.scalar("rear_axle"))
    # The controller reports the mean current since it was last asked.
    columns.append(np.where(heard, motor.values[sample, layout.index("motor_current")], np.nan))
    columns.append(np.where(heard, motor.values[sample, layout.index("input_voltage")], np.nan))
    columns[-1] += HALF_VOLT_STEP
    measured = np.where(known[..., None], np.stack(columns, axis=-1), np.nan)
    measured[:, ends <= FORGETS_S * spec.rates.guardian_hz] = np.nan
    found = Chunks(windows, measured, np.where(heard, since, ends - 1.0), np.where(heard, until, ends))
    told_s = np.isfinite(measured).all(axis=-1).sum(axis=1) * EVERY / spec.rates.guardian_hz
    return found.take(np.flatnonzero(told_s > LEAST_S - FORGETS_S - HARDLY_S))


def turning(drive: Drive, time_s: Array) -> Array:
    """Yaw rate [rad/s] at any times, as the gyroscope has it less its bias as estimated then; NaN where it
    was silent."""
    imu, spec = drive.sensor("imu"), drive.spec
    z = next(s.layout for s in spec.sensors if s.name == "imu").index("angular_velocity_z")
    rate = imu.values[:, z] - np.interp(imu.time_s, drive.time_s, drive.state("gyro_bias"))
    at = time_s + GYROSCOPE_LAG_S
    after = np.clip(np.searchsorted(imu.time_s, at), 1, len(imu.time_s) - 1)
    heard = imu.time_s[after] - imu.time_s[after - 1] < GAP / spec.rates.guardian_hz
    heard &= (at >= imu.time_s[0]) & (at <= imu.time_s[-1])
    return np.where(heard, np.interp(at, imu.time_s, rate), np.nan)


def spun(states: Sequence[Array] | Array, rear_axle: float) -> NDArray[np.bool_]:
    """Whether the rear, ``rear_axle`` [m] behind the centre of mass, has let go by then: of ``STATES``, time
    along the last axis."""
    yaw_rate, forward, leftward = states
    slip = np.arctan2(leftward - rear_axle * yaw_rate, np.maximum(forward, SLOW))
    return np.logical_or.accumulate(np.abs(slip) > SPIN, axis=-1)
