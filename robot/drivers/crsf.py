"""A radio receiver on a serial port of its own (CRSF: ExpressLRS, Crossfire): the transmitter's channels.

On its own port rather than on the motor controller's servo input: there a receiver takes the place of the
steering servo, its value freezes when its pulses end, and each pulse keeps the drive's own timeout from
expiring (VESC firmware, app.c, servo_dec.c, app_ppm.c), so that nothing would stop a robot whose guardian
has died. A receiver that loses its transmitter must fall silent: ExpressLRS does; set others to "no pulses",
and try it by switching the transmitter off.
"""

from __future__ import annotations

from robot.drivers.crsf_frame import (
    CHANNELS,
    CHANNELS_SIZE,
    LINK_QUALITY,
    LINK_SIZE,
    LINK_STATISTICS,
    RC_CHANNELS,
    CrsfParser,
    level,
    unpack_channels,
)
from robot.drivers.link import Link
from robot.drivers.options import known_options
from robot.drivers.port import SerialPort
from robot.drivers.sensing import SensingDriver
from robot.errors import PortError, SpecError
from robot.interface import LinkHealth, Measurements, Port
from robot.spec import Device, RobotSpec

OPTIONS = {"baud": 420000}
NAMES = tuple(f"channel_{k + 1}" for k in range(CHANNELS))


class CrsfDriver(SensingDriver):
    """Implements ``robot.interface.Driver`` for one sensor whose fields are among ``channel_1`` to
    ``channel_16``, each -1 to 1; it has no actuators. A frame with a link quality of 0 is not believed."""

    def __init__(self, spec: RobotSpec, device: Device, port: Port | None = None) -> None:
        super().__init__()
        options = known_options(device, OPTIONS)
        served = [s for s in spec.sensors if s.device == device.name]
        self.sensors = tuple(s.name for s in served)
        names = served[0].layout.names if served else ()
        if len(served) != 1 or not set(names) <= set(NAMES):
            raise SpecError(
                f"{spec.name}: device {device.name} must serve one sensor with fields channel_1 to "
                f"channel_{CHANNELS}; the file gives it {', '.join(self.sensors) or 'none'} with "
                f"{', '.join(names) or 'none'}"
            )
        self.health = LinkHealth()
        baud = int(options["baud"])
        self._link = Link(SerialPort(device.port, baud) if port is None else port, self.health)
        self._port = self._link.port
        self._parser = CrsfParser(self.health.count)
        self._order = [NAMES.index(name) for name in names]
        self._latency_ns = round(served[0].latency_s * 1e9)
        self._linked = True

    def open(self, now_ns: int) -> None:
        """Open the port; the receiver speaks by itself. Raises PortError."""
        self._link.open()
        self._begin()

    def poll(self, now_ns: int, measurements: Measurements) -> None:
        """Take what has arrived and store the newest channels; reopen a lost port."""
        if not self._link.is_open:
            if self._link.reopen(now_ns):
                self._begin()
            return
        try:
            data = self._port.read()
        except PortError as error:
            self._link.lose(now_ns, error)
            return
        newest: bytes | None = None
        for kind, payload in self._parser.feed(data) if data else ():
            self.health.frames += 1
            self.health.firmware = "CRSF receiver"
            if kind == LINK_STATISTICS and len(payload) == LINK_SIZE:
                if self._linked and not payload[LINK_QUALITY]:
                    self.health.count("no_transmitter", "link quality 0")
                self._linked = payload[LINK_QUALITY] > 0
            elif kind == RC_CHANNELS and len(payload) == CHANNELS_SIZE:
                newest = payload
        if newest is not None and self._linked:
            counts = unpack_channels(newest)
            values = [level(counts[k]) for k in self._order]
            measurements.put(self.sensors[0], now_ns - self._latency_ns, values)

    def close(self) -> None:
        self._link.close()

    def _begin(self) -> None:
        self._parser.reset()
        self._linked = True
        self.health.firmware = ""
