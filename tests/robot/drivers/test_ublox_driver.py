"""The u-blox driver against frames that pyubx2 encodes."""

from __future__ import annotations

import io
from pathlib import Path

import msgspec
import numpy as np
import pytest
import pyubx2
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted_port import ScriptedPort

from robot.drivers.ublox import UbloxDriver
from robot.errors import SpecError
from robot.geodesy import LocalFrame
from robot.interface import Measurements
from robot.spec import load_spec

SPEC = load_spec(Path(__file__).parents[3] / "launch/robots/racer.toml")
FRAME = LocalFrame(*SPEC.vector("gnss_origin"))
TICK = 10_000_000
LATENCY = 60_000_000


def fix(itow: int, east: float = 0.0, north: float = 0.0, up: float = 0.0, **fields: float) -> bytes:
    lat, lon, height = FRAME.geodetic(east, north, up)
    known = {"fixType": 3, "gnssFixOk": 1, "diffSoln": 1, "carrSoln": 2, "hAcc": 14, "sAcc": 50} | fields
    message = pyubx2.UBXMessage(
        "NAV", "NAV-PVT", pyubx2.GET, lat=lat, lon=lon, height=round(height * 1e3), **known
    )
    raw = bytearray(message.serialize())
    raw[6:10] = itow.to_bytes(4, "little")  # pyubx2 sets a time of day from it; the driver wants the number
    raw[-2:] = pyubx2.calc_checksum(bytes(raw[2:-2]))
    return bytes(raw)


def ready() -> tuple[UbloxDriver, ScriptedPort, Measurements]:
    port = ScriptedPort()
    driver = UbloxDriver(SPEC, SPEC.devices[1], port)
    driver.open(0)
    return driver, port, Measurements(SPEC)


def test_opening_configures_ten_fixes_a_second_as_pyubx2_reads_it() -> None:
    _, port, _ = ready()
    stream = pyubx2.UBXReader(io.BytesIO(port.take()), msgmode=pyubx2.SETPOLL)
    messages = [parsed for _, parsed in stream]
    assert [m.identity for m in messages] == ["CFG-VALSET", "MON-VER"]
    assert messages[0].CFG_RATE_MEAS == 100
    assert messages[0].CFG_MSGOUT_UBX_NAV_PVT_UART1 == 1
    assert messages[0].ram == 1
    assert messages[0].flash == 0


@given(st.floats(-500, 500), st.floats(-500, 500), st.floats(-50, 50))
def test_a_fix_lands_in_the_local_frame_to_the_wires_resolution(east: float, north: float, up: float) -> None:
    driver, port, measurements = ready()
    port.incoming = fix(1000, east, north, up, velN=1500, velE=-250, velD=125)
    driver.poll(10 * TICK, measurements)
    values = measurements.values("gnss")
    assert values[:2] == pytest.approx([east, north], abs=0.0115)  # 1e-7 deg: pyubx2 truncates
    assert values[2] == pytest.approx(up, abs=0.002)
    assert values[3:].tolist() == [-0.25, 1.5, -0.125, 0.014, 0.05, 3.0, 2.0]
    assert driver.health.errors == {}


@pytest.mark.parametrize("fields", [{"gnssFixOk": 0}, {"invalidLlh": 1}, {"fixType": 0}])
def test_a_fix_that_the_receiver_does_not_stand_by_is_type_0(fields: dict[str, int]) -> None:
    driver, port, measurements = ready()
    port.incoming = fix(1000, **fields)
    driver.poll(TICK, measurements)
    assert measurements.values("gnss")[8] == 0.0


def test_a_prompt_fix_is_dated_by_arrival_and_a_late_one_by_its_own_clock() -> None:
    driver, port, measurements = ready()
    truth, dated = [], []
    for k in range(1, 21):
        epoch = k * 100_000_000
        delay = LATENCY + (25_000_000 if k % 5 == 0 else k % 3 * 4_000_000)
        port.incoming = fix(5000 + k * 100)
        driver.poll(epoch + delay, measurements)
        truth.append(epoch)
        dated.append(measurements.time_ns("gnss"))
    assert dated[2] == truth[2]
    assert np.abs(np.array(dated) - truth)[3:].max() < 200_000  # 0.2 ms, of delays that vary by 25 ms


def test_a_new_week_or_a_restart_of_the_receiver_begins_its_clock_anew() -> None:
    driver, port, measurements = ready()
    for now, itow in [(TICK, 604_799_900), (11 * TICK, 0), (21 * TICK, 100)]:
        port.incoming = fix(itow)
        driver.poll(now, measurements)
        assert measurements.time_ns("gnss") == pytest.approx(now - LATENCY, abs=100_000)
    assert measurements.sequence("gnss") == 3


def test_a_fix_that_comes_twice_counts_once() -> None:
    driver, port, measurements = ready()
    port.incoming = fix(1000) * 3
    driver.poll(TICK, measurements)
    assert measurements.sequence("gnss") == 1
    assert driver.health.errors == {"duplicate": 2}


def test_a_silent_receiver_is_configured_again_and_said_to_be_silent() -> None:
    driver, port, measurements = ready()
    setup = port.take()
    for k in range(1, 450):
        driver.poll(k * TICK, measurements)
    assert port.take() == setup * 2
    assert driver.health.errors == {"no_answer": 2}


def test_refusals_firmware_and_strange_messages() -> None:
    driver, port, measurements = ready()
    port.incoming = pyubx2.UBXMessage("ACK", "ACK-NAK", pyubx2.GET, clsID=6, msgID=0x8A).serialize()
    port.incoming += pyubx2.UBXMessage("ACK", "ACK-ACK", pyubx2.GET, clsID=6, msgID=0x8A).serialize()
    version = (
        b"EXT CORE 1.00".ljust(30, b"\0") + b"00190000".ljust(10, b"\0") + b"FWVER=HPG 1.32".ljust(30, b"\0")
    )
    port.incoming += pyubx2.UBXMessage("MON", "MON-VER", pyubx2.GET, payload=version).serialize()
    port.incoming += pyubx2.UBXMessage("NAV", "NAV-PVT", pyubx2.GET, payload=bytes(10)).serialize()
    driver.poll(TICK, measurements)
    assert driver.health.firmware == "u-blox HPG 1.32"
    assert driver.health.errors["refused"] == 1
    assert driver.health.errors["short_frame"] == 1
    assert measurements.sequence("gnss") == 0


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=100), st.binary(max_size=60))
def test_no_payload_makes_it_raise(payload: bytes, junk: bytes) -> None:
    driver, port, measurements = ready()
    for message in ("NAV-PVT", "MON-VER"):
        group = message[:3]
        port.incoming = (
            junk + pyubx2.UBXMessage(group, message, pyubx2.GET, payload=payload or b"x").serialize()
        )
        driver.poll(TICK, measurements)
    driver.poll(2 * TICK, measurements)


def test_a_device_with_other_sensors_is_refused() -> None:
    with pytest.raises(SpecError, match="must serve the sensor gnss"):
        UbloxDriver(SPEC, SPEC.devices[0], ScriptedPort())
    strange = msgspec.structs.replace(SPEC.devices[1], options={"rate": 5})
    with pytest.raises(SpecError, match="no option 'rate'"):
        UbloxDriver(SPEC, strange, ScriptedPort())
