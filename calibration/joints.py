"""Zeros, ranges and backlash of joints: swept by hand from stop to stop, and commanded from both sides.

With the motors off every joint is pushed to its stops several times. Its zero is where the middle between
them belongs; how well that repeats is how far visits of one stop differ. Then the motors hold it at angles
that are reached once rising and once falling: what the encoder shows is a line in the command, and the play
between both ways. An encoder before the gears sees none of their play; one on the joint's own axis does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from calibration.confidence import student_over_normal
from calibration.drive import Drive, Flags
from calibration.entry import Check, Finding, Quantity
from calibration.jointed import Joint, joints_of
from calibration.manoeuvre import Leg
from calibration.procedure import Array, CalibrationError, Estimate, Panel, Series
from calibration.steering import Turn, line
from robot.spec import RobotSpec

FEWEST_VISITS = 3
"""Of each stop."""
FEWEST_HOLDS, FEWEST_ANGLES = 8, 3
"""Commands that were held, and different ones among them."""
MOST_APART, MOST_BACKLASH = math.radians(0.2), math.radians(1.2)
"""Accepted (reference, Arm zero/limits) [rad]: a visit of a stop from their mean; play, and 95 % of its
error."""
NEAR_STOP, AT_STOP = 0.05, 0.01
"""Within this [rad] of the farthest a joint came it visits its stop; within this of the visit's farthest it
rests there."""
REST_S = 0.3
"""Shortest rest at a stop [s]."""
SETTLE_S, HOLD_S = 0.5, 0.3
"""Of a held command is not used, and the least that is [s]."""
LEAST_CHANGE = 0.1
"""By so much at least a command moved [rad], more than any play: then it is known from which side it came."""
MOST_GAIN_OFF = 0.1
"""What a joint turns by, of what it was told to, is 1 within this: other gears or another sign are farther
off."""
MOST_SHORT = 0.15
"""Less than the travel between its stops [rad]: one that falls short by more was not pushed to both."""
TURNED_OVER = math.pi
"""A joint that moves by more [rad] between two samples did not: its encoder began anew."""


class JointsProcedure:
    """Implements ``calibration.procedure.Procedure``."""

    name = "joints"
    about = (
        "Record a log. With the motors off, push every joint to both its stops, three times or more, and "
        "rest there for a second. Then let the motors hold, and command each joint to four angles or more, "
        "each from below and from above, for a second. Give the log, or two, with --log."
    )
    valid_days = 90

    def legs(self, spec: RobotSpec) -> tuple[Leg, ...]:
        _require_joints(spec)
        raise CalibrationError(f"joints are moved by hand. {self.about}")

    def estimate(self, drives: Sequence[Drive]) -> Estimate:
        spec = drives[0].spec
        joints = _require_joints(spec)
        each = [examined(joint, drives) for joint in joints]
        told = [part for parts, _ in each for part in parts]
        known = [(q, sigma) for part in told for q, sigma in part.quantities if q.name in spec.calibration]
        others = [
            (q, sigma) for part in told for q, sigma in part.quantities if q.name not in spec.calibration
        ]
        return Estimate(
            method=f"{len(joints)} joints: stops by hand, holds from both sides",
            quantities=tuple(q for q, _ in known),
            covariance=np.diag([sigma**2 for _, sigma in known]),
            checks=tuple(check for part in told for check in part.checks),
            findings=tuple(Finding(q.name, q.unit, q.value, sigma) for q, sigma in others),
            panels=(
                Panel(
                    "what is left",
                    "joint [rad]",
                    "error of the angle [mrad]",
                    tuple(part.left for part in told),
                    left=True,
                ),
            ),
            frozen=tuple(words for _, missing in each for words in missing),
        )


@dataclass(frozen=True)
class Told:
    """Of one joint. ``quantities`` with their standard deviations; ``left``: what is left of the
    measurements."""

    quantities: tuple[tuple[Quantity, float], ...]
    checks: tuple[Check, ...]
    left: Series


def _require_joints(spec: RobotSpec) -> tuple[Joint, ...]:
    """Raises CalibrationError if the robot has none."""
    found = joints_of(spec)
    if not found:
        raise CalibrationError(
            f"{spec.name} has no joints: of no actuator in rad a sensor reports joint_position_<its name>"
        )
    return found


def examined(joint: Joint, drives: Sequence[Drive]) -> tuple[list[Told], tuple[str, ...]]:
    """And what is not told. Raises CalibrationError for a joint of which the logs say nothing, or what cannot
    be."""
    low, high, holds, step = np.zeros(0), np.zeros(0), [], 0.0
    for drive in drives:
        samples = drive.sensor(joint.sensor)
        position = samples.values[:, joint.column]
        over = np.flatnonzero(np.abs(np.diff(position)) > TURNED_OVER)
        if len(over):
            raise CalibrationError(
                f"{joint.name} jumps by {np.diff(position)[over[0]]:+.2f} rad at "
                f"{samples.time_s[over[0]]:.2f} s: its encoder begins anew within the joint's range; turn "
                "the horn on its spline"
            )
        step = max(step, encoder_step(position))
        limp = np.interp(samples.time_s, drive.time_s, drive.free.astype(float)) < 0.5
        low = np.concatenate((low, -visits(samples.time_s, -position, limp)))
        high = np.concatenate((high, visits(samples.time_s, position, limp)))
        holds += holds_of(joint, drive)
    angles, ways = {round(h.pulse, 2) for h in holds}, {h.way for h in holds}
    is_swept = min(len(low), len(high)) >= FEWEST_VISITS
    is_held = len(holds) >= FEWEST_HOLDS and len(angles) >= FEWEST_ANGLES and len(ways) == 2
    is_half = min(len(low), len(high)) < FEWEST_VISITS <= max(len(low), len(high))
    if is_half or not (is_swept or is_held):
        raise CalibrationError(
            f"{joint.name}: {len(low)} rests at its lower stop and {len(high)} at its upper one with the "
            f"motors off, {len(holds)} held commands; at least {FEWEST_VISITS} rests at each, or "
            f"{FEWEST_HOLDS} holds at {FEWEST_ANGLES} angles from both sides, were expected"
        )
    parts = [swept(joint, low, high, step)] if is_swept else []
    parts += [held(joint, holds)] if is_held else []
    frozen = [] if is_swept else [f"{joint.name}_zero: no sweeps with the motors off"]
    frozen += [] if is_held else [f"{joint.name}_backlash: no commands held from both sides"]
    return parts, tuple(frozen)


def swept(joint: Joint, low: Array, high: Array, step: float) -> Told:
    """From where it rested at its stops [rad], shape (n,) each, with an encoder of that ``step``. Raises
    CalibrationError if those cannot be both stops."""
    bottom, top = float(low.mean()), float(high.mean())
    travel = joint.stops[1] - joint.stops[0]
    if top - bottom < travel - MOST_SHORT:
        raise CalibrationError(
            f"{joint.name} was pushed through {top - bottom:.2f} rad, at least {travel:.2f} rad between its "
            "stops were expected: push it to both, clear what is in its way, or correct the robot's file"
        )
    off, freedom = np.concatenate((low - bottom, high - top)), len(low) + len(high) - 2
    # A normal interval is as wide as Student's; at least what is lost between the encoder's steps, where all
    # visits end on the same one.
    wide = student_over_normal(freedom)
    spread = wide * math.sqrt(float(off @ off) / freedom * (1.0 / len(low) + 1.0 / len(high)))
    sigma = 0.5 * max(spread, step / math.sqrt(6.0))
    zero = 0.5 * (bottom + top) - 0.5 * sum(joint.stops)
    room = min(joint.range[0] - bottom + zero, top - zero - joint.range[1])
    return Told(
        (
            (Quantity(f"{joint.name}_zero", "rad", zero), sigma),
            (Quantity(f"{joint.name}_low_stop", "rad", bottom - zero), sigma),
            (Quantity(f"{joint.name}_high_stop", "rad", top - zero), sigma),
        ),
        (
            Check(
                f"{joint.name}: visits of a stop, from their mean",
                "rad",
                float(np.abs(off).max()),
                MOST_APART,
            ),
            Check(f"{joint.name}: room between its range and its stops", "rad", room, 0.0, least=True),
        ),
        Series(f"{joint.name}, stops", np.concatenate((low, high)), 1e3 * off),
    )


def held(joint: Joint, holds: Sequence[Turn]) -> Told:
    """From commands that were held. Raises CalibrationError for a joint that does something else."""
    (_, inverse, play), covariance, left = line(holds)
    if abs(1.0 / inverse - 1.0) > MOST_GAIN_OFF:
        raise CalibrationError(
            f"{joint.name} turns by {1.0 / inverse:+.2f} rad for every rad that it is told to, +1 was "
            "expected: its direction is reversed, or its gears are others than its driver's; correct that"
        )
    sigma = math.sqrt(covariance[2, 2])
    gain_sigma = math.sqrt(covariance[1, 1]) / inverse**2
    return Told(
        (
            (Quantity(f"{joint.name}_backlash", "rad", play), sigma),
            (Quantity(f"{joint.name}_gain", "1", 1.0 / inverse), gain_sigma),
        ),
        (Check(f"{joint.name}: backlash, 95 %", "rad", play + 1.96 * sigma, MOST_BACKLASH),),
        Series(f"{joint.name}, holds", np.array([h.angle for h in holds]), 1e3 * left),
    )


def visits(time_s: Array, position: Array, limp: Flags) -> Array:
    """Where a joint rested at its upper stop each time [rad], shape (n,)."""
    if not limp.any():
        return np.zeros(0)
    near = limp & (position > position[limp].max() - NEAR_STOP)
    found = []
    for begin, end in _runs(near):
        at = begin + np.flatnonzero(position[begin:end] > position[begin:end].max() - AT_STOP)
        if time_s[at[-1]] - time_s[at[0]] >= REST_S:
            # Its middle half, as a hand comes and goes; the mean sees between the encoder's steps.
            quarter = len(at) // 4
            found.append(float(position[at[quarter : len(at) - quarter]].mean()))
    return np.array(found)


def encoder_step(position: Array) -> float:
    """The smallest difference that an encoder shows [rad]."""
    steps = np.diff(np.unique(np.round(position, 7)))
    return float(steps.min()) if len(steps) else 0.0


def holds_of(joint: Joint, drive: Drive) -> list[Turn]:
    """Every command that was held: the command as ``pulse``, what the encoder showed as ``angle`` [rad]."""
    samples, sent = drive.sensor(joint.sensor), drive.sent_to(joint.name)
    same = np.concatenate(([False], np.abs(np.diff(sent)) < 1e-9)) & drive.free
    found: list[Turn] = []
    before: float | None = None
    for begin, end in _runs(same):
        start_s, stop_s = drive.time_s[begin] + SETTLE_S, drive.time_s[end - 1]
        if stop_s - start_s < HOLD_S:
            continue
        command, last = float(sent[begin]), before
        before = command
        some = (samples.time_s > start_s) & (samples.time_s < stop_s)
        if last is None or abs(command - last) < LEAST_CHANGE or not some.any():
            continue
        shown = float(samples.values[some, joint.column].mean())
        found.append(Turn(command, shown, math.copysign(1.0, command - last)))
    return found


def _runs(flags: Flags) -> list[tuple[int, int]]:
    """First and end (exclusive) of each stretch of true ones."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], flags.astype(int), [0]))))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))
