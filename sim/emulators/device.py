"""What every emulated device is: a state machine on injected time, with a serial line in each direction."""

from __future__ import annotations

from typing import Protocol

from sim.emulators.faults import FaultPlan


class EmulatedDevice(Protocol):
    """No threads, no clock of its own: time [ns] comes with each call and starts at power-on, 0."""

    faults: FaultPlan

    def receive(self, data: bytes, now_ns: int) -> None:
        """Bytes that the host has just written; they reach the device as the line carries them."""

    def advance(self, now_ns: int) -> None:
        """Run the firmware up to ``now_ns``."""

    def transmit(self, now_ns: int) -> bytes:
        """Bytes that have fully arrived at the host by ``now_ns``, each handed out once."""
