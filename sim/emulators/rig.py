"""A robot's emulated devices on one physical world, kept in step with each other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from robot.clock import Clock
from robot.errors import SpecError, nearest
from robot.interface import load_class
from robot.spec import RobotSpec
from sim.emulators.device import EmulatedDevice
from sim.emulators.faults import FaultPlan
from sim.emulators.line import LineDelay
from sim.emulators.memory_port import MemoryPort

STEP_NS = 1_000_000  # no device acts, and none samples, out of step with the others by more than this


class Rig:
    """The devices that the spec names emulators for, on ``plant``. Each gets its own random stream from
    ``rng``, so that adding one does not change what another draws. Time starts at power-on, 0 [ns]. Raises
    SpecError."""

    def __init__(
        self,
        spec: RobotSpec,
        plant: Any,  # the protocol that this robot's emulators ask for, such as sim.plant.CarPlant
        rng: np.random.Generator,
        faults: Mapping[str, FaultPlan] | None = None,
        delays: Iterable[LineDelay] = (),
    ) -> None:
        self.devices: dict[str, EmulatedDevice] = {}
        plans = {} if faults is None else faults
        streams = rng.spawn(2 * len(spec.devices))
        for k, device in enumerate(spec.devices):
            if not device.emulator:
                raise SpecError(
                    f"{spec.name}: device {device.name} has no emulator, so there is no twin of it; "
                    f'give it `emulator = "module:Class"`'
                )
            kind = load_class(device.emulator, f"{spec.name}: device {device.name}")
            plan = plans.get(device.name) or FaultPlan(streams[2 * k])
            self.devices[device.name] = kind(spec, plant, streams[2 * k + 1], plan)
        for line in delays:
            if line.device not in self.devices:
                raise SpecError(
                    f"{spec.name} has no device {line.device!r}; {nearest(line.device, self.devices)}"
                )
            self.devices[line.device].faults.line_delay_ns[line.to] = round(line.seconds * 1e9)
        self._all = tuple(self.devices.values())
        self.time_ns = 0

    def advance(self, now_ns: int) -> None:
        """Bring every device, and the plant with them, up to ``now_ns``."""
        while self.time_ns < now_ns:
            self.time_ns = min(self.time_ns + STEP_NS, now_ns)
            for device in self._all:
                device.advance(self.time_ns)

    def ports(self, clock: Clock) -> dict[str, MemoryPort]:
        """For each device a port in this thread, for drivers on the same clock."""
        return {name: MemoryPort(device, clock, self.advance) for name, device in self.devices.items()}
