"""The twin becomes this robot: its parameters, all together, from a drive or from any driving log.

The estimate is a distribution: values and their covariance, which validation draws its cars from
(``calibration.twin_conclusion``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from calibration.drive import Drive
from calibration.manoeuvre import Leg, home, stand
from calibration.procedure import Estimate
from calibration.twin_work import HERE, TwinWork
from robot.spec import RobotSpec

CIRCLES = (
    (0.9, 0.12),
    (0.9, -0.12),
    (1.6, 0.2),
    (1.6, -0.2),
    (2.2, 0.12),
    (2.2, -0.12),
    (1.3, 0.26),
    (1.3, -0.26),
)
"""Speeds [m/s] and steering [rad], one full circle each, from one to the next without a stop."""
WEAVE = ((0.8, 0.25), (2.4, -0.25), (0.8, 0.25), (2.4, -0.25))
"""The same for steps of 0.8 s: the steering's speed, the motor, and load transfer."""
WEAVE_S = 0.8


class TwinProcedure:
    """Implements ``calibration.procedure.Procedure``."""

    name = "twin"
    about = (
        "The car drives circles and weaves at up to 2.4 m/s for two minutes on 12 m x 12 m of free floor; or "
        "give it logs that are there (--log), best of driving near the tyres' limit, which tells friction."
    )
    valid_days = 14

    def __init__(self, work: TwinWork = HERE) -> None:
        self._work = work

    def legs(self, spec: RobotSpec) -> tuple[Leg, ...]:
        found = [stand(1.0)]
        for _ in range(2):
            for speed, steering in CIRCLES:
                radius = spec.scalar("wheelbase") / math.tan(abs(steering))
                side = "left" if steering > 0 else "right"
                name = f"a circle to the {side} at {speed:g} m/s"
                found.append(Leg(name, 2.0 * math.pi * radius / speed, speed, steering))
                found.append(home(speed))
            found += [Leg("weave", WEAVE_S, speed, steering) for speed, steering in WEAVE]
            found += [home(1.2), stand(1.5)]
        return tuple(found)

    def estimate(self, drives: Sequence[Drive]) -> Estimate:
        # Needs mujoco, which a robot that only drives the legs does without.
        from calibration.twin_conclusion import estimate

        return estimate(drives, self._work)
