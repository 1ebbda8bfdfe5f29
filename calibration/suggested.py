"""A suggested manoeuvre as a procedure: driven again and again around where it began, for the twin to learn
from."""

from __future__ import annotations

from collections.abc import Sequence

from calibration.drive import Drive
from calibration.manoeuvre import Leg, home, stand
from calibration.procedure import Estimate
from calibration.suggestion import CANDIDATES
from calibration.twin_procedure import TwinProcedure
from calibration.twin_work import HERE, TwinWork
from robot.errors import SandlotError, nearest
from robot.spec import RobotSpec

ROUNDS = 6
"""Of nine seconds each: what an identification wants of a log."""
REACH_M = 4.5
"""Driven at most before it turns back to the middle [m]: half a yard, less what turning takes."""
HOME_SPEED = 1.2
"""[m/s]"""


class SuggestedProcedure:
    """Implements ``calibration.procedure.Procedure``; ``manoeuvre``: a name of ``CANDIDATES``. Its entries
    are the twin's. Raises SandlotError for a name that is none."""

    name = "twin"
    valid_days = TwinProcedure.valid_days

    def __init__(self, manoeuvre: str, work: TwinWork = HERE) -> None:
        if manoeuvre not in CANDIDATES:
            raise SandlotError(f"no manoeuvre {manoeuvre!r}; {nearest(manoeuvre, CANDIDATES)}")
        self.about = (
            f"The car drives {manoeuvre}, {ROUNDS} times, on 14 m x 14 m of free floor, and the twin is "
            "identified from that."
        )
        self._legs, self._work = CANDIDATES[manoeuvre], work

    def legs(self, spec: RobotSpec) -> tuple[Leg, ...]:
        found, driven = [stand(1.0)], 0.0
        for leg in ROUNDS * self._legs:
            metres = abs(leg.speed) * leg.seconds
            if driven and driven + metres > REACH_M:
                found.append(home(HOME_SPEED))
                driven = 0.0
            found.append(leg)
            driven += metres
        return (*found, home(HOME_SPEED), stand(1.5))

    def estimate(self, drives: Sequence[Drive]) -> Estimate:
        return TwinProcedure(self._work).estimate(drives)
