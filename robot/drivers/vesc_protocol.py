"""What a VESC motor controller says and understands, as a pure codec: no port, no clock.

A payload is a command number and big-endian fields, most of them integers with a fixed scale. Source: the
public interface of the VESC firmware 6 (comm/commands.c, util/buffer.c, datatypes.h).
"""

from __future__ import annotations

import enum
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from robot.drivers.vesc_frame import frame
from robot.errors import WireError


class Command(enum.IntEnum):
    """Command numbers (COMM_PACKET_ID)."""

    FW_VERSION = 0
    GET_VALUES = 4
    SET_CURRENT = 6
    SET_CURRENT_BRAKE = 7
    SET_RPM = 8
    SET_SERVO_POS = 12
    ALIVE = 30
    GET_VALUES_SELECTIVE = 50
    GET_IMU_DATA = 65


FAULTS = (
    "none",
    "over voltage",
    "under voltage",
    "gate driver",
    "absolute over current",
    "controller over temperature",
    "motor over temperature",
    "gate driver over voltage",
    "gate driver under voltage",
    "processor under voltage",
    "watchdog reset",
    "encoder bus",
    "encoder sine amplitude low",
    "encoder sine amplitude high",
    "flash corruption",
    "current sensor 1 offset",
    "current sensor 2 offset",
    "current sensor 3 offset",
    "unbalanced currents",
    "brake",
    "resolver tracking lost",
    "resolver signal degraded",
    "resolver signal lost",
    "application settings corrupt",
    "motor settings corrupt",
    "encoder without magnet",
    "encoder magnet too strong",
    "phase filter",
    "encoder",
    "low voltage output",
)
"""Names of the fault codes (mc_fault_code), by number."""


def fault_name(code: int) -> str:
    """The fault's name; empty for code 0."""
    if code == 0:
        return ""
    return FAULTS[code] if 0 < code < len(FAULTS) else f"fault {code}"


@dataclass(frozen=True)
class WireField:
    """One number on the wire: the mask bit that asks for it, its struct format, and wire = value * scale."""

    name: str
    bit: int
    format: str
    scale: float
    unit: str


VALUES = (
    WireField("fet_temperature", 0, "h", 1e1, "degC"),
    WireField("motor_temperature", 1, "h", 1e1, "degC"),
    WireField("motor_current", 2, "i", 1e2, "A"),  # mean since it was last read; drawing power is positive
    WireField("input_current", 3, "i", 1e2, "A"),
    WireField("d_axis_current", 4, "i", 1e2, "A"),
    WireField("q_axis_current", 5, "i", 1e2, "A"),  # likewise a mean; forward torque is positive, FOC only
    WireField("duty_cycle", 6, "h", 1e3, "1"),
    WireField("erpm", 7, "i", 1.0, "1/min"),
    WireField("input_voltage", 8, "h", 1e1, "V"),
    WireField("charge_drawn", 9, "i", 1e4, "A h"),
    WireField("charge_returned", 10, "i", 1e4, "A h"),
    WireField("energy_drawn", 11, "i", 1e4, "W h"),
    WireField("energy_returned", 12, "i", 1e4, "W h"),
    WireField("tachometer", 13, "i", 1.0, "1/6 electrical turn"),
    WireField("tachometer_absolute", 14, "i", 1.0, "1/6 electrical turn"),
    WireField("fault_code", 15, "B", 1.0, "1"),
    WireField("position", 16, "i", 1e6, "deg"),
    WireField("controller_id", 17, "B", 1.0, "1"),
    WireField("fet_temperature_1", 18, "h", 1e1, "degC"),
    WireField("fet_temperature_2", 18, "h", 1e1, "degC"),
    WireField("fet_temperature_3", 18, "h", 1e1, "degC"),
    WireField("d_axis_voltage", 19, "i", 1e3, "V"),
    WireField("q_axis_voltage", 20, "i", 1e3, "V"),
    WireField("status", 21, "B", 1.0, "1"),  # bit 0: command timeout, bit 1: kill switch
)
"""The fields of COMM_GET_VALUES and its selective form, in wire order."""

