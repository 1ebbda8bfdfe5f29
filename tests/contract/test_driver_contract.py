"""The driver contract, run on emulated devices in lockstep, behind real pseudo-terminals, and on hardware."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
from driver_conformance import DriverConformance
from point_plant import PointPlant
from radio_racer import radio_racer

from robot.clock import MonotonicClock, SimulatedClock
from robot.interface import make_driver
from robot.spec import RobotSpec
from sim.emulators.bench import Bench
from sim.emulators.control import SetFaults, ask
from sim.emulators.faults import Fault
from sim.emulators.rig import Rig

SPEC = radio_racer()
DEVICES = [device.name for device in SPEC.devices]


class LockstepWorld:
    """The driver on an emulated device in this thread; time moves in ``wait``."""

    def __init__(self, name: str) -> None:
        self.spec: RobotSpec = SPEC
        self._clock = SimulatedClock()
        rig = Rig(SPEC, PointPlant(), np.random.default_rng(0))
        self._device = rig.devices[name]
        device = next(d for d in SPEC.devices if d.name == name)
        self.driver = make_driver(SPEC, device, rig.ports(self._clock)[name])

    def now_ns(self) -> int:
        return self._clock.now_ns()

    def wait(self, seconds: float) -> None:
        self._clock.sleep_until(self.now_ns() + round(seconds * 1e9))

    def noise(self, data: bytes) -> bool:
        self._device._outward.send(data, self.now_ns())  # type: ignore[attr-defined]
        return True

    def unplug(self) -> bool:
        self._device.faults.add(Fault(kind="unplug"))
        return True

    def plug(self) -> None:
        self._device.faults.set(())


class BenchWorld:
    """The driver on pyserial, a real pseudo-terminal and the bench in real time, on a thread of its own."""

    def __init__(self, name: str, directory: Path) -> None:
        devices = tuple(msgspec.structs.replace(d, port=str(directory / d.name)) for d in SPEC.devices)
        self.spec: RobotSpec = msgspec.structs.replace(SPEC, devices=devices)
        self._name, self._directory = name, directory
        self._clock = MonotonicClock()
        plant = PointPlant()
        self._rig = Rig(self.spec, plant, np.random.default_rng(0))
        self._bench = Bench(self._rig, plant, directory, MonotonicClock())
        self._stopping = False
        self._thread = threading.Thread(target=self._bench.run, args=(lambda: self._stopping,), daemon=True)
        self._thread.start()
        while not (directory / name).exists():
            time.sleep(0.01)
        self.driver = make_driver(self.spec, next(d for d in devices if d.name == name))

    def now_ns(self) -> int:
        return self._clock.now_ns()

    def wait(self, seconds: float) -> None:
        self._clock.sleep_until(self.now_ns() + round(seconds * 1e9))

    def noise(self, data: bytes) -> bool:
        self._rig.devices[self._name]._outward.send(data, self._rig.time_ns)  # type: ignore[attr-defined]
        return True

    def unplug(self) -> bool:
        ask(self._directory, SetFaults(device=self._name, faults=(Fault(kind="unplug"),)))
        time.sleep(0.1)
        return True

    def plug(self) -> None:
        ask(self._directory, SetFaults(device=self._name))
        time.sleep(0.1)

    def close(self) -> None:
        self.driver.close()
        self._stopping = True
        self._thread.join(5.0)
        assert not self._thread.is_alive()
        assert sorted(p.name for p in self._directory.iterdir()) == ["truth"]


class HardwareWorld:
    """The driver on whatever is at the port that --hardware names. Wheels up."""

    def __init__(self, name: str, port: str) -> None:
        devices = tuple(msgspec.structs.replace(d, port=port) if d.name == name else d for d in SPEC.devices)
        self.spec: RobotSpec = msgspec.structs.replace(SPEC, devices=devices)
        self._clock = MonotonicClock()
        self.driver = make_driver(self.spec, next(d for d in devices if d.name == name))

    def now_ns(self) -> int:
        return self._clock.now_ns()

    def wait(self, seconds: float) -> None:
        self._clock.sleep_until(self.now_ns() + round(seconds * 1e9))

    def noise(self, data: bytes) -> bool:
        return False

    def unplug(self) -> bool:
        return False

    def plug(self) -> None:
        return


class TestLockstep(DriverConformance):
    @pytest.fixture(params=DEVICES)
    def world(self, request: pytest.FixtureRequest) -> LockstepWorld:
        return LockstepWorld(request.param)


@pytest.mark.slow
class TestPseudoTerminal(DriverConformance):
    @pytest.fixture(params=DEVICES)
    def world(self, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BenchWorld]:
        world = BenchWorld(request.param, tmp_path)
        yield world
        world.close()


@pytest.mark.slow
class TestHardware(DriverConformance):
    @pytest.fixture(params=DEVICES)
    def world(self, request: pytest.FixtureRequest, hardware: dict[str, str]) -> Iterator[HardwareWorld]:
        if request.param not in hardware:
            pytest.skip(f"no hardware given for {request.param}: --hardware {request.param}=/dev/tty…")
        world = HardwareWorld(request.param, hardware[request.param])
        yield world
        world.driver.close()
