"""What the motor controller's speed loop remembers, along a log: no log shows it, and it forgets nothing.

The loop's integral grows by 2e-4 a second for each ERPM of error (``sim.emulators.vesc``), so half a minute
of driving is in it, and a replay that began without would be several amperes off. And the loop follows a ramp
to the speed that it was sent, which runs ahead of a motor at its current limit, by metres a second: a replay
that began with the ramp at the car's speed would slow down too soon.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from robot.spec import RobotSpec
from sim.emulators.vesc import SPEED_KI, SPEED_MINIMUM, SPEED_RAMP
from sim.plant import Array

GAP_S = 0.1
"""A longer gap in the log [s] says that the session began anew."""


class SpeedMemory(NamedTuple):
    """At each tick, shape (T,) each: the ``integral`` [1, of the current limit], 0 where driving begins, and
    where the ramp is, ``ramped`` [ERPM], at the motor's speed there."""

    integral: Array
    ramped: Array


def speed_memory(spec: RobotSpec, time_s: Array, speeds: Array, erpm: Array) -> SpeedMemory:
    """From the ``speeds`` [m/s] that were sent (0: braked) and the measured ``erpm``, shape (T,) each."""
    found = SpeedMemory(np.zeros(len(time_s)), np.array(erpm, np.float64))
    targets = np.rint(speeds * spec.scalar("erpm_per_speed"))
    integral, ramped, driving = 0.0, 0.0, False
    steps = np.diff(time_s, append=time_s[-1:])
    middle = (erpm + np.append(erpm[1:], erpm[-1:])) / 2
    each = zip(steps.tolist(), targets.tolist(), erpm.tolist(), middle.tolist(), strict=True)
    for k, (step, target, speed, halfway) in enumerate(each):
        if step > GAP_S or target == 0.0:
            integral, driving = 0.0, False
            continue
        if not driving:
            integral, ramped, driving = 0.0, speed, True
        found.integral[k], found.ramped[k] = integral, ramped
        most = SPEED_RAMP * step
        turn = min(max(target - ramped, -most), most)
        ramped += turn
        if abs(ramped) < SPEED_MINIMUM:
            integral = 0.0
        else:
            integral = min(max(integral + (ramped - turn / 2 - halfway) * SPEED_KI / 20.0 * step, -1.0), 1.0)
    return found