IMU = tuple(
    WireField(name, bit, "f", 1.0, unit)
    for bit, (name, unit) in enumerate(
        [(n, "rad") for n in ("roll", "pitch", "yaw")]
        + [(f"acceleration_{axis}", "g") for axis in "xyz"]
        + [(f"rate_{axis}", "deg/s") for axis in "xyz"]
        + [(f"magnetic_{axis}", "uT") for axis in "xyz"]
        + [(f"quaternion_{k}", "1") for k in "wxyz"]
    )
)
"""The fields of COMM_GET_IMU_DATA, in wire order. "float32_auto" is IEEE 754 single precision, big endian."""

IMU_MOTION = tuple(f"{kind}_{axis}" for kind in ("acceleration", "rate") for axis in "xyz")
"""What the state estimate needs of the IMU."""


def mask_of(names: Mapping[str, object] | tuple[str, ...], fields: tuple[WireField, ...] = VALUES) -> int:
    """The request mask for these field names."""
    bits = {field.name: field.bit for field in fields}
    return sum({1 << bits[name] for name in names})


def set_current(amperes: float) -> bytes:
    """Motor current [A], 1 mA steps."""
    return frame(struct.pack(">Bi", Command.SET_CURRENT, round(amperes * 1e3)))


def set_current_brake(amperes: float) -> bytes:
    """Braking current [A], 1 mA steps."""
    return frame(struct.pack(">Bi", Command.SET_CURRENT_BRAKE, round(amperes * 1e3)))


def set_rpm(erpm: int) -> bytes:
    """Electrical speed [1/min]: mechanical speed times pole pairs."""
    return frame(struct.pack(">Bi", Command.SET_RPM, erpm))


def set_servo_position(thousandths: int) -> bytes:
    """Servo pulse in thousandths of its range, 0 to 1000."""
    return frame(struct.pack(">Bh", Command.SET_SERVO_POS, thousandths))


def get_values_selective(mask: int) -> bytes:
    """Ask for the fields of VALUES whose bits are set."""
    return frame(struct.pack(">BI", Command.GET_VALUES_SELECTIVE, mask))


def get_imu_data(mask: int) -> bytes:
    """Ask for the fields of IMU whose bits are set."""
    return frame(struct.pack(">BH", Command.GET_IMU_DATA, mask))


GET_VALUES = frame(bytes((Command.GET_VALUES,)))
GET_FW_VERSION = frame(bytes((Command.FW_VERSION,)))
ALIVE = frame(bytes((Command.ALIVE,)))


@dataclass(frozen=True)
class Firmware:
    """What a controller says of itself."""

    major: int
    minor: int
    hardware: str
    uuid: bytes = b""

    def __str__(self) -> str:
        return f"VESC {self.major}.{self.minor:02d} on {self.hardware}"


def decode_firmware(payload: bytes) -> Firmware:
    """The reply to FW_VERSION; fields that later firmware appends are ignored. Raises WireError if short."""
    if len(payload) < 3 or payload[0] != Command.FW_VERSION:
        raise WireError(f"a firmware version has at least 3 bytes and command 0; got {payload[:8].hex()!r}")
    name, _, rest = payload[3:].partition(b"\0")
    return Firmware(payload[1], payload[2], name.decode("ascii", "replace"), rest[:12])


def encode_firmware(firmware: Firmware) -> bytes:
    """A controller's reply payload, in the layout of firmware 6."""
    name = firmware.hardware.encode("ascii") + b"\0"
    tail = bytes(
        8
    )  # pairing, test version, hardware type, custom settings, phase filter, two UIs, radio flags
    return bytes((Command.FW_VERSION, firmware.major, firmware.minor)) + name + firmware.uuid + tail + b"\0"


