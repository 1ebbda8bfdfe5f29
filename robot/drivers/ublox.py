"""A u-blox GNSS receiver (ZED-F9P class) that sends UBX-NAV-PVT over a serial port.

A fix says by its own clock (``iTOW``) when it was taken, but not by ours. The receiver's solution takes about
``latency_s``; the bytes, the adapter and our tick add a varying rest. So the sample's time is the fix's own
time shifted by the smallest (arrival - iTOW) seen lately, minus ``latency_s``: arrival minus latency for the
promptest fixes, and free of the tick's jitter for the others.
"""

from __future__ import annotations

import pyubx2

from robot.drivers import ubx_nav_pvt
from robot.drivers.link import Link
from robot.drivers.options import known_options
from robot.drivers.port import SerialPort
from robot.drivers.sensing import SensingDriver
from robot.drivers.ubx_frame import OVERHEAD, UbxParser
from robot.errors import PortError, SpecError
from robot.geodesy import LocalFrame
from robot.interface import LinkHealth, Measurements, Port
from robot.spec import Device, RobotSpec

ASK_NS = 2_000_000_000  # without a fix until the receiver is configured again
CREEP = 50e-6  # how fast the clock offset may grow: two crystals of 25 ppm
STEP_NS = 300_000_000  # a larger change of the clock offset is a restart or a new week, not jitter
PVT_SIZE = ubx_nav_pvt.SIZE + OVERHEAD  # bytes of a NAV-PVT frame

OPTIONS = {"baud": 115200}

_NAV_PVT = b"\x01\x07"
_MON_VER = b"\x0a\x04"
_ACK_NAK = b"\x05\x00"


