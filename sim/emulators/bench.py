"""A robot on the bench that is not there: physics and emulated devices behind pseudo-terminals, in real time.

``directory`` holds one link per device, named as in the spec, the control socket, and the mailbox ``truth``
with what the world really looks like (for tests and reports; nothing onboard reads it).
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from robot.clock import Clock, MonotonicClock, Ticker
from robot.shared_memory import Mailbox
from robot.spec import RobotSpec
from sim.emulators.control import ControlSocket, Place, Request, SetFaults, Sticks, Trip
from sim.emulators.pseudo_terminal import PseudoTerminal
from sim.emulators.rig import Rig
from sim.emulators.truth import TRUTH, TRUTH_DTYPE
from sim.plant import Twin
from sim.surrogate import Surrogate, make_twin

RATE_HZ = 1000.0  # how often bytes are moved: finer than the 87 us * 11 of the shortest reply
STALL_NS = 200_000_000  # after a longer stall the world does not catch up: its time has stood still
TRUTH_TICKS = 10  # ticks between truth records


class Bench:
    """Hosts a rig on pseudo-terminals. ``place(pose)`` sets the robot down (None: the plant cannot)."""

    def __init__(
        self,
        rig: Rig,
        plant: Twin,
        directory: Path,
        clock: Clock,
        place: Callable[[tuple[float, float, float] | None], None] | None = None,
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._rig = rig
        self._plant = plant
        self._clock = clock
        self._place = place
        self._ports = {name: PseudoTerminal(directory / name) for name in rig.devices}
        self._control = ControlSocket(directory)
        self._truth = Mailbox(directory / TRUTH, TRUTH_DTYPE, create=True)
        self._record = np.zeros(1, TRUTH_DTYPE)
        self._origin_ns = 0
        self.skipped = 0
        self.stalls = 0

    def run(self, stop: Callable[[], bool]) -> None:
        """Serve until ``stop`` says so; then take the ports away."""
        for port in self._ports.values():
            port.open()
        self._origin_ns = self._clock.now_ns()
        ticker = Ticker(self._clock, RATE_HZ)
        ticks = 0
        try:
            while not stop():
                self.skipped += ticker.wait()
                self.tick(self._clock.now_ns())
                ticks += 1
                if ticks % TRUTH_TICKS == 0:
                    self._publish()
                    while (request := self._control.receive()) is not None:
                        self._obey(request)
                ticker.advance()
        finally:
            self.close()

    def tick(self, now_ns: int) -> None:
        """Bytes in, world and firmware up to now, bytes out."""
        now = now_ns - self._origin_ns
        if now - self._rig.time_ns > STALL_NS:
            self._origin_ns += now - self._rig.time_ns
            self.stalls += 1
            now = self._rig.time_ns
        for name, device in self._rig.devices.items():
            port = self._ports[name]
            if device.faults.unplugged(now):
                port.close()
            else:
                if not port.is_open:
                    port.open()
                if data := port.read():
                    device.receive(data, now)
        self._rig.advance(now)
        for name, device in self._rig.devices.items():
            if data := device.transmit(now):
                port = self._ports[name]
                if port.is_open:
                    port.write(data)

    def close(self) -> None:
        for port in self._ports.values():
            port.close()
        self._control.close()

    def _publish(self) -> None:
        plant, record = self._plant, self._record
        record["time_ns"] = self._rig.time_ns + self._origin_ns
        record["heading"] = plant.pose()[2]
        record["antenna_position"] = plant.antenna_position
        record["antenna_velocity"] = plant.antenna_velocity
        record["angular_velocity"] = plant.angular_velocity
        record["motor_speed"] = plant.motor_speed
        record["motor_current"] = plant.motor_current
        self._truth.write(record)

    def _obey(self, request: Request) -> None:
        now_s = self._rig.time_ns * 1e-9
        if isinstance(request, Place):
            if self._place is not None:
                self._place(request.pose)
            return
        device: Any = self._rig.devices.get(request.device)
        if device is None:
            return
        if isinstance(request, SetFaults):
            device.faults.set(
                msgspec.structs.replace(f, start_s=f.start_s + now_s, end_s=f.end_s + now_s)
                for f in request.faults
            )
        elif isinstance(request, Trip) and hasattr(device, "trip"):
            device.trip(request.code)
        elif isinstance(request, Sticks) and hasattr(device, "sticks"):
            device.transmitting = request.transmitting
            for channel, value in request.channels.items():
                if 1 <= channel <= len(device.sticks):
                    device.sticks[channel - 1] = value


def run_bench(
    spec: RobotSpec,
    world: Path,
    directory: Path,
    seed: int,
    stop: Callable[[], bool] | None = None,
    surrogate: Surrogate = Surrogate(),  # noqa: B008  (frozen)
) -> None:
    """Host the spec's twin, or a surrogate for it, in a world (its file) until ``stop`` says so, or, without
    it, until SIGTERM or SIGINT. Raises SandlotError."""
    if stop is None:
        asked: list[int] = []
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda n, _: asked.append(n))
        stop = partial(bool, asked)
    twin_rng, rig_rng = np.random.default_rng(seed).spawn(2)
    twin = make_twin(spec, world, twin_rng, surrogate)
    rig = Rig(surrogate.own(spec), twin, rig_rng, delays=surrogate.delays)
    Bench(rig, twin, directory, MonotonicClock(), twin.place).run(stop)
