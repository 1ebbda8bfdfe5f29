"""A port that leads straight to an emulated device, on a clock that the caller moves: for lockstep."""

from __future__ import annotations

from collections.abc import Callable

from robot.clock import Clock
from robot.errors import PortError
from sim.emulators.device import EmulatedDevice


class MemoryPort:
    """Implements ``robot.interface.Port`` on a device in this thread.

    Every read and write first brings the device up to the clock. ``advance`` does that instead of the
    device's own method where several devices share one physical world (see ``Rig``).
    """

    def __init__(
        self, device: EmulatedDevice, clock: Clock, advance: Callable[[int], None] | None = None
    ) -> None:
        self.device = device
        self._clock = clock
        self._advance = device.advance if advance is None else advance
        self._open = False

    @property
    def is_open(self) -> bool:
        return self._open

    def open(self) -> None:
        """Raises PortError while the device's fault plan has it unplugged."""
        now = self._clock.now_ns()
        self._advance(now)
        if self.device.faults.unplugged(now):
            raise PortError("the emulated port does not exist: a fault has it unplugged")
        self.device.transmit(now)  # what was sent while nobody listened is lost
        self._open = True

    def read(self) -> bytes:
        now = self._now()
        return self.device.transmit(now)

    def write(self, data: bytes) -> int:
        self.device.receive(data, self._now())
        return len(data)

    def close(self) -> None:
        self._open = False

    def _now(self) -> int:
        now = self._clock.now_ns()
        self._advance(now)
        if not self._open:
            raise PortError("the emulated port is not open; call open() first")
        if self.device.faults.unplugged(now):
            self._lose(now)
            self.device.faults.note("unplug", now)
            raise PortError("the emulated port was lost: a fault has it unplugged")
        if self.device.faults.fails(now):
            self._lose(now)
            raise PortError("the emulated port was lost: a fault makes it fail (EIO)")
        return now

    def _lose(self, now_ns: int) -> None:
        self._open = False
        self.device.transmit(now_ns)
