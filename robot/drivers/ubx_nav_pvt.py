"""UBX-NAV-PVT, a receiver's position, velocity and time, as a pure codec: what the driver uses of it.

Source: u-blox ZED-F9P interface description UBX-22008968, section 3.15.13. pyubx2 reads the whole message and
takes longer for it than all the rest of a control loop's tick; the tests hold this one to it.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

SIZE = 92
"""Bytes of payload; what a later version appends is ignored."""

_FIELDS = struct.Struct("<I16xBB2xiii4xI4xiii8xI6xH")
_DEGREES = 1e-7
_DECIMALS = 12  # a product by 1e-7 is off in the last bits; the number that is meant has seven decimals


class NavPvt(NamedTuple):
    """One fix."""

    itow_ms: int
    """When it was taken: GPS time of week [ms]."""
    kind: int
    """0 none, 1 dead reckoning, 2 without height, 3 three-dimensional, 4 with dead reckoning, 5 time only."""
    ok: bool
    """Whether the receiver stands by it: within its own limits, and latitude, longitude and height valid."""
    carrier: int
    """Carrier phase solution: 0 none, 1 float, 2 fixed."""
    longitude: float
    """[deg]"""
    latitude: float
    """[deg]"""
    height: int
    """Above the ellipsoid [mm]."""
    horizontal_accuracy: int
    """[mm]"""
    north: int
    """Velocity [mm/s]."""
    east: int
    """[mm/s]"""
    down: int
    """[mm/s]"""
    speed_accuracy: int
    """[mm/s]"""


def decode(payload: bytes) -> NavPvt:
    """Read a payload of at least ``SIZE`` bytes."""
    itow, kind, flags, lon, lat, height, accuracy, north, east, down, speed_accuracy, flags3 = (
        _FIELDS.unpack_from(payload)
    )
    return NavPvt(
        itow,
        kind,
        bool(flags & 1) and not flags3 & 1,
        flags >> 6,
        round(lon * _DEGREES, _DECIMALS),
        round(lat * _DEGREES, _DECIMALS),
        height,
        accuracy,
        north,
        east,
        down,
        speed_accuracy,
    )
