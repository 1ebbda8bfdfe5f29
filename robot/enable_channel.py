"""Permission by radio: a channel of a receiver that the guardian reads itself, with no process in between."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from robot.interface import Measurements
from robot.spec import RobotSpec


class EnableChannel:
    """``spec.enable.channel``: enabled while its sensor is fresh and its value is above the threshold. A
    receiver that has lost its transmitter says nothing, and so enables nothing."""

    def __init__(self, spec: RobotSpec, measurements: Measurements) -> None:
        name, _, element = spec.enable.channel.partition(".")
        self._sensor = [s.name for s in spec.sensors].index(name)
        self._values = measurements.values(name)
        self._element = spec.sensors[self._sensor].layout.index(element)
        self._threshold = spec.enable.threshold

    def enabled(self, stale: NDArray[np.bool_]) -> bool:
        """``stale``: the sensors too old to rely on, shape (n_sensors,)."""
        # A value that is not a number is not above anything.
        return not stale[self._sensor] and bool(self._values[self._element] > self._threshold)
