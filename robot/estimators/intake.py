"""What may enter an estimator: samples that are new, and taken at a time that can be true."""

from __future__ import annotations

from robot.interface import Measurements

OLDEST_NS = 1_000_000_000
"""[ns] before now: older samples describe another car."""
FUTURE_NS = 5_000_000
"""[ns] after now that a device's clock may err."""


class Intake:
    """Hands out each sensor's samples once. ``refused``: how many were not used, by reason."""

    def __init__(self) -> None:
        self.refused: dict[str, int] = {}
        self._sequences: dict[str, int] = {}

    def refuse(self, reason: str) -> None:
        """Count a sample that was not used."""
        self.refused[reason] = self.refused.get(reason, 0) + 1

    def take(self, sensor: str, now_ns: int, last_ns: int, measurements: Measurements) -> int:
        """The time [ns] of a sensor's newest sample, 0 if it has been taken before or its time cannot be
        true: not after ``last_ns``, in the future, or long past."""
        sequence = measurements.sequence(sensor)
        if sequence == self._sequences.get(sensor, 0):
            return 0
        self._sequences[sensor] = sequence
        time_ns = measurements.time_ns(sensor)
        if not (last_ns < time_ns <= now_ns + FUTURE_NS and now_ns - time_ns < OLDEST_NS):
            self.refuse(f"{sensor}_time")
            return 0
        return time_ns
