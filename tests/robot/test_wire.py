"""Whatever arrives: the message that was sent, or WireError."""

from __future__ import annotations

import contextlib
import pickle
import zlib

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from record_dtypes import record_dtypes
from small_session import CONTRACT, KEY, STEP, make_rows

from robot import wire
from robot.errors import PolicyError, WireError
from robot.messages import SCHEMA_VERSION, Acknowledgement, Hello, PolicyMessage, Refusal, Steps, Welcome

HELLO = Hello(
    schema=SCHEMA_VERSION,
    robot="racer",
    session="s",
    contract=CONTRACT.plain(),
    calibration_hash="c",
    first_sequence=0,
)
ACK = Acknowledgement(
    schema=SCHEMA_VERSION,
    session="s",
    received=2**40,
    durable=3,
    updates=4,
    steps=5,
    updates_per_s=6.5,
    update_ratio=0.1,
    policy_version=7,
    held_out_error=0.25,
    values=(-1.5, 20.0),
    value_bounds=(-10.0, 30.0),
    critic_alarm="values are not finite",
    policies_held=8,
    held_back="clearly worse",
)
WELCOME = Welcome(schema=SCHEMA_VERSION, next_sequence=9)
REFUSAL = Refusal(schema=SCHEMA_VERSION, reason="because")
POLICY = wire.sign_policy(KEY, 3, "contract", "calibration", b"onnx bytes")


def decode_all(frames: list[bytes]) -> None:
    for decode in (wire.decode_from_robot, wire.decode_from_learner):
        try:
            message = decode(frames)
            if isinstance(message, Steps):
                wire.decode_rows(message, frames, STEP)
        except WireError:
            pass
    for frame in frames[:1]:
        with contextlib.suppress(WireError, PolicyError):
            wire.verify_policy(KEY, wire.decode_policy(frame))


def test_every_message_comes_back_as_it_was() -> None:
    decoded = wire.decode_from_robot(wire.encode(HELLO))
    assert isinstance(decoded, Hello)
    assert msgspec.json.encode(decoded) == msgspec.json.encode(HELLO)
    for message in (ACK, WELCOME, REFUSAL):
        assert wire.decode_from_learner(wire.encode(message)) == message
    assert wire.decode_policy(wire.encode(POLICY)[0]) == POLICY


@given(first=st.integers(0, 2**62), count=st.integers(1, 20))
def test_rows_come_back_bit_for_bit(first: int, count: int) -> None:
    rows = make_rows(first, count)
    frames = wire.encode_steps("s", first, rows)
    steps = wire.decode_from_robot(frames)
    assert isinstance(steps, Steps)
    assert (steps.first_sequence, steps.count) == (first, count)
    assert wire.decode_rows(steps, frames, STEP).tobytes() == rows.tobytes()


@given(st.lists(st.binary(max_size=200), max_size=4))
def test_rubbish_raises_wire_error_only(frames: list[bytes]) -> None:
    decode_all(frames)


VALID = [
    wire.encode(HELLO),
    wire.encode(ACK),
    wire.encode(POLICY),
    wire.encode_steps("s", 5, make_rows(5, 3)),
]


@given(st.sampled_from(VALID), st.data())
def test_a_changed_byte_raises_wire_error_only(frames: list[bytes], data: st.DataObject) -> None:
    which = data.draw(st.integers(0, len(frames) - 1))
    at = data.draw(st.integers(0, len(frames[which]) - 1))
    changed = bytearray(frames[which])
    changed[at] ^= data.draw(st.integers(1, 255))
    decode_all([bytes(changed) if k == which else f for k, f in enumerate(frames)])


@given(st.integers(0, 3 * STEP.itemsize - 1), st.integers(1, 255))
def test_damaged_rows_are_never_delivered(at: int, flip: int) -> None:
    header, data = wire.encode_steps("s", 5, make_rows(5, 3))
    damaged = bytearray(data)
    damaged[at] ^= flip
    steps = wire.decode_from_robot([header, bytes(damaged)])
    assert isinstance(steps, Steps)
    with pytest.raises(WireError, match="checksum"):
        wire.decode_rows(steps, [header, bytes(damaged)], STEP)


