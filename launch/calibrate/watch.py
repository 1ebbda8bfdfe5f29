"""At the end of a session: does what the robot did agree with its calibration?"""

from __future__ import annotations

from collections.abc import Iterator

from calibration.drive import read_drive
from calibration.watch import watch
from launch.session import Session
from robot.errors import SandlotError


def consistency(session: Session) -> Iterator[str]:
    """Lines for a person: nothing if there is nothing to say, and never an error: the session is over."""
    try:
        found = watch(read_drive(session.directory)[0])
    except (SandlotError, KeyError, ValueError) as error:
        yield f"calibration not checked: {error}"
        return
    for one in found:
        if one.drifted:
            name = session.manifest.surrogate.name
            who = f" --surrogate {name}" if name else ""
            yield (
                f"calibration: {one.words()}; measure again: "
                f"sandlot calibrate {session.manifest.robot} {one.procedure}{who}"
            )
    if found and not any(one.drifted for one in found):
        yield "calibration agrees with the drive: " + ", ".join(one.what for one in found)
