"""How fixed-size records become ROS 2 messages in the log: the schema's text, and the bytes.

CDR (OMG DDS-XTypes, XCDR version 1) aligns each primitive to its own size, as C does; only where C pads a
nested struct beyond that does the schema need explicit padding. With it, a record's bytes *are* its encoding.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from robot.contract import TaskContract
from robot.errors import SpecError
from robot.spec import RobotSpec

CDR_HEADER: Final = b"\x00\x01\x00\x00"
"""Plain CDR, little-endian."""

_TYPES: Final = {
    "|b1": "bool",
    "|u1": "uint8",
    "|i1": "int8",
    "<u2": "uint16",
    "<i2": "int16",
    "<u4": "uint32",
    "<i4": "int32",
    "<f4": "float32",
    "<u8": "uint64",
    "<i8": "int64",
    "<f8": "float64",
}

Names = Mapping[str, Sequence[str]]


def tick_names(spec: RobotSpec) -> Names:
    """Names of the elements of ``tick_dtype``'s arrays, by the field's dotted path."""
    actuators, state = spec.actuator_layout.names, spec.state_layout.names
    names = {field: [f"{field}_{a}" for a in actuators] for field in ("requested", "allowed", "sent")}
    names |= {field: [f"{field}_{s}" for s in state] for field in ("state", "deviation")}
    names["silence"] = [f"silence_{process}" for process in ("pilot", "courier")]
    names["margin"] = [f"margin_{limit.name}" for limit in spec.safety.limits]
    names["devices"] = [f"device_{device.name}" for device in spec.devices]
    names["command.setpoint"] = [f"command_{a}" for a in actuators]
    for sensor in spec.sensors:
        names[f"measured.{sensor.name}.values"] = [f"measured_{sensor.name}_{n}" for n in sensor.layout.names]
    return names


def step_names(contract: TaskContract) -> Names:
    """Names of the elements of ``step_dtype``'s arrays, by field."""
    return {
        "observation": [f"observation_{n}" for n in contract.observation_layout.names],
        "action": [f"action_{t.name}" for t in contract.actions],
        "reward_terms": [f"reward_{n}" for n in contract.reward_terms],
        "cost_terms": [f"cost_{n}" for n in contract.cost_terms],
    }


class RecordSchema:
    """The ROS 2 message definition of a structured dtype, and how to encode rows of it.

    Every element named in ``names`` is a field of its own; other arrays stay arrays. Raises SpecError for
    kinds that ROS 2 has not, and for misaligned fields.
    """

    def __init__(self, dtype: np.dtype[np.void], names: Names | None = None) -> None:
        self.dtype = dtype
        lines: list[str] = []
        used: set[str] = set()
        covered = np.zeros(dtype.itemsize, bool)
        position = 0
        for name, kind, count, offset, size in _leaves(dtype, "", 0, names or {}):
            if offset % size:
                raise SpecError(f"{name} lies at byte {offset}, not a multiple of {size}; make it align=True")
            if -position % size != offset - position:
                lines.append(f"uint8[{offset - position}] {_unique('padding', used)}")
            array = "" if count is None else f"[{count}]"
            lines.append(f"{kind}{array} {_unique(name, used)}")
            position = offset + size * (1 if count is None else count)
            covered[offset:position] = True
        if position < dtype.itemsize:
            lines.append(f"uint8[{dtype.itemsize - position}] {_unique('padding', used)}")
        self.text = "\n".join(lines) + "\n"
        self._padding = np.flatnonzero(~covered)

    def encode(self, rows: NDArray[np.void]) -> list[bytes]:
        """One CDR message per row. Padding is zeroed: what lay in memory there must not make logs differ."""
        size = self.dtype.itemsize
        plain = np.frombuffer(rows.tobytes(), np.uint8).reshape(len(rows), size)
        framed = np.empty((len(rows), 4 + size), np.uint8)
        framed[:, :4] = np.frombuffer(CDR_HEADER, np.uint8)
        framed[:, 4:] = plain
        framed[:, 4 + self._padding] = 0
        data = framed.tobytes()
        return [data[start : start + 4 + size] for start in range(0, len(data), 4 + size)]


def _leaves(
    dtype: np.dtype[Any], path: str, offset: int, names: Names
) -> Iterator[tuple[str, str, int | None, int, int]]:
    """Name, ROS type, array length (None: scalar), offset and element size of every primitive, by offset."""
    if dtype.names is not None:
        fields = [(name, *_field(dtype, name)) for name in dtype.names]
        for name, inner, start in sorted(fields, key=lambda f: f[2]):
            yield from _leaves(inner, f"{path}.{name}" if path else name, offset + start, names)
        return
    base, shape = dtype.subdtype or (dtype, None)
    count = None if shape is None else int(np.prod(shape))
    if base.names is not None:
        for k in range(count or 0):
            yield from _leaves(base, f"{path}.{k}", offset + k * base.itemsize, names)
        return
    if base.kind == "S":
        kind, count, size = "uint8", base.itemsize * (1 if count is None else count), 1
    elif base.str in _TYPES:
        kind, size = _TYPES[base.str], base.itemsize
    else:
        raise SpecError(f"{path}: {base.str!r} has no ROS 2 type; use one of {', '.join(_TYPES)}")
    given = names.get(path)
    if count == 0:
        return
    if given is None or count is None:
        yield path, kind, count, offset, size
        return
    if len(given) != count:
        raise SpecError(f"{path} has {count} elements; {len(given)} names were given")
    for k, name in enumerate(given):
        yield name, kind, None, offset + k * size, size


def _field(dtype: np.dtype[Any], name: str) -> tuple[np.dtype[Any], int]:
    field = dict(dtype.fields or {})[name]
    return field[0], int(field[1])


def _unique(name: str, used: set[str]) -> str:
    """A valid ROS 2 field name (lower case, single underscores) that is not taken yet."""
    plain = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    plain = plain if plain[:1].isalpha() else f"field_{plain}".rstrip("_")
    candidate, number = plain, 2
    while candidate in used:
        candidate, number = f"{plain}_{number}", number + 1
    used.add(candidate)
    return candidate
