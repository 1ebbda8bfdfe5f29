"""What the emulated world really looks like: for what is emulated beside it, for tests and for reports.
Nothing onboard reads it."""

from __future__ import annotations

from typing import Final

import numpy as np

TRUTH: Final = "truth"
"""The mailbox in the bench's folder."""
TRUTH_DTYPE: Final = np.dtype(
    [
        ("sequence", "<u8"),
        ("time_ns", "<i8"),
        ("heading", "<f8"),
        ("antenna_position", "<f8", (3,)),
        ("antenna_velocity", "<f8", (3,)),
        ("angular_velocity", "<f8", (3,)),
        ("motor_speed", "<f8"),
        ("motor_current", "<f8"),
    ],
    align=True,
)
"""Heading [rad]; antenna in the world frame [m], [m/s]; body [rad/s]; mechanical [rad/s]; [A], positive
accelerates forward."""
