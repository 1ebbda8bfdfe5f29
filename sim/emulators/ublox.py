"""A u-blox ZED-F9P in RTK mode that sends UBX-NAV-PVT, as its serial port shows it.

Position errors are a first-order Gauss-Markov process (multipath, slow) plus white noise; the wire's own
resolution (1e-7 deg, about 1 cm) quantises the rest. The frame is laid out here from the interface
description UBX-22008968, independently of the library the driver decodes it with.
"""

from __future__ import annotations

import math
import struct

import numpy as np

from robot.drivers.ubx_frame import OVERHEAD, SYNC, UbxParser, checksum
from robot.geodesy import LocalFrame
from robot.spec import RobotSpec
from sim.emulators.faults import FaultPlan
from sim.emulators.line import SerialLine
from sim.plant import Array, CarPlant

VERTICAL = (
    1.5  # height is this much worse than the horizontal (ZED-F9P data sheet: 0.01 m against 0.014 m CEP)
)
JITTER_S = 0.004  # spread of the solution's computing time, uniform
NOISE_BLOCK = 256
START_MS = 345_600_000  # time of week at power-on: Thursday 0:00
WEEK_MS = 604_800_000
REPLY_NS = 5_000_000  # to acknowledge a setting

_PVT = struct.Struct("<IH6BIi4B4i2I5i2IHH4xihH")