def test_rows_of_another_size_are_refused() -> None:
    header, data = wire.encode_steps("s", 5, make_rows(5, 3))
    steps = wire.decode_from_robot([header])
    assert isinstance(steps, Steps)
    for frames in ([header], [header, data[:-1]], [header, data, data]):
        with pytest.raises(WireError):
            wire.decode_rows(steps, frames, STEP)
    empty = msgspec.structs.replace(steps, count=0, crc=zlib.crc32(b""))
    with pytest.raises(WireError):
        wire.decode_rows(empty, [header, b""], STEP)


def test_an_unknown_field_is_refused() -> None:
    plain = msgspec.msgpack.decode(wire.encode(WELCOME)[0]) | {"extra": 1}
    with pytest.raises(WireError, match="extra"):
        wire.decode_from_learner([msgspec.msgpack.encode(plain)])


def test_another_schema_is_named_even_when_its_fields_differ() -> None:
    for changes in ({"schema": SCHEMA_VERSION + 1}, {"schema": SCHEMA_VERSION + 1, "extra": 1}):
        plain = msgspec.msgpack.decode(wire.encode(WELCOME)[0]) | changes
        with pytest.raises(WireError, match=f"speaks schema {SCHEMA_VERSION + 1}.*same version"):
            wire.decode_from_learner([msgspec.msgpack.encode(plain)])


def test_a_message_for_the_other_direction_is_refused() -> None:
    with pytest.raises(WireError):
        wire.decode_from_robot(wire.encode(WELCOME))
    with pytest.raises(WireError):
        wire.decode_from_learner(wire.encode(HELLO))


def test_oversized_messages_are_refused_before_they_are_parsed() -> None:
    big = msgspec.structs.replace(REFUSAL, reason="x" * (wire.MAX_HEADER + 1))
    with pytest.raises(WireError, match="at most"):
        wire.decode_from_learner(wire.encode(big))
    with pytest.raises(WireError, match="at most"):
        wire.decode_policy(bytes(wire.MAX_POLICY + 1))


@given(record_dtypes)
def test_dtype_descriptions_round_trip(dtype: np.dtype[np.void]) -> None:
    plain = msgspec.msgpack.decode(msgspec.msgpack.encode(wire.describe(dtype)))
    assert wire.dtype_from(plain) == dtype


plain_data = st.recursive(
    st.one_of(st.none(), st.integers(), st.text(max_size=6), st.sampled_from(["<f8", "names", "O", "|V8"])),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.fixed_dictionaries({"base": inner, "shape": inner}),
        st.fixed_dictionaries({"names": inner, "formats": inner, "offsets": inner, "itemsize": inner}),
    ),
    max_leaves=20,
)


@pytest.mark.slow
@given(plain_data)
def test_a_bad_dtype_description_raises_wire_error_only(plain: object) -> None:
    try:
        dtype = wire.dtype_from(plain)
    except WireError:
        return
    assert not dtype.hasobject


def test_objects_and_pickles_have_no_way_in() -> None:
    for text in ("O", "|O", "<U4", "V8", "f8,O", "<M8[ns]", "datetime64", pickle.dumps([1])):
        with pytest.raises(WireError):
            wire.dtype_from(text)
    with pytest.raises(WireError):
        wire.describe(np.dtype([("a", object)]))
    huge = {"base": "<f8", "shape": [1 << 20, 1 << 20]}
    with pytest.raises(WireError):
        wire.dtype_from(huge)


def test_a_policy_verifies_with_its_own_key_and_unchanged_only() -> None:
    wire.verify_policy(KEY, POLICY)
    with pytest.raises(PolicyError, match="session key"):
        wire.verify_policy(b"another key, just as long as it..", POLICY)
    changes: list[dict[str, object]] = [
        {"version": 4},
        {"contract_hash": "x"},
        {"calibration_hash": "x"},
        {"onnx": b"onnx bytez"},
        {"sha256": bytes(32)},
        {"signature": bytes(32)},
        {"signature": b""},
        # Moving a byte from one field to the next must not leave the signed bytes alone.
        {"contract_hash": "contractc", "calibration_hash": "alibration"},
    ]
    for change in changes:
        changed: PolicyMessage = msgspec.structs.replace(POLICY, **change)
        with pytest.raises(PolicyError):
            wire.verify_policy(KEY, changed)
