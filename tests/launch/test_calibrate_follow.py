"""What is shown of a procedure while it drives: nothing until there is something, then an ever narrower
value."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
from measured_drive import Drivetrain, current_drives
from rich.console import Console

from calibration.drive import Drive, Samples
from calibration.motor import MotorProcedure
from launch.calibrate.follow import EVERY_S, follow
from launch.catalogue import find
from robot.errors import SandlotError
from robot.spec import load_spec

SPEC = load_spec(find("robots", "racer"))
PASSES = 3 * [(2.4, 2.2), (-0.7, 6.0), (0.8, 4.5), (-0.7, 6.0), (1.6, 3.0), (-0.7, 6.0)]
CAR = Drivetrain(*(np.array([v]) for v in (0.13, 0.128, 0.0, 4614.0, 0.1)))


def until(whole: Drive, seconds: float) -> Drive:
    """The beginning of a drive."""
    ticks = int(np.searchsorted(whole.time_s, seconds))
    sensors = {
        name: Samples(s.time_s[s.time_s < seconds], s.values[s.time_s < seconds])
        for name, s in whole.sensors.items()
    }
    rows = {name: getattr(whole, name)[:ticks] for name in ("time_s", "sent_s", "sent", "states", "free")}
    return replace(whole, sensors=sensors, **rows)


def test_a_line_is_renewed_until_the_drive_is_over() -> None:
    (whole,) = current_drives(SPEC, PASSES, CAR, np.random.default_rng(0))
    waited: list[float] = []

    def read(path: Path) -> tuple[Drive, bool]:
        if not waited:
            raise SandlotError("there is no log yet")
        seconds = (10.0, 70.0, 70.0, 165.0)[len(waited) - 1]
        return until(whole, seconds), len(waited) == 4

    shown = io.StringIO()
    console = Console(file=shown, width=400)
    assert follow(console, MotorProcedure(), Path("run"), read, waited.append) == 0
    assert min(waited) == EVERY_S and len(waited) == 4
    lines = [line for line in shown.getvalue().splitlines() if line.strip()]
    assert lines[0] == "not yet: there is no log yet"
    assert lines[1].startswith("10 s: not yet: 1 straight passes from rest to rest forward and 0 in reverse")
    # Nothing new is said once.
    assert len(lines) == 4
    early, late = (re.search(r"rolling_resistance (\S+) ± (\S+),", line) for line in lines[2:])
    assert early is not None and late is not None
    assert float(late[2]) < float(early[2]) < 0.003
    rests = [
        re.search(r"error of the acceleration \[m/s²\] (\S+) \(rms of (\d+)\)", line) for line in lines[2:]
    ]
    assert all(rests) and int(rests[0][2]) < int(rests[1][2])
    assert lines[3].endswith("; good enough")
