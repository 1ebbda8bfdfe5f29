"""What a satellite receiver said of the car while it had a fix."""

from __future__ import annotations

import numpy as np

from calibration.drive import Drive, Samples
from robot.estimators.satellites import USED


def fixes_of(drive: Drive) -> Samples:
    """Those that the estimator takes, too: without a fix a receiver repeats, or guesses, where it is."""
    samples = drive.sensor("gnss")
    layout = next(s.layout for s in drive.spec.sensors if s.name == "gnss")
    good = np.isin(samples.values[:, layout.index("fix_type")], USED)
    return Samples(samples.time_s[good], samples.values[good])
