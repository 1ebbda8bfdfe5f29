"""Between geodetic coordinates and a flat local frame: x east, y north, z up about an origin on WGS 84.

Exact, through earth-centred coordinates: no flat-earth approximation to go wrong away from the origin.
"""

from __future__ import annotations

import math

SEMI_MAJOR = 6378137.0  # m; WGS 84 (NIMA TR8350.2)
FLATTENING = 1.0 / 298.257223563  # WGS 84 (NIMA TR8350.2)
_E2 = FLATTENING * (2.0 - FLATTENING)

Triple = tuple[float, float, float]


def earth_centred(latitude: float, longitude: float, height: float) -> Triple:
    """Geodetic [deg, deg, m above the ellipsoid] to earth-centred, earth-fixed [m]."""
    phi, lam = math.radians(latitude), math.radians(longitude)
    sin_phi, cos_phi = math.sin(phi), math.cos(phi)
    normal = SEMI_MAJOR / math.sqrt(1.0 - _E2 * sin_phi * sin_phi)
    across = (normal + height) * cos_phi
    return across * math.cos(lam), across * math.sin(lam), (normal * (1.0 - _E2) + height) * sin_phi


def geodetic(x: float, y: float, z: float) -> Triple:
    """Earth-centred [m] to geodetic [deg, deg, m]; exact to rounding for heights within 100 km."""
    across = math.hypot(x, y)
    phi = math.atan2(z, across * (1.0 - _E2))
    height = 0.0
    for _ in range(6):  # converges by a factor of about 300 a turn
        sin_phi = math.sin(phi)
        normal = SEMI_MAJOR / math.sqrt(1.0 - _E2 * sin_phi * sin_phi)
        height = across * math.cos(phi) + z * sin_phi - normal * (1.0 - _E2 * sin_phi * sin_phi)
        phi = math.atan2(z, across * (1.0 - _E2 * normal / (normal + height)))
    return math.degrees(phi), math.degrees(math.atan2(y, x)), height


class LocalFrame:
    """East, north, up [m] about an origin given as latitude, longitude [deg] and ellipsoidal height [m]."""

    def __init__(self, latitude: float, longitude: float, height: float) -> None:
        self._origin = earth_centred(latitude, longitude, height)
        phi, lam = math.radians(latitude), math.radians(longitude)
        self._sin = math.sin(phi), math.sin(lam)
        self._cos = math.cos(phi), math.cos(lam)

    def local(self, latitude: float, longitude: float, height: float) -> Triple:
        """Geodetic [deg, deg, m] to east, north, up [m]."""
        x, y, z = earth_centred(latitude, longitude, height)
        dx, dy, dz = x - self._origin[0], y - self._origin[1], z - self._origin[2]
        (sin_phi, sin_lam), (cos_phi, cos_lam) = self._sin, self._cos
        outward = cos_lam * dx + sin_lam * dy
        return cos_lam * dy - sin_lam * dx, cos_phi * dz - sin_phi * outward, cos_phi * outward + sin_phi * dz

    def geodetic(self, east: float, north: float, up: float) -> Triple:
        """East, north, up [m] to geodetic [deg, deg, m]."""
        (sin_phi, sin_lam), (cos_phi, cos_lam) = self._sin, self._cos
        outward = cos_phi * up - sin_phi * north
        return geodetic(
            self._origin[0] + cos_lam * outward - sin_lam * east,
            self._origin[1] + sin_lam * outward + cos_lam * east,
            self._origin[2] + cos_phi * north + sin_phi * up,
        )
