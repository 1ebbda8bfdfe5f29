"""Geodetic coordinates against an independent implementation, a series expansion, and themselves."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pynmeagps.nmeahelpers import llh2ecef

from robot.geodesy import FLATTENING, SEMI_MAJOR, LocalFrame, earth_centred, geodetic

latitudes = st.floats(-89.9, 89.9)
longitudes = st.floats(-180, 180)
heights = st.floats(-500, 10_000)
metres = st.floats(-2_000, 2_000)


@given(latitudes, longitudes, heights)
def test_earth_centred_coordinates_equal_an_independent_implementation(
    lat: float, lon: float, h: float
) -> None:
    assert earth_centred(lat, lon, h) == pytest.approx(llh2ecef(lat, lon, h), abs=1e-6)


@given(latitudes, longitudes, heights)
def test_back_and_forth_is_exact_to_a_micrometre(lat: float, lon: float, h: float) -> None:
    there = earth_centred(lat, lon, h)
    assert earth_centred(*geodetic(*there)) == pytest.approx(there, abs=1e-6)


@given(latitudes, longitudes, heights, metres, metres, metres)
def test_local_coordinates_round_trip(lat: float, lon: float, h: float, e: float, n: float, u: float) -> None:
    frame = LocalFrame(lat, lon, h)
    assert frame.local(*frame.geodetic(e, n, u)) == pytest.approx((e, n, u), abs=1e-6)


@given(latitudes, longitudes, heights, metres, metres, metres)
def test_the_local_frame_keeps_distances(
    lat: float, lon: float, h: float, e: float, n: float, u: float
) -> None:
    frame = LocalFrame(lat, lon, h)
    a, b = earth_centred(lat, lon, h), earth_centred(*frame.geodetic(e, n, u))
    assert math.dist(a, b) == pytest.approx(math.hypot(e, n, u), abs=1e-6)


@given(st.floats(-80, 80), longitudes, st.floats(-1e-4, 1e-4), st.floats(-1e-4, 1e-4))
def test_near_the_origin_it_follows_the_radii_of_curvature(
    lat: float, lon: float, dlat: float, dlon: float
) -> None:
    # The first-order series (north = M dphi, east = N cos phi dlambda); its error at 11 m is below 0.2 mm.
    e2 = FLATTENING * (2 - FLATTENING)
    w = math.sqrt(1 - e2 * math.sin(math.radians(lat)) ** 2)
    north = SEMI_MAJOR * (1 - e2) / w**3 * math.radians(dlat)
    east = SEMI_MAJOR / w * math.cos(math.radians(lat)) * math.radians(dlon)
    assert LocalFrame(lat, lon, 0).local(lat + dlat, lon + dlon, 0) == pytest.approx(
        (east, north, 0), abs=2e-4
    )


def test_axes_point_east_north_and_up() -> None:
    frame = LocalFrame(37.8715, -122.2730, 60.0)
    assert frame.local(37.8715, -122.2730, 61.0) == pytest.approx((0, 0, 1), abs=1e-8)
    assert frame.local(37.8715, -122.2729, 60.0)[0] > 8
    assert frame.local(37.8716, -122.2730, 60.0)[1] > 11
