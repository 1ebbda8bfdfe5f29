"""A CRSF radio receiver as its serial port shows it, and the hand on the transmitter's sticks."""

from __future__ import annotations

import numpy as np

from robot.drivers.crsf_frame import (
    CHANNELS,
    LINK_QUALITY,
    LINK_SIZE,
    LINK_STATISTICS,
    RC_CHANNELS,
    count,
    frame,
    pack_channels,
)
from robot.spec import RobotSpec
from sim.emulators.faults import FaultPlan
from sim.emulators.line import SerialLine

STATISTICS_EVERY = 10  # RC frames


class CrsfDevice:
    """Implements ``EmulatedDevice``. ``sticks``: the channels, -1 to 1, as the transmitter has them;
    ``transmitting``: whether it is on and in reach. Without it the receiver sends no channels and says, in
    its statistics, that the link is gone (ExpressLRS: "no pulses")."""

    def __init__(
        self, spec: RobotSpec, plant: object, rng: np.random.Generator, faults: FaultPlan | None = None
    ) -> None:
        registry = f"{type(self).__module__}:{type(self).__name__}"
        device = next(d for d in spec.devices if d.emulator == registry)
        sensor = next(s for s in spec.sensors if s.device == device.name)
        self.faults = FaultPlan(rng) if faults is None else faults
        self.sticks = [-1.0] * CHANNELS
        self.transmitting = True
        self._outward = SerialLine(int(device.options.get("baud", 420000)))
        self._period_ns = round(1e9 / sensor.rate_hz)
        self._next_ns = self._period_ns
        self._sent = 0

    def receive(self, data: bytes, now_ns: int) -> None:
        """A receiver is told nothing here."""

    def advance(self, now_ns: int) -> None:
        while self._next_ns <= now_ns:
            at, self._next_ns = self._next_ns, self._next_ns + self._period_ns
            self._sent += 1
            if self.transmitting:
                self._say(RC_CHANNELS, pack_channels([count(stick) for stick in self.sticks]), at)
            if self._sent % STATISTICS_EVERY == 0:
                statistics = bytearray(LINK_SIZE)
                statistics[LINK_QUALITY] = 100 * self.transmitting
                self._say(LINK_STATISTICS, bytes(statistics), at)

    def _say(self, kind: int, payload: bytes, now_ns: int) -> None:
        for data, delay in self.faults.apply(frame(kind, payload), now_ns, "host", kind):
            self._outward.send(data, now_ns + delay)

    def transmit(self, now_ns: int) -> bytes:
        return self._outward.take(now_ns)
