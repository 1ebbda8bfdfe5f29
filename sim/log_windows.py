"""Short stretches of a robot's log, on one grid of time: what was sent, and what the estimator made of it.

Replay starts anew from the log in each, so that a model's errors are seen before they have grown into
everything, and so that stretches of many logs can be stepped together (``sim.replay``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robot.spec import RobotSpec
from sim.estimate_errors import EstimateErrors
from sim.plant import Array
from sim.speed_memory import speed_memory
from sim.steering_memory import turning_points

Flags = NDArray[np.bool_]

ELEMENTS = (
    "position_world_x",
    "position_world_y",
    "heading",
    "velocity_body_x",
    "velocity_body_y",
    "yaw_rate",
)
"""What moves a car over the ground, in the order of ``Windows.states``: [m, m, rad, m/s, m/s, rad/s]."""
HEADING = ELEMENTS.index("heading")
LEAD_S = 0.5
"""Before a window's start [s]: several time constants of everything that the log does not show, such as
servo, speed loop and tyres (docs/VALIDATION.md)."""


@dataclass(frozen=True)
class Recording:
    """A log, one row per guardian tick. ``due_ns`` and ``sent_ns``: when the tick was due, and when its
    commands were on their way [ns], shape (T,); ``sent`` in actuator units, shape (T, n_actuators);
    ``states``: the estimate at ``time_ns``, shape (T, n_state); ``erpm``: the motor's electrical speed then
    [1/min], shape (T,); ``usable``: the robot drove and touched nothing but the floor, shape (T,)."""

    due_ns: NDArray[np.int64]
    time_ns: NDArray[np.int64]
    sent_ns: NDArray[np.int64]
    sent: Array
    states: Array
    erpm: Array
    usable: Flags


@dataclass(frozen=True)
class Windows:
    """``lead`` slots to settle in, then ``slots`` that count; a slot is a guardian's period. ``sent``
    [actuator units], shape (N, lead + slots, n_actuators), each ``late_ms`` after its slot began, shape
    (N, lead + slots); ``states`` at the beginning of each slot and at the end of the last, of ``ELEMENTS``,
    shape (N, lead + slots + 1, 6), headings unwrapped; ``memory``: the speed loop's integral and ramp at the
    first slot (``sim.speed_memory``), shape (N, 2); ``steered``: how the steering came there [rad]
    (``sim.steering_memory``), shape (N, ``POINTS``); ``known``: up to there the log may be compared with,
    shape (N, slots + 1); ``start_ns``: when it began to count, in the log's time, shape (N,)."""

    lead: int
    sent: Array
    late_ms: NDArray[np.int64]
    states: Array
    memory: Array
    steered: Array
    known: Flags
    start_ns: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.sent)

    @property
    def slots(self) -> int:
        return int(self.sent.shape[1]) - self.lead

    def take(self, rows: Sequence[int] | NDArray[np.intp]) -> Windows:
        """These windows, in this order; any may come more than once."""
        chosen = np.asarray(rows, np.intp)
        return Windows(
            self.lead,
            self.sent[chosen],
            self.late_ms[chosen],
            self.states[chosen],
            self.memory[chosen],
            self.steered[chosen],
            self.known[chosen],
            self.start_ns[chosen],
        )


def join(parts: Sequence[Windows]) -> Windows:
    """The windows of several logs of one robot, cut alike."""
    return Windows(
        parts[0].lead,
        np.concatenate([part.sent for part in parts]),
        np.concatenate([part.late_ms for part in parts]),
        np.concatenate([part.states for part in parts]),
        np.concatenate([part.memory for part in parts]),
        np.concatenate([part.steered for part in parts]),
        np.concatenate([part.known for part in parts]),
        np.concatenate([part.start_ns for part in parts]),
    )


def cut(
    spec: RobotSpec,
    errors: EstimateErrors,
    recording: Recording,
    seconds: float,
    least: float,
    stride: float,
) -> Windows:
    """Windows of ``seconds``, one beginning every ``stride`` [s] where at least ``least`` can be compared
    after the lead-in. The estimate at t is of t - lag, so states are read that much later, element by
    element."""
    rate, layout = spec.rates.guardian_hz, spec.state_layout
    lead, slots, short, step = (max(round(s * rate), 1) for s in (LEAD_S, seconds, least, stride))
    period_ns = 1e9 / rate
    due = np.rint((recording.due_ns - recording.due_ns[0]) / period_ns).astype(np.int64)
    # Whether each slot since the first tick can be used; ticks that were skipped cannot.
    usable = np.zeros(int(due[-1]) + 2, bool)
    usable[due] = recording.usable
    run = _run_lengths(usable)
    moving = _column(layout.index("velocity_body_x"), recording) > STANDSTILL
    begins, at = [], 0
    for row in np.flatnonzero(moving).tolist():
        slot = int(due[row])
        if slot - lead >= at and run[slot - lead] > lead + short:
            begins.append(row)
            at = slot - lead + step
    rows = np.array(begins, np.intp)
    grid = due[rows][:, None] + np.arange(-lead, slots + 1)  # (N, lead + slots + 1)
    start_ns = recording.time_ns[rows][:, None]
    grid_ns = start_ns + np.arange(-lead, slots + 1) * period_ns

    tick = np.clip(np.searchsorted(due, grid[:, :-1], side="right") - 1, 0, len(due) - 1)
    late_ms = np.rint((recording.sent_ns[tick] - grid_ns[:, :-1]) * 1e-6).astype(np.int64)
    states = np.empty((*grid.shape, len(ELEMENTS)))
    for k, name in enumerate(ELEMENTS):
        element = layout.index(name)
        values = _column(element, recording)
        if k == HEADING:
            values = np.unwrap(values)
        read_ns = grid_ns + errors.lag_s[element] * 1e9
        states[..., k] = np.interp(read_ns, recording.time_ns.astype(np.float64), values)
    speed, steering = (spec.actuator_layout.index(name) for name in ("speed", "steering"))
    memory = speed_memory(
        spec, np.asarray(recording.time_ns * 1e-9), recording.sent[:, speed], recording.erpm
    )
    begin = tick[:, 0]
    reach = np.minimum(run[np.maximum(due[rows] - lead, 0)] - lead, slots + 1)
    known = np.arange(slots + 1) < reach[:, None]
    return Windows(
        lead,
        recording.sent[tick],
        np.maximum(late_ms, 0),
        states,
        np.stack((memory.integral[begin], memory.ramped[begin]), axis=-1),
        turning_points(recording.sent[:, steering], begin),
        known,
        recording.time_ns[rows],
    )


STANDSTILL = 0.2
"""Who is slower than this [m/s] at a window's start proves nothing about how the car moves."""


def _column(element: int, recording: Recording) -> Array:
    return np.asarray(recording.states[:, element], np.float64)


def _run_lengths(flags: Flags) -> NDArray[np.int64]:
    """For each place how many are True in a row from there."""
    lengths = np.zeros(len(flags), np.int64)
    count = 0
    for k in range(len(flags) - 1, -1, -1):
        count = count + 1 if flags[k] else 0
        lengths[k] = count
    return lengths
