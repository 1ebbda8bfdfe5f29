"""An arm of which only joints matter: geared servos with play, stops that give, encoders with steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from safety_robot import small_robot

from calibration.drive import Drive, Samples
from robot.spec import RobotSpec

RATE_HZ = 100.0
STEP = 2.0 * np.pi / 4096.0
"""Of the encoder [rad]: 12 bits a turn."""


@dataclass(frozen=True)
class Servo:
    """A joint whose encoder shows ``zero`` where it is 0 [rad], stops at ``low`` and ``high``, with ``play``
    and ``gain`` between command and joint; a hand pushes a stop by ``give`` [rad] more or less."""

    zero: float
    low: float
    high: float
    play: float
    gain: float = 1.0
    give: float = 0.001


def arm(names: tuple[str, ...] = ("lift", "elbow"), **more: object) -> RobotSpec:
    """Joints that may be commanded to 1.6 rad either way."""
    joint = {"device": "d", "unit": "rad", "lower": -1.6, "upper": 1.6, "slew": 2.0}
    sensor = {"name": "one", "device": "d", "rate_hz": 100, "latency_s": 0.0, "stale_s": 0.05}
    fields = [{"name": "joint_position", "unit": "rad", "elements": list(names)}]
    return small_robot(
        actuators=[{"name": name, **joint} for name in names], sensors=[{**sensor, "fields": fields}], **more
    )


def swept_and_held(
    spec: RobotSpec, servos: Mapping[str, Servo], rng: np.random.Generator, sweeps: int = 4
) -> Drive:
    """Sweeps by hand with the motors off, then commands that are held, all joints at once."""
    rows, sent = {name: [] for name in servos}, {name: [] for name in servos}
    angles = [0.0, 1.2, 0.4, 1.0, -0.4, -1.2, 0.4, -1.0, 0.9, -0.2, 0.6, -0.9, 0.0]
    for name, servo in servos.items():
        for _ in range(sweeps):
            for stop in (servo.low, servo.high):
                pushed = stop + servo.give * rng.standard_normal()
                here = rows[name][-1] if rows[name] else 0.0
                way = np.linspace(here, pushed, round(1.5 * RATE_HZ))
                rows[name] += [*way, *np.full(round(0.8 * RATE_HZ), pushed)]
        count = len(rows[name])
        sent[name] += [0.0] * count
        here = rows[name][-1]
        for before, angle in pairwise(angles):
            way = before + (angle - before) * np.minimum(np.arange(round(2.2 * RATE_HZ)) / RATE_HZ, 1.0)
            for command in way:
                low, high = servo.gain * command - servo.play / 2, servo.gain * command + servo.play / 2
                here = min(max(here, low), high)
                sent[name].append(command)
                rows[name].append(here)
    n = len(next(iter(rows.values())))
    time = np.arange(n) / RATE_HZ
    shown = np.stack([np.array(rows[name]) + servos[name].zero for name in servos], axis=-1)
    shown = np.round((shown + 0.3 * STEP * rng.standard_normal(shown.shape)) / STEP) * STEP
    free = np.arange(n) >= count
    commands = np.stack([np.array(sent[name]) for name in servos], axis=-1)
    states = np.zeros((n, spec.state_layout.size))
    return Drive(spec, time, time, commands, states, free, {"one": Samples(time, shown)})
