"""Drives that were never driven: what a car's sensors would say along commands, in closed form."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from calibration.drive import Drive, Samples
from robot.spec import RobotSpec

RATE_HZ = 100.0


def straight_drive(
    spec: RobotSpec,
    gain: float,
    passes: Sequence[tuple[float, float]],
    rng: np.random.Generator,
    rest_s: float = 2.5,
) -> Drive:
    """Passes of (speed [m/s], seconds) on one line, each from rest with 2.5 m/s^2 and back to it, of a car
    that turns ``gain`` ERPM per m/s. Noise as in the spec's calibration."""
    profile = [np.zeros(round(rest_s * RATE_HZ))]
    for speed, seconds in passes:
        t = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
        ramp = np.minimum(np.minimum(t, seconds - t) * 2.5, abs(speed))
        profile += [np.sign(speed) * ramp, np.zeros(round(rest_s * RATE_HZ))]
    velocity = np.concatenate(profile)
    time = np.arange(len(velocity)) / RATE_HZ
    way = np.concatenate(([0.0], np.cumsum((velocity[1:] + velocity[:-1]) / 2) / RATE_HZ))
    heading = 0.3
    states = np.zeros((len(time), spec.state_layout.size))
    states[:, spec.state_layout.index("heading")] = heading
    states[:, spec.state_layout.index("velocity_body_x")] = velocity
    erpm = np.rint(gain * velocity + spec.scalar("erpm_noise") * rng.standard_normal(len(time)))
    fix_s = np.arange(0.0, time[-1], 0.1)
    kept = np.exp(-0.1 / spec.scalar("gnss_noise_time"))
    wander = np.zeros((len(fix_s), 2))
    wander[0] = rng.standard_normal(2)
    for k in range(1, len(fix_s)):
        wander[k] = kept * wander[k - 1] + np.sqrt(1 - kept**2) * rng.standard_normal(2)
    white = spec.scalar("gnss_white_noise") * rng.standard_normal((len(fix_s), 2))
    line = np.interp(fix_s, time, way)[:, None] * np.array([np.cos(heading), np.sin(heading)])
    sensors = {s.name: Samples(time, np.zeros((len(time), s.layout.size))) for s in spec.sensors}
    gnss = np.zeros((len(fix_s), next(s.layout.size for s in spec.sensors if s.name == "gnss")))
    gnss[:, :2] = line + spec.scalar("gnss_noise") * wander + white
    sensors["gnss"] = Samples(fix_s, gnss)
    sensors["drive"].values[:, 0] = erpm
    sent = np.stack((velocity, np.zeros(len(time))), axis=-1)
    return Drive(spec, time, time, sent, states, np.ones(len(time), bool), sensors)
