"""At the end of a session: does what the robot did agree with its calibration?"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from calibration.drive import read_drive
from calibration.watch import watch
from launch.replay.recording import recording, room_of
from launch.session import Session
from robot.errors import SandlotError
from robot.spec import RobotSpec
from sim.log_windows import Recording

REPLAYED: Final = 24
"""Windows of a log that the twin replays: a few seconds of one processor."""
OF_THE_GATE: Final = 2.0
"""So many times what gate G2 tolerates is tolerated here: windows are few, and a beginner slides, of which
the noise floor knows nothing. Twenty stretches of two minutes of practice on the twin itself reach 2.8
floors."""


def consistency(session: Session) -> Iterator[str]:
    """Lines for a person: nothing if there is nothing to say, and never an error: the session is over."""
    manifest = session.manifest
    name = manifest.surrogate.name
    again, who = f"sandlot calibrate {manifest.robot}", f" --surrogate {name}" if name else ""
    try:
        drive, log = read_drive(session.directory)
        recorded = recording(drive.spec, log, room_of(log, session.directory)[0])
        # What a car does that hits something, or is in recovery, tells nothing of its steering.
        found = watch(replace(drive, free=drive.free & recorded.usable))
    except (SandlotError, KeyError, ValueError) as error:
        yield f"calibration not checked: {error}"
        return
    drifted = [one for one in found if one.drifted]
    for one in drifted:
        yield f"calibration: {one.words()}; measure again: {again} {one.procedure}{who}"
    if found and not drifted:
        yield "calibration agrees with the drive: " + ", ".join(one.what for one in found)
    if importlib.util.find_spec("mujoco") is None:
        return  # a robot's own computer has no twin; ``sandlot replay RUN --twin`` asks elsewhere
    try:
        parted = twin_parts(drive.spec, recorded)
    except SandlotError as error:
        yield f"the twin was not held against the drive: {error}"
        return
    if parted is not None:
        times, most = parted
        if times <= most:
            yield f"the twin does what the robot did, to {times:.1f} noise floors of the estimate"
        else:
            yield (
                f"the twin parts from the robot by {times:.1f} noise floors ({most:g} are tolerated); "
                f"identify it again: {again} twin --log {session.directory}"
            )


def twin_parts(spec: RobotSpec, recorded: Recording) -> tuple[float, float] | None:
    """How many times the noise floor twin and log part, at worst, and how many are tolerated (gate G2, on few
    windows). None if the log has too little driving. Raises SandlotError."""
    from sim.estimate_errors import load_errors
    from sim.validation.targets import targets_of
    from sim.validation.twin_validity import divergence, growth, windows_of

    errors = load_errors(spec)
    told = growth(divergence(spec, errors, windows_of(spec, errors, [recorded], REPLAYED), threads=1))
    if not told:
        return None
    return max(float(found.ratio.max()) for found in told), OF_THE_GATE * targets_of(spec).twin_ratio