@dataclass(frozen=True)
class MaskedLayout:
    """The fields one mask selects, as a struct, with their names and scales in wire order."""

    head: bytes
    names: tuple[str, ...]
    scales: tuple[float, ...]
    fields: struct.Struct

    @property
    def size(self) -> int:
        return len(self.head) + self.fields.size

    def decode(self, payload: bytes) -> tuple[float, ...]:
        """Values in wire order and physical units. Bytes past the known fields are ignored. Raises WireError
        if the payload answers another request or is short."""
        head = self.head
        if not payload.startswith(head):
            raise WireError(
                f"expected a reply that begins with {head.hex()}; got {payload[: len(head)].hex()}"
            )
        if len(payload) < len(head) + self.fields.size:
            raise WireError(f"expected {self.size} bytes in reply to {head.hex()}; got {len(payload)}")
        raw = self.fields.unpack_from(payload, len(head))
        return tuple([value / scale for value, scale in zip(raw, self.scales, strict=True)])

    def encode(self, values: Mapping[str, float]) -> bytes:
        """A controller's reply payload; integers truncate towards zero and saturate, as the firmware's do."""
        wire: list[float] = []
        for name, scale, code in zip(self.names, self.scales, self.fields.format[1:], strict=True):
            value = values.get(name, 0.0) * scale
            wire.append(value if code == "f" else _integer(value, code))
        return self.head + self.fields.pack(*wire)


_RANGES = {"h": (-(1 << 15), (1 << 15) - 1), "i": (-(1 << 31), (1 << 31) - 1), "B": (0, 255)}


def _integer(value: float, code: str) -> int:
    lower, upper = _RANGES[code]
    return min(max(int(value), lower), upper) if math.isfinite(value) else 0


@lru_cache(maxsize=64)
def masked_layout(command: Command, mask: int) -> MaskedLayout:
    """The reply to GET_VALUES (mask ignored), GET_VALUES_SELECTIVE or GET_IMU_DATA with this mask."""
    if command == Command.GET_IMU_DATA:
        head, fields = struct.pack(">BH", command, mask), IMU
    elif command == Command.GET_VALUES_SELECTIVE:
        head, fields = struct.pack(">BI", command, mask), VALUES
    else:
        head, fields, mask = bytes((command,)), VALUES, (1 << 22) - 1
    chosen = [field for field in fields if mask >> field.bit & 1]
    return MaskedLayout(
        head,
        tuple(field.name for field in chosen),
        tuple(field.scale for field in chosen),
        struct.Struct(">" + "".join(field.format for field in chosen)),
    )


def decode_masked(payload: bytes) -> dict[str, float]:
    """Any reply with values, by field name. Raises WireError if it is none, or short."""
    command = payload[0] if payload else -1
    if command == Command.GET_VALUES:
        # Older firmware sends fewer fields: take what is there.
        layout = masked_layout(Command.GET_VALUES, 0)
        return _prefix(layout, payload)
    if command == Command.GET_VALUES_SELECTIVE and len(payload) >= 5:
        layout = masked_layout(Command.GET_VALUES_SELECTIVE, int.from_bytes(payload[1:5], "big"))
    elif command == Command.GET_IMU_DATA and len(payload) >= 3:
        layout = masked_layout(Command.GET_IMU_DATA, int.from_bytes(payload[1:3], "big"))
    else:
        raise WireError(f"expected a reply with values; got {payload[:8].hex()!r}")
    return dict(zip(layout.names, layout.decode(payload), strict=True))


def _prefix(layout: MaskedLayout, payload: bytes) -> dict[str, float]:
    values: dict[str, float] = {}
    at = len(layout.head)
    for name, scale, code in zip(layout.names, layout.scales, layout.fields.format[1:], strict=True):
        size = struct.calcsize(f">{code}")
        if at + size > len(payload):
            break
        values[name] = struct.unpack_from(f">{code}", payload, at)[0] / scale
        at += size
    return values
