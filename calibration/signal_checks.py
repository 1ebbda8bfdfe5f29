"""What no estimate survives: times that go back, and signals that end at a ceiling."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from robot.errors import SandlotError

Array = NDArray[np.float64]

CEILING_SHARE = 0.02
"""Of the samples, exactly at the extreme: a signal with noise touches it once or twice."""


class SignalError(SandlotError):
    """A sensor's data cannot be right, and nothing is concluded from them."""


def require_forward(what: str, time_s: Array) -> None:
    """Raise SignalError if times [s] go back."""
    back = np.flatnonzero(np.diff(time_s) < 0.0)
    if len(back):
        raise SignalError(
            f"{what}: time goes back {len(back)} times, first from {time_s[back[0]]:.3f} s to "
            f"{time_s[back[0] + 1]:.3f} s: timestamps are swapped, or two logs were joined; record it again"
        )


def require_unclipped(what: str, values: Array) -> None:
    """Raise SignalError if a noisy signal, shape (n,), stays at its largest or smallest value."""
    for extreme, side in ((values.max(), "largest"), (values.min(), "smallest")):
        share = float((values == extreme).mean())
        if extreme != 0.0 and share > CEILING_SHARE and np.ptp(values) > 0.0:
            raise SignalError(
                f"{what}: {100 * share:.0f} % of its samples are exactly {extreme:g}, the {side} of all: it "
                "is clipped; look at the sensor's range and record it again"
            )