class UbloxDevice:
    """Implements ``EmulatedDevice``. It samples the plant and never moves it.

    ``fix_type`` and ``carrier_solution`` (as in NAV-PVT) may be set while it runs; ``extra_noise`` [m] adds
    to the white position noise, as where RTK corrections are lost.
    """

    def __init__(
        self, spec: RobotSpec, plant: CarPlant, rng: np.random.Generator, faults: FaultPlan | None = None
    ) -> None:
        sensor = next(s for s in spec.sensors if s.name == "gnss")
        options = next(d.options for d in spec.devices if d.name == sensor.device)
        baud = int(options.get("baud", 115200))
        self.faults = FaultPlan(rng) if faults is None else faults
        self.fix_type = 3
        self.carrier_solution = 2
        self.extra_noise = 0.0
        self._plant = plant
        self._rng = rng
        self._inward, self._outward = SerialLine(baud), SerialLine(baud)
        self._parser = UbxParser(self._ignore)
        latitude, longitude, height = spec.vector("gnss_origin")
        self._frame = LocalFrame(latitude, longitude, height)
        self._period_ns = round(1e9 / sensor.rate_hz)
        line = (_PVT.size + OVERHEAD) * self._outward.byte_ns
        self._compute_ns = max(0, round(sensor.latency_s * 1e9 - line))
        self._next_ns = self._period_ns
        self._epoch = 0
        self._ready: list[tuple[int, bytes]] = []

        self._slow_sigma = spec.scalar("gnss_noise")
        self._decay = math.exp(-self._period_ns * 1e-9 / spec.scalar("gnss_noise_time"))
        self._white_sigma = spec.scalar("gnss_white_noise")
        self._speed_sigma = spec.scalar("gnss_velocity_noise")
        self._shape = np.array([1.0, 1.0, VERTICAL])
        self._slow: Array = self._slow_sigma * self._shape * rng.standard_normal(3)
        self._draws = rng.standard_normal((NOISE_BLOCK, 9))
        self._jitter = rng.random(NOISE_BLOCK)
        self._draw = 0

    def receive(self, data: bytes, now_ns: int) -> None:
        for bytes_, delay in self.faults.apply(data, now_ns, "device"):
            self._inward.send(bytes_, now_ns + delay)

    def advance(self, now_ns: int) -> None:
        """Take the fixes that are due; call when the plant stands at ``now_ns``."""
        if self._inward.pending:
            for frame in self._parser.feed(self._inward.take(now_ns)):
                self._obey(frame, now_ns)
        while self._next_ns <= now_ns:
            epoch, self._next_ns = self._next_ns, self._next_ns + self._period_ns
            self._epoch += 1
            # Where the plant has moved on since the fix was due, go back along the velocity.
            self._ready.append(self._solve(epoch, (now_ns - epoch) * 1e-9))
        while self._ready and self._ready[0][0] <= now_ns:
            due, frame = self._ready.pop(0)
            for data, delay in self.faults.apply(frame, now_ns, "host", "pvt"):
                self._outward.send(data, due + delay)

    def transmit(self, now_ns: int) -> bytes:
        return self._outward.take(now_ns)

    def _ignore(self, name: str) -> None:
        """The receiver says nothing of a bad frame."""

    def _solve(self, epoch_ns: int, since_s: float) -> tuple[int, bytes]:
        if self._draw == NOISE_BLOCK:
            self._draws = self._rng.standard_normal((NOISE_BLOCK, 9))
            self._jitter = self._rng.random(NOISE_BLOCK)
            self._draw = 0
        draw, jitter = self._draws[self._draw], self._jitter[self._draw]
        self._draw += 1
        slow_step = self._slow_sigma * math.sqrt(1.0 - self._decay**2)
        self._slow = self._decay * self._slow + slow_step * self._shape * draw[:3]
        white = self._white_sigma + self.extra_noise
        velocity = self._plant.antenna_velocity
        position = self._plant.antenna_position - velocity * since_s
        position = position + self._slow + white * self._shape * draw[3:6]
        velocity = velocity + self._speed_sigma * draw[6:]
        accuracy = math.hypot(self._slow_sigma, white)
        frame = nav_pvt(
            (START_MS + epoch_ns // 1_000_000) % WEEK_MS,
            self._frame.geodetic(*position.tolist()),
            velocity.tolist(),
            (accuracy, accuracy * VERTICAL, self._speed_sigma),
            self.fix_type,
            self.carrier_solution,
        )
        return epoch_ns + self._compute_ns - round(JITTER_S * 1e9 * jitter), frame

    def _obey(self, frame: bytes, now_ns: int) -> None:
        kind = frame[2:4]
        if kind == b"\x06\x8a":  # CFG-VALSET
            self._answer(ubx(0x05, 0x01, kind), now_ns)
        elif kind == b"\x0a\x04":  # MON-VER
            text = b"EXT CORE 1.00 (f10c36)".ljust(30, b"\0") + b"00190000".ljust(10, b"\0")
            self._answer(ubx(0x0A, 0x04, text + b"FWVER=HPG 1.32".ljust(30, b"\0")), now_ns)

    def _answer(self, frame: bytes, now_ns: int) -> None:
        for data, delay in self.faults.apply(frame, now_ns, "host", frame[2:4]):
            self._outward.send(data, now_ns + REPLY_NS + delay)


def ubx(group: int, number: int, payload: bytes) -> bytes:
    """A UBX frame around a payload."""
    body = struct.pack("<BBH", group, number, len(payload)) + payload
    return SYNC + body + bytes(checksum(body))


def nav_pvt(
    itow_ms: int,
    position: tuple[float, float, float],
    velocity: list[float],
    accuracy: tuple[float, float, float],
    fix_type: int,
    carrier_solution: int,
) -> bytes:
    """UBX-NAV-PVT: ``position`` as latitude, longitude [deg], height [m]; ``velocity`` east, north, up [m/s];
    ``accuracy`` horizontal, vertical [m], speed [m/s]."""
    latitude, longitude, height = position
    east, north, up = velocity
    second = itow_ms // 1000 % 60
    minute, hour = itow_ms // 60_000 % 60, itow_ms // 3_600_000 % 24
    ground = math.hypot(east, north)
    course = math.degrees(math.atan2(east, north)) % 360.0
    locked = fix_type >= 2
    flags = int(locked) | 2 * int(carrier_solution > 0) | carrier_solution << 6
    millimetres = round(height * 1e3)
    payload = _PVT.pack(
        itow_ms,
        *(2026, 1, 1, hour, minute, second),
        0x07,  # date and time valid and fully resolved
        20,  # tAcc [ns]
        itow_ms % 1000 * 1_000_000,
        fix_type,
        flags,
        0xE0,  # date and time confirmed
        24 if locked else 0,
        round(longitude * 1e7),
        round(latitude * 1e7),
        millimetres,
        millimetres,
        round(accuracy[0] * 1e3),
        round(accuracy[1] * 1e3),
        round(north * 1e3),
        round(east * 1e3),
        round(-up * 1e3),
        round(ground * 1e3),
        round(course * 1e5),
        round(accuracy[2] * 1e3),
        round(180e5 if ground < 0.1 else 1e5 * math.degrees(accuracy[2] / ground)),
        120,  # pDOP 1.2
        0 if locked else 1,  # flags3: invalidLlh
        *(0, 0, 0),  # vehicle heading and declination: not measured
    )
    return ubx(0x01, 0x07, payload)
