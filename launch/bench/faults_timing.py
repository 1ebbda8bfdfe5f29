"""What the specification allows in time [s], for the expectations of the cells."""

from __future__ import annotations

import numpy as np

from launch.bench.faults_judge import BRAKE_LAG_S, Expected, Witness
from launch.bench.faults_run import Run
from robot.messages import SafetyState

DRIVE_CHECK_S = 0.010
"""How often the drive looks at its timeout (firmware: timeout.c)."""


def period(run: Run) -> float:
    return run.drive.period_ns * 1e-9


def stale(run: Run) -> float:
    """How old a sample of the drive may get, and one tick to notice [s]."""
    return max(s.stale_s for s in run.drive.spec.sensors if s.device == "vesc") + period(run)


def drive_timeout(run: Run) -> float:
    """Until the drive brakes by itself [s]."""
    return run.drive.spec.scalar("drive_timeout") + DRIVE_CHECK_S


def braked_by_the_drive(run: Run, states: tuple[SafetyState, ...]) -> Expected:
    """The drive's own timeout must brake, whatever the guardian does or not; then it may be in ``states``."""
    amperes = run.drive.spec.scalar("drive_timeout_brake_current") / 2

    def braked_ns(witness: Witness, begin_ns: int) -> int | None:
        """When the motor began to brake and went on to, down to half the speed."""
        speeds = np.array(witness.speeds)
        slow = np.flatnonzero(speeds < speeds[0] / 2)
        if not len(slow):
            return None
        weak = np.flatnonzero(np.array(witness.braking[: slow[0]]) < amperes)
        first = int(weak[-1]) + 1 if len(weak) else 0
        return witness.times[first] if first < slow[0] else None

    run.response_ns = braked_ns
    within_s = drive_timeout(run) + BRAKE_LAG_S / 2 + period(run)
    return Expected("must", states, within_s, reaction_s=within_s)
