"""NAV-PVT against pyubx2's reading of the same bytes, to the last bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyubx2
from hypothesis import given
from hypothesis import strategies as st
from point_plant import PointPlant

from robot.drivers.ubx_frame import UbxParser
from robot.drivers.ubx_nav_pvt import SIZE, NavPvt, decode
from robot.spec import load_spec
from sim.emulators.ublox import UbloxDevice

SPEC = load_spec(Path(__file__).parents[3] / "launch/robots/racer.toml")


def as_pyubx2_reads(payload: bytes) -> NavPvt:
    message = pyubx2.UBXMessage("NAV", "NAV-PVT", pyubx2.GET, payload=payload)
    return NavPvt(
        int.from_bytes(payload[:4], "little"),  # pyubx2 hands the time of week out as a time of day
        message.fixType,
        bool(message.gnssFixOk) and not message.invalidLlh,
        message.carrSoln,
        message.lon,
        message.lat,
        message.height,
        message.hAcc,
        message.velN,
        message.velE,
        message.velD,
        message.sAcc,
    )


@given(st.binary(min_size=SIZE, max_size=SIZE + 8))
def test_every_payload_reads_as_pyubx2_reads_it(payload: bytes) -> None:
    assert decode(payload) == as_pyubx2_reads(payload)


@given(st.integers(0, 8 * SIZE - 1))
def test_no_bit_is_read_from_another_place(bit: int) -> None:
    """A random payload hides two swapped fields no better than a single bit does."""
    payload = (1 << bit).to_bytes(SIZE, "little")
    assert decode(payload) == as_pyubx2_reads(payload)


def test_the_emulated_receivers_stream_reads_as_pyubx2_reads_it() -> None:
    plant, garbled = PointPlant(), []
    plant.speed = 1.0
    device, parser = UbloxDevice(SPEC, plant, np.random.default_rng(4)), UbxParser(garbled.append)
    payloads = []
    for now in range(0, 5_000_000_000, 10_000_000):
        plant.time_ns, plant.position = now, plant.position + 0.01
        device.fix_type, device.carrier_solution = now // 10**9 % 6, now // 10**9 % 3
        device.advance(now)
        payloads += [frame[6:-2] for frame in parser.feed(device.transmit(now))]
    assert len(payloads) > 40 and not garbled
    assert [decode(p) for p in payloads] == [as_pyubx2_reads(p) for p in payloads]
    assert len({decode(p)[1:5] for p in payloads}) > 40
