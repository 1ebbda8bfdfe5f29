"""What the motor controller's speed loop remembers, along a log: no log shows it, and it forgets nothing.

The loop's integral grows by 2e-4 a second for each ERPM of error (``sim.emulators.vesc``), so half a minute
of driving is in it, and a replay that began without would be several amperes off.
"""

from __future__ import annotations

import numpy as np

from robot.spec import RobotSpec
from sim.emulators.vesc import SPEED_KI, SPEED_MINIMUM, SPEED_RAMP
from sim.plant import Array

GAP_S = 0.1
"""A longer gap in the log [s] says that the session began anew."""


def speed_memory(spec: RobotSpec, time_s: Array, speeds: Array, erpm: Array) -> Array:
    """The integral [1, of the current limit] at each tick, shape (T,), from the ``speeds`` [m/s] that were
    sent (0: braked) and the measured ``erpm``, shape (T,) each. 0 where driving begins."""
    found = np.zeros(len(time_s))
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
        found[k] = integral
        most = SPEED_RAMP * step
        turn = min(max(target - ramped, -most), most)
        ramped += turn
        if abs(ramped) < SPEED_MINIMUM:
            integral = 0.0
        else:
            integral = min(max(integral + (ramped - turn / 2 - halfway) * SPEED_KI / 20.0 * step, -1.0), 1.0)
    return found
