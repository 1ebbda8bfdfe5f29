"""The calibration procedures by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from calibration.jointed import joints_of
from calibration.procedure import Procedure
from calibration.twin_work import HERE, TwinWork
from robot.errors import SandlotError, nearest
from robot.interface import load_class
from robot.spec import RobotSpec

PROCEDURES: Final[Mapping[str, str]] = {
    "clock": "calibration.clock:ClockProcedure",
    "speed": "calibration.speed:SpeedProcedure",
    "imu": "calibration.imu:ImuProcedure",
    "steering": "calibration.steering:SteeringProcedure",
    "motor": "calibration.motor:MotorProcedure",
    "antenna": "calibration.antenna:AntennaProcedure",
    "twin": "calibration.twin_procedure:TwinProcedure",
    "joints": "calibration.joints:JointsProcedure",
}
"""``module:Class``, in the order in which they build on each other."""
SUGGESTED: Final = "twin: "
"""What the name of a suggested manoeuvre begins with, as a session's manifest has it."""
JOINTED: Final = ("joints",)
"""Those of a robot with joints; all others are a car's."""


def names_for(spec: RobotSpec) -> tuple[str, ...]:
    """The procedures that a robot of this kind has."""
    jointed = bool(joints_of(spec))
    return tuple(name for name in PROCEDURES if (name in JOINTED) == jointed)


def named(name: str, work: TwinWork = HERE) -> Procedure:
    """``work``: how the twin is identified, if it is. ``twin: quick weave`` is a suggested manoeuvre, from
    which the twin is identified. Raises SandlotError with the nearest names."""
    if name.startswith(SUGGESTED):
        suggested: Procedure = load_class(
            "calibration.suggested:SuggestedProcedure", f"calibration procedure {name}"
        )(name.removeprefix(SUGGESTED), work)
        return suggested
    if name not in PROCEDURES:
        raise SandlotError(f"no procedure {name!r}; {nearest(name, PROCEDURES)}")
    make = load_class(PROCEDURES[name], f"calibration procedure {name}")
    procedure: Procedure = make(work) if name == "twin" else make()
    return procedure
