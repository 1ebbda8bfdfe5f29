"""``sandlot calibrate --follow``: what a procedure knows so far, while it drives, from the log that grows."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.live import Live
from rich.text import Text

from calibration.drive import Drive, read_drive
from calibration.entry import Finding, with_unit
from calibration.procedure import Procedure
from robot.errors import SandlotError

EVERY_S, SPARED = 3.0, 5.0
"""Between two looks at the log [s], and at least so many times as long as the last one took: a log is written
about twice a second, and one with pictures is long."""
SHOWN = 4
"""Values in a line."""


def growing(path: Path) -> tuple[Drive, bool]:
    """What there is of a drive, and whether its log was closed. Raises SandlotError."""
    drive, log = read_drive(path)
    return drive, log.complete


def follow(
    console: Console,
    procedure: Procedure,
    path: Path,
    read: Callable[[Path], tuple[Drive, bool]] = growing,
    wait: Callable[[float], None] = time.sleep,
) -> int:
    """A line that is renewed, or one after another where there is no terminal, until the drive is over."""
    with Live(console=console, auto_refresh=False) as live:
        before = ""
        while True:
            began = time.monotonic()
            try:
                drive, complete = read(path)
                line = f"{drive.time_s[-1]:.0f} s: {so_far(procedure, drive)}"
            except (SandlotError, OSError) as error:
                line, complete = f"not yet: {error}", False
            if console.is_terminal:
                live.update(Text(line), refresh=True)
            elif line != before:
                console.print(line, highlight=False, markup=False, soft_wrap=True)
            if complete:
                return 0
            before = line
            wait(max(EVERY_S, SPARED * (time.monotonic() - began)))


def so_far(procedure: Procedure, drive: Drive) -> str:
    """Values and standard deviations that a drive tells already and what they leave unexplained, or what it
    lacks."""
    try:
        estimate = procedure.estimate([drive])
    except SandlotError as error:
        return f"not yet: {error}"
    except np.linalg.LinAlgError:
        return "not yet: nothing in the drive tells one value from another"
    sigmas = np.sqrt(np.diag(estimate.covariance)).tolist()
    known = [
        Finding(q.name, q.unit, q.value, sigma) for q, sigma in zip(estimate.quantities, sigmas, strict=True)
    ]
    known += [finding for finding in estimate.findings if finding.sigma and not known]
    shown = ", ".join(with_unit(f"{f.name} {f.value:.5g} ± {f.sigma:.2g}", f.unit) for f in known[:SHOWN])
    for panel in estimate.panels:
        if panel.left:
            left = np.concatenate([series.y for series in panel.series])
            shown += f"; {panel.y_label} {np.sqrt(np.mean(left**2)):.2g} (rms of {len(left)})"
    failed = [check.rule for check in estimate.checks if not check.passed]
    return shown + (f"; not good enough: {', '.join(failed)}" if failed else "; good enough")