class UbloxDriver(SensingDriver):
    """Implements ``robot.interface.Driver`` for the sensor ``gnss``; it has no actuators."""

    def __init__(self, spec: RobotSpec, device: Device, port: Port | None = None) -> None:
        super().__init__()
        options = known_options(device, OPTIONS)
        self.sensors = tuple(s.name for s in spec.sensors if s.device == device.name)
        if self.sensors != ("gnss",):
            raise SpecError(
                f"{spec.name}: device {device.name} must serve the sensor gnss and nothing else; the file "
                f"gives it {', '.join(self.sensors) or 'none'}"
            )
        self.health = LinkHealth()
        baud = int(options["baud"])
        sensor = next(s for s in spec.sensors if s.name == "gnss")
        self._where = f"{device.port or 'its port'} at {baud} baud"
        self._link = Link(SerialPort(device.port, baud) if port is None else port, self.health)
        self._port = self._link.port
        self._parser = UbxParser(self.health.count)
        latitude, longitude, height = spec.vector("gnss_origin")
        self._frame = LocalFrame(latitude, longitude, height)
        self._latency_ns = round(sensor.latency_s * 1e9)
        self._names = sensor.layout.names
        self._setup = configuration(sensor.rate_hz)
        self._offset_ns: float | None = None
        self._fix_ms = -1
        self._arrived_ns = self._asked_ns = 0

    def open(self, now_ns: int) -> None:
        """Open the port and configure the receiver; ``poll`` takes its answers. Raises PortError."""
        self._link.open()
        self._begin(now_ns)
        self._ask(now_ns)

    def poll(self, now_ns: int, measurements: Measurements) -> None:
        """Take what has arrived and store the newest fix; reopen a lost port."""
        if not self._link.is_open:
            if self._link.reopen(now_ns):
                self._begin(now_ns)
                self._ask(now_ns)
            return
        try:
            data = self._port.read()
        except PortError as error:
            self._link.lose(now_ns, error)
            return
        if data:
            for frame in self._parser.feed(data):
                self._take(frame, now_ns, measurements)
        if now_ns - max(self._asked_ns, self._arrived_ns) > ASK_NS:
            self.health.count(
                "no_answer", f"no fix from {self._where}; check wiring, baud and that UBX output is on"
            )
            self._ask(now_ns)

    def close(self) -> None:
        self._link.close()

    def _begin(self, now_ns: int) -> None:
        self._parser.reset()
        self._offset_ns = None
        self._fix_ms = -1
        self._arrived_ns = now_ns

    def _ask(self, now_ns: int) -> None:
        self._asked_ns = now_ns
        try:
            if self._port.write(self._setup) < len(self._setup):
                self.health.count("write_overflow", f"{self._where} takes no more bytes")
        except PortError as error:
            self._link.lose(now_ns, error)

    def _take(self, frame: bytes, now_ns: int, measurements: Measurements) -> None:
        self.health.frames += 1
        kind = frame[2:4]
        if kind == _ACK_NAK:
            self.health.count("refused", f"{self._where}: the receiver refuses its configuration")
            return
        if kind == _NAV_PVT:
            if len(frame) < PVT_SIZE:
                self.health.count("short_frame", f"NAV-PVT of {len(frame)} bytes, {PVT_SIZE} expected")
            else:
                self._fix(ubx_nav_pvt.decode(frame[6:]), now_ns, measurements)
        elif kind == _MON_VER:
            self._name(frame)
        # The rest: acknowledgements, and messages somebody else switched on.

    def _name(self, frame: bytes) -> None:
        """Note the receiver's firmware."""
        try:
            self.health.firmware = _firmware(pyubx2.UBXReader.parse(frame))
        except (
            pyubx2.UBXParseError,
            pyubx2.UBXMessageError,
            pyubx2.UBXTypeError,
            pyubx2.UBXStreamError,
            AttributeError,
            ValueError,
        ) as error:
            self.health.count("unreadable", str(error))

    def _fix(self, fix: ubx_nav_pvt.NavPvt, now_ns: int, measurements: Measurements) -> None:
        itow = fix.itow_ms
        if itow == self._fix_ms:
            self.health.count("duplicate", f"iTOW {itow} ms came twice")
            return
        self._fix_ms = itow
        east, north, up = self._frame.local(fix.latitude, fix.longitude, fix.height * 1e-3)
        values = {
            "position_world_x": east,
            "position_world_y": north,
            "position_world_z": up,
            "velocity_world_x": fix.east * 1e-3,
            "velocity_world_y": fix.north * 1e-3,
            "velocity_world_z": -fix.down * 1e-3,
            "horizontal_accuracy": fix.horizontal_accuracy * 1e-3,
            "speed_accuracy": fix.speed_accuracy * 1e-3,
            "fix_type": float(fix.kind) if fix.ok else 0.0,
            "carrier_solution": float(fix.carrier),
        }
        measurements.put("gnss", self._sample_time(itow, now_ns), [values[name] for name in self._names])
        self._arrived_ns = now_ns

    def _sample_time(self, itow: int, now_ns: int) -> int:
        offset = float(now_ns - itow * 1_000_000)
        known = self._offset_ns
        if known is not None and abs(offset - known) < STEP_NS:
            offset = min(offset, known + CREEP * (now_ns - self._arrived_ns))
        self._offset_ns = offset
        return round(itow * 1e6 + offset) - self._latency_ns


def configuration(rate_hz: float) -> bytes:
    """What the receiver is told at opening: UBX-NAV-PVT at this rate on every port, and to name its firmware.

    Only RAM is written: a power cycle brings the receiver's own settings back.
    """
    settings = [("CFG_RATE_MEAS", round(1e3 / rate_hz)), ("CFG_RATE_NAV", 1)]
    settings += [(f"CFG_MSGOUT_UBX_NAV_PVT_{port}", 1) for port in ("UART1", "UART2", "USB")]
    setup: bytes = pyubx2.UBXMessage.config_set(1, 0, settings).serialize()
    version: bytes = pyubx2.UBXMessage("MON", "MON-VER", pyubx2.POLL).serialize()
    return setup + version


def _firmware(message: pyubx2.UBXMessage) -> str:
    text = message.payload.decode("ascii", "replace")
    words = [word for word in text.split("\0") if word]
    versions = [word.removeprefix("FWVER=") for word in words if word.startswith("FWVER=")]
    return f"u-blox {versions[0] if versions else words[0] if words else 'unnamed'}"
