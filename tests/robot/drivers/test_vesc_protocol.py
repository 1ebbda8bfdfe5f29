"""The messages: an independent implementation agrees on those it knows; the rest round-trip to wire steps."""

from __future__ import annotations

import math
import struct
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robot.drivers import vesc_protocol as protocol
from robot.drivers.vesc_frame import FrameParser
from robot.drivers.vesc_protocol import Command, Firmware
from robot.errors import WireError

with warnings.catch_warnings():
    warnings.simplefilter("ignore", SyntaxWarning)
    pyvesc = pytest.importorskip("pyvesc")


def payload_of(data: bytes) -> bytes:
    (payload,) = FrameParser(pytest.fail).feed(data)
    return payload


@given(st.integers(-200_000, 200_000))
def test_set_rpm_equals_the_independent_encoding(erpm: int) -> None:
    assert protocol.set_rpm(erpm) == pyvesc.encode(pyvesc.SetRPM(erpm))


@given(st.integers(-100_000, 100_000))
def test_currents_equal_the_independent_encoding(milliamperes: int) -> None:
    amperes = milliamperes / 1e3
    assert protocol.set_current(amperes) == pyvesc.encode(pyvesc.SetCurrent(milliamperes))
    assert protocol.set_current_brake(amperes) == pyvesc.encode(pyvesc.SetCurrentBrake(milliamperes))


def test_get_values_equals_the_independent_encoding() -> None:
    assert pyvesc.encode_request(pyvesc.GetValues) == protocol.GET_VALUES


def test_published_frames() -> None:
    # Worked by hand from the specification: start, length, command, value, CRC-16/XMODEM, stop.
    assert protocol.ALIVE.hex() == "02011ef3ff03"
    assert protocol.GET_FW_VERSION.hex() == "020100000003"
    assert protocol.set_servo_position(500).hex()[:10] == "02030c01f4"
    assert protocol.get_values_selective(0x8187).hex()[:14] == "02053200008187"
    assert protocol.get_imu_data(0x1F8).hex()[:10] == "02034101f8"


@given(st.integers(0, (1 << 22) - 1), st.data())
def test_selected_values_round_trip_to_wire_steps(mask: int, data: st.DataObject) -> None:
    layout = protocol.masked_layout(Command.GET_VALUES_SELECTIVE, mask)
    # In the range of every field: an int16 at scale 1000 reaches 32.
    values = {name: data.draw(st.integers(0, 30)) + 0.5 for name in layout.names}
    decoded = protocol.decode_masked(layout.encode(values))
    assert set(decoded) == set(values)
    for field in protocol.VALUES:
        if field.name in decoded:
            assert decoded[field.name] == math.trunc(values[field.name] * field.scale) / field.scale


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=16, max_size=16))
def test_imu_numbers_follow_the_published_float32_auto(numbers: list[float]) -> None:
    layout = protocol.masked_layout(Command.GET_IMU_DATA, 0xFFFF)
    normal = [x if abs(x) >= 1.5e-38 else 0.0 for x in numbers]  # the firmware flushes subnormal numbers
    payload = layout.encode(dict(zip(layout.names, normal, strict=True)))
    assert payload[:3] == b"\x41\xff\xff"
    for at, number in enumerate(normal):
        assert payload[3 + 4 * at : 7 + 4 * at] == float32_auto(number)
    assert list(layout.decode(payload)) == normal


def float32_auto(number: float) -> bytes:
    """The wire format as the public firmware describes it: significand and exponent by frexp, by hand."""
    significand, exponent = math.frexp(number)
    bits = 0
    if abs(significand) >= 0.5:
        bits = ((exponent + 126) & 0xFF) << 23 | int((abs(significand) - 0.5) * 2.0 * 8388608.0)
    sign = 0x80000000 if significand < 0 or math.copysign(1.0, number) < 0 else 0
    return struct.pack(">I", bits | sign)


@given(
    st.integers(0, 255), st.integers(0, 255), st.text("ABC_0123456789", max_size=20), st.binary(max_size=9)
)
def test_firmware_versions_round_trip_and_grow(major: int, minor: int, name: str, more: bytes) -> None:
    firmware = Firmware(major, minor, name, bytes(range(12)))
    assert protocol.decode_firmware(protocol.encode_firmware(firmware) + more) == firmware


def test_old_firmware_sends_a_name_only_or_nothing() -> None:
    assert str(protocol.decode_firmware(b"\x00\x03\x07")) == "VESC 3.07 on "
    assert protocol.decode_firmware(b"\x00\x05\x02410\x00").hardware == "410"


@given(st.binary(max_size=200))
def test_a_payload_is_decoded_or_refused_by_name(payload: bytes) -> None:
    for decode in (protocol.decode_masked, protocol.decode_firmware):
        try:
            decode(payload)
        except WireError as error:
            assert "expected" in str(error) or "at least" in str(error)


def test_a_short_reply_names_both_lengths() -> None:
    layout = protocol.masked_layout(Command.GET_VALUES_SELECTIVE, 1 << 7)
    with pytest.raises(WireError, match=r"expected 9 bytes.* got 8"):
        layout.decode(layout.encode({"erpm": 1.0})[:-1])
    with pytest.raises(WireError, match="begins"):
        layout.decode(protocol.masked_layout(Command.GET_VALUES_SELECTIVE, 1 << 8).encode({}))


def test_full_values_decode_with_and_without_the_fields_that_came_later() -> None:
    layout = protocol.masked_layout(Command.GET_VALUES, 0)
    payload = layout.encode({"erpm": 4614.0, "input_voltage": 11.6, "status": 1.0})
    assert protocol.decode_masked(payload)["status"] == 1.0
    older = protocol.decode_masked(payload[:-1])
    assert "status" not in older
    assert older["erpm"] == 4614.0


def test_faults_have_names() -> None:
    assert protocol.fault_name(0) == ""
    assert protocol.fault_name(1) == "over voltage"
    assert protocol.fault_name(29) == "low voltage output"
    assert protocol.fault_name(200) == "fault 200"
