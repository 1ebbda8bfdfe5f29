"""What the drivers of devices that drive nothing have in common."""

from __future__ import annotations

import numpy as np

from robot.interface import Array, StopProof


class SensingDriver:
    """The part of ``robot.interface.Driver`` that commands, stops and proves: nothing, so that every setpoint
    is an empty array and the proof is passed."""

    actuators: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.proof = StopProof("passed")
        self._nothing = np.empty(0)

    def command(self, now_ns: int, setpoint: Array) -> Array:
        return self._nothing

    def stop(self, now_ns: int, torque: bool) -> Array:
        return self._nothing

    def silence(self, now_ns: int) -> Array:
        return self._nothing

    def prove_stop(self, now_ns: int, begin: bool) -> Array:
        return self._nothing
